"""The training loop, its evaluation, its checkpoints and its processes."""

from __future__ import annotations

from tdctl.training.device import Precision, compile_pays, pick_device, pick_precision, tune_process
from tdctl.training.evaluate import Evaluation, evaluate
from tdctl.training.log import write_log
from tdctl.training.loop import FitResult, fit
from tdctl.training.modes import (
    FoldEnsemble,
    Folds,
    Plain,
    Recording,
    SecondRound,
    ThresholdSamples,
    fold_seeds,
)
from tdctl.training.pipeline import Pipeline
from tdctl.training.progress import Decoding, Progress, Report, staged
from tdctl.training.threads import Threads
from tdctl.training.world import World, lost_processes_as_errors

__all__ = [
    "Evaluation",
    "FitResult",
    "FoldEnsemble",
    "Folds",
    "Pipeline",
    "Plain",
    "Recording",
    "SecondRound",
    "ThresholdSamples",
    "Precision",
    "Progress",
    "Decoding",
    "Report",
    "Threads",
    "World",
    "compile_pays",
    "evaluate",
    "fit",
    "fold_seeds",
    "lost_processes_as_errors",
    "pick_device",
    "pick_precision",
    "staged",
    "tune_process",
    "write_log",
]
