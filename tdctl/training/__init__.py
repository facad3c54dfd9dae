"""The one training loop, its evaluation, its checkpoints and its processes."""

from __future__ import annotations

from tdctl.training.device import Precision, compile_pays, pick_device, pick_precision, tune_process
from tdctl.training.evaluate import Evaluation, evaluate
from tdctl.training.folds import FoldEnsemble, Folds, fold_seeds
from tdctl.training.log import write_log
from tdctl.training.loop import FitResult, check_sizes, fit
from tdctl.training.pipeline import Pipeline
from tdctl.training.progress import Progress, Report
from tdctl.training.threads import Threads
from tdctl.training.world import World, losses_told

__all__ = [
    "Evaluation",
    "FitResult",
    "FoldEnsemble",
    "Folds",
    "Pipeline",
    "Precision",
    "Progress",
    "Report",
    "Threads",
    "World",
    "check_sizes",
    "compile_pays",
    "evaluate",
    "fit",
    "fold_seeds",
    "losses_told",
    "pick_device",
    "pick_precision",
    "tune_process",
    "write_log",
]
