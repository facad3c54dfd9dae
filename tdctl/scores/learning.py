"""Scores of when the given label was predicted, and InterpretDL's cut of one of them.

Each score takes ``right``, bool [n, E], and returns the suspicion, float64 [n]; higher means more
likely mislabeled. An epoch is "right" for a sample if no other class is more probable than the
given label. Epochs count from 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tdctl.scores.curve_values import Floats

__all__ = [
    "first_learned",
    "forgetting",
    "late_learned",
    "mean_correct_epoch",
    "never_learned",
    "wrong_events",
]


def forgetting(right: NDArray[np.bool_]) -> Floats:
    """How often a wrong epoch followed a right one, from 0 to E/2; E if no epoch was right.

    Source: Toneva et al., "An Empirical Study of Example Forgetting during Deep Neural Network
        Learning", ICLR 2019 (arXiv 1812.05159). Their code also gives never-learned samples the
        number of epochs.
    """
    right = np.asarray(right, dtype=np.bool_)
    forgotten = (right[:, :-1] & ~right[:, 1:]).sum(axis=1)
    return np.asarray(np.where(right.any(axis=1), forgotten, right.shape[1]), dtype=np.float64)


def first_learned(right: NDArray[np.bool_]) -> Floats:
    """The first right epoch, from 0 to E - 1; E if no epoch was right.

    Source: first learning events of Toneva et al. 2019; see ``forgetting``.
    """
    right = np.asarray(right, dtype=np.bool_)
    return np.asarray(
        np.where(right.any(axis=1), right.argmax(axis=1), right.shape[1]), dtype=np.float64
    )


def never_learned(right: NDArray[np.bool_]) -> Floats:
    """1 if no epoch was right, else 0.

    Source: the unlearned samples of Toneva et al. 2019; see ``forgetting``.
    """
    return np.asarray(~np.asarray(right, dtype=np.bool_).any(axis=1), dtype=np.float64)


def wrong_events(right: NDArray[np.bool_]) -> Floats:
    """How many epochs were wrong, from 0 to E.

    The correctness of data maps (Swayamdipta et al. 2020) is 1 minus this divided by E, so it
    ranks the same.
    """
    return np.asarray((~np.asarray(right, dtype=np.bool_)).sum(axis=1), dtype=np.float64)


def mean_correct_epoch(right: NDArray[np.bool_]) -> Floats:
    """The mean number of the right epochs, from 0 to E - 1; E if no epoch was right.

    A right label is learned early, so its mean is near (E - 1) / 2. A wrong label is learned late.

    Source: ``find_noisy_labels`` of InterpretDL's ``ForgettingEventsInterpreter``. It leaves out
        samples that were never learned; here they are the most suspicious.
    """
    right = np.asarray(right, dtype=np.bool_)
    total, count = right @ np.arange(right.shape[1], dtype=np.float64), right.sum(axis=1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), right.shape[1]))


def late_learned(mean_epoch: Floats, epochs: int, deviations: float = 5.0) -> NDArray[np.bool_]:
    """InterpretDL's cut, bool [n]: True if the mean right epoch is far above the average.

    Average and standard deviation are computed over the learned samples. As in InterpretDL,
    samples that were never learned are never flagged. By Cantelli's inequality, at most
    1 / (1 + 5^2) = 1/26 of any set of values lies 5 standard deviations above their mean. So the
    cut flags at most 1/26 of the learned samples. If more labels are wrong, use another cut.

    Args:
        mean_epoch: float64 [n], the score ``mean-correct-epoch``.
        epochs: E, the number of epochs of the run.
        deviations: d, how many standard deviations above the average; the flagged share is at
            most 1 / (1 + d^2).

    Source: ``find_noisy_labels`` of InterpretDL's ``ForgettingEventsInterpreter``.
    """
    learned = mean_epoch < epochs
    if not learned.any():
        return learned
    found = mean_epoch[learned]
    flagged: NDArray[np.bool_] = learned & (mean_epoch > found.mean() + deviations * found.std())
    return flagged
