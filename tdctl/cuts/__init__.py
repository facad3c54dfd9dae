"""Where to cut a ranking if the user gives no ratio: estimates of how many labels are wrong."""

from __future__ import annotations

from tdctl.cuts.evidence import FEW_IMAGES, Early, Evidence, Range, early_part, surest_disagreement
from tdctl.cuts.heldout import heldout_range, judged_by_heldout
from tdctl.cuts.joint import joint_rate
from tdctl.cuts.methods import METHODS, Estimate, estimate_rate, ratio_of
from tdctl.cuts.mixture import mean_loss, mixture_rate, separation
from tdctl.cuts.threshold_samples import (
    THRESHOLD_FILE,
    Thresholds,
    above_threshold_samples,
    count_threshold_samples,
    draw_threshold_samples,
)

__all__ = [
    "FEW_IMAGES",
    "METHODS",
    "THRESHOLD_FILE",
    "Early",
    "Estimate",
    "Evidence",
    "Range",
    "Thresholds",
    "above_threshold_samples",
    "count_threshold_samples",
    "draw_threshold_samples",
    "early_part",
    "estimate_rate",
    "heldout_range",
    "joint_rate",
    "judged_by_heldout",
    "mean_loss",
    "mixture_rate",
    "ratio_of",
    "separation",
    "surest_disagreement",
]
