"""The labels after a cleaning, the retrainings, and the table of their results."""

from __future__ import annotations

from tdctl.retraining.class_losses import ClassLoss, class_losses, emptied_note
from tdctl.retraining.cleaning import (
    ACTIONS,
    FLOORS,
    RELABEL_BY,
    Cleaning,
    check_cleaning,
    cleaned,
    cleaning_of,
)
from tdctl.retraining.denoise_table import RESULT_FILE, check_results, write_results
from tdctl.retraining.jobs import Job, Retraining, plan_jobs
from tdctl.retraining.label_sets import LabelSet
from tdctl.retraining.rounds import Round

__all__ = [
    "ACTIONS",
    "FLOORS",
    "RELABEL_BY",
    "RESULT_FILE",
    "ClassLoss",
    "Cleaning",
    "Job",
    "LabelSet",
    "Retraining",
    "Round",
    "check_cleaning",
    "check_results",
    "class_losses",
    "cleaned",
    "cleaning_of",
    "emptied_note",
    "plan_jobs",
    "write_results",
]
