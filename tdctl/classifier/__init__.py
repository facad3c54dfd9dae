"""The training of one classifier in a run folder: its plan, its networks and its disk space."""

from __future__ import annotations

from tdctl.classifier.disk_forecast import forecast_disk
from tdctl.classifier.plan import Plan, plan_training
from tdctl.classifier.train_classifier import stopped, train_classifier

__all__ = ["Plan", "forecast_disk", "plan_training", "stopped", "train_classifier"]
