"""Scores of when the given label was predicted, and InterpretDL's cut through one of them.

Each takes a slab of rows and gives its suspicion, float64 [s], higher is worse. "Right" means
that no other class was more probable than the given label, as float16 tells probabilities apart.
Epochs count from 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tdctl.scores.curve_values import Floats, Rows

__all__ = [
    "first_learned",
    "forgetting",
    "late_learned",
    "mean_correct_epoch",
    "never_learned",
    "wrong_events",
]


def forgetting(rows: Rows) -> Floats:
    """How often a right epoch was followed by a wrong one, 0 to E/2; E where none was right.

    Source: Toneva et al., "An Empirical Study of Example Forgetting during Deep Neural Network
        Learning", ICLR 2019 (arXiv 1812.05159); their code, too, orders samples that were never
        learned by the number of epochs.
    """
    right = rows.right
    forgotten = (right[:, :-1] & ~right[:, 1:]).sum(axis=1)
    return np.where(right.any(axis=1), forgotten, rows.epochs).astype(np.float64)


def first_learned(rows: Rows) -> Floats:
    """The first epoch that was right, 0 to E - 1; E where none was.

    Source: first learning events of Toneva et al. 2019; see ``forgetting``.
    """
    right = rows.right
    return np.where(right.any(axis=1), right.argmax(axis=1), rows.epochs).astype(np.float64)


def never_learned(rows: Rows) -> Floats:
    """1 where no epoch was right, else 0.

    Source: the unlearned samples of Toneva et al. 2019; see ``forgetting``.
    """
    return np.asarray(~rows.right.any(axis=1), dtype=np.float64)


def wrong_events(rows: Rows) -> Floats:
    """How many epochs were wrong, 0 to E.

    The correctness of data maps (Swayamdipta et al. 2020) is the share of right epochs: this
    divided by E, taken from 1, hence the same ranking.
    """
    return np.asarray((~rows.right).sum(axis=1), dtype=np.float64)


def mean_correct_epoch(rows: Rows) -> Floats:
    """The mean of the epochs that were right, 0 to E - 1; E where none was.

    A right label is learned early, so the mean is near (E - 1) / 2; a wrong one late.

    Source: ``find_noisy_labels`` of InterpretDL's ``ForgettingEventsInterpreter``, which leaves
        samples that were never learned out of its ranking. Here they are the worst.
    """
    right = rows.right
    total, count = right @ np.arange(rows.epochs, dtype=np.float64), right.sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), rows.epochs)


def late_learned(mean_epoch: Floats, epochs: int, deviations: float = 5.0) -> NDArray[np.bool_]:
    """InterpretDL's cut: bool [n], True where the mean right epoch is far above the average.

    The average and its standard deviation are those of the learned samples; those that were
    never learned are never flagged, as there. It can flag at most 1/26 of the learned samples,
    whatever the scores are: by Cantelli's inequality no more than 1 / (1 + 5^2) of any values lie
    5 standard deviations above their mean. Where more labels are wrong, cut elsewhere.

    Args:
        mean_epoch: float64 [n], the score ``mean-correct-epoch``.
        epochs: E, of the run.
        deviations: how many standard deviations above; the share is at most 1 / (1 + d^2).

    Source: ``find_noisy_labels`` of InterpretDL's ``ForgettingEventsInterpreter``.
    """
    learned = mean_epoch < epochs
    if not learned.any():
        return learned
    found = mean_epoch[learned]
    flagged: NDArray[np.bool_] = learned & (mean_epoch > found.mean() + deviations * found.std())
    return flagged
