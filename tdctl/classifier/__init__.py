"""The training of one classifier in a run folder: its plan, its networks and its disk space."""

from __future__ import annotations

from tdctl.classifier.disk_forecast import forecast_disk
from tdctl.classifier.plan import Plan, plan_training
from tdctl.classifier.train_classifier import results_of, stopped, train_classifier
from tdctl.classifier.train_heads import (
    HeadPlan,
    check_heads,
    fitting_heads,
    plan_heads,
    train_heads,
)

__all__ = [
    "HeadPlan",
    "Plan",
    "check_heads",
    "fitting_heads",
    "forecast_disk",
    "plan_heads",
    "plan_training",
    "results_of",
    "stopped",
    "train_classifier",
    "train_heads",
]
