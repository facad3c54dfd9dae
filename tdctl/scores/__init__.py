"""Hand-made scores of training dynamics; higher means more likely mislabeled. Numpy only."""

from __future__ import annotations

from tdctl.scores.confident import issue_rank, label_quality, pred_probs
from tdctl.scores.definition import Score, scores_of
from tdctl.scores.learning import late_learned
from tdctl.scores.registry import SCORES, find_score, score, score_names

__all__ = [
    "SCORES",
    "Score",
    "find_score",
    "issue_rank",
    "label_quality",
    "late_learned",
    "pred_probs",
    "score",
    "score_names",
    "scores_of",
]
