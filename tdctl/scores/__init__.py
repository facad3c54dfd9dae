"""Hand-made scores of training dynamics; higher means more likely mislabeled. Numpy only.

``score`` computes a score of a recorded run by its name. The other scores here are functions of
arrays, which may come from anywhere::

    >>> import numpy as np
    >>> from tdctl import scores
    >>> scores.aum(np.array([[2.0, 4.0], [-1.0, 1.0]]))  # margins [n, epochs]
    array([-3., -0.])
"""

from __future__ import annotations

from tdctl.scores.class_mixture import wrong_event_mixture
from tdctl.scores.confident import issue_rank, label_quality, pred_probs
from tdctl.scores.curve_values import softmax_entropy
from tdctl.scores.curves import (
    aum,
    aum_softmax,
    el2n,
    loss_last,
    loss_mean,
    mean_entropy,
    p_last,
    p_mean,
    signed_entropy,
    variability,
)
from tdctl.scores.definition import Score, scores_of
from tdctl.scores.learning import (
    first_learned,
    forgetting,
    late_learned,
    mean_correct_epoch,
    never_learned,
    wrong_events,
)
from tdctl.scores.on_features import centre_distance, knn_vote
from tdctl.scores.registry import SCORES, find_score, score, score_names

__all__ = [
    "SCORES",
    "Score",
    "aum",
    "aum_softmax",
    "centre_distance",
    "el2n",
    "find_score",
    "first_learned",
    "forgetting",
    "issue_rank",
    "knn_vote",
    "label_quality",
    "late_learned",
    "loss_last",
    "loss_mean",
    "mean_correct_epoch",
    "mean_entropy",
    "never_learned",
    "p_last",
    "p_mean",
    "pred_probs",
    "score",
    "score_names",
    "scores_of",
    "signed_entropy",
    "softmax_entropy",
    "variability",
    "wrong_event_mixture",
    "wrong_events",
]
