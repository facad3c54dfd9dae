"""The retrainings of a denoising and the table of their results."""

from __future__ import annotations

from tdctl.retraining.denoise_table import RESULT_FILE, check_results, write_results
from tdctl.retraining.jobs import Job, Retraining, plan_jobs
from tdctl.retraining.label_sets import LabelSet

__all__ = [
    "RESULT_FILE",
    "Job",
    "LabelSet",
    "Retraining",
    "check_results",
    "plan_jobs",
    "write_results",
]
