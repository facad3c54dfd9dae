"""The one training loop, its evaluation and its checkpoints."""

from __future__ import annotations

from tdctl.training.device import pick_device, use_bfloat16
from tdctl.training.evaluate import Evaluation, evaluate
from tdctl.training.loop import FitResult, fit
from tdctl.training.pipeline import Pipeline
from tdctl.training.progress import Progress, Report

__all__ = [
    "Evaluation",
    "FitResult",
    "Pipeline",
    "Progress",
    "Report",
    "evaluate",
    "fit",
    "pick_device",
    "use_bfloat16",
]
