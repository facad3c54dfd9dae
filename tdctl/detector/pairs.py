"""How often samples of one given class are surely taken for another, in the whole run.

Shape suffixes: n samples, k classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tdctl.dynamics import TrainingDynamics
from tdctl.slabs import rows_per_slab, slabs_of

__all__ = ["pair_shares"]

# A share that counts: below it, ln(1 + share / COMMON) is the share itself but for a factor.
COMMON = 0.02

Floats32 = NDArray[np.float32]


def pair_shares(dynamics: TrainingDynamics) -> tuple[Floats32, Floats32]:
    """Two float32 [n], at least 0: how common each sample's pair of classes is, and the reverse.

    A sample's pair is its given class g and the other class s of the largest mean probability
    over all epochs. The sample is surely taken for s where that mean reaches the mean that samples
    given as s have in s, and by a larger factor than it does so in g. The first array is
    ln(1 + c / 0.02) where c is the share of the samples given as g that are surely taken for s,
    the sample itself left out; the second is the same of samples given as s and taken for g.

    Labels that are confused in one direction have a large first and a small second number, classes
    that merely look alike have both alike. The shares are 0 where errors are few or spread over
    many classes.

    Source: the counts are those of the confident joint of Northcutt et al., "Confident Learning"
        (JAIR 2021), on means over training and of two classes a sample.
    """
    given, other, own, rival = _means(dynamics)
    classes = 1 + max(int(given.max()), int(other.max()))
    size = np.maximum(np.bincount(given, minlength=classes), 1)
    sure = np.bincount(given, weights=own, minlength=classes) / size
    # A class that nobody was given has no mean to reach.
    sure[sure == 0] = np.inf
    taken = (rival >= sure[other]) & (rival / sure[other] > own / sure[given])
    # Of many classes most pairs do not occur: only those that do are counted.
    forth, back = given * classes + other, other * classes + given
    found, count = np.unique(forth[taken], return_counts=True)

    def shares(
        pairs: NDArray[np.int64], of: NDArray[np.int64], self_: NDArray[np.bool_]
    ) -> Floats32:
        counted = np.zeros(len(pairs))
        place = np.searchsorted(found, pairs)
        there = place < len(found)
        there[there] = found[place[there]] == pairs[there]
        counted[there] = count[place[there]]
        shares: Floats32 = np.log1p((counted - self_) / size[of] / COMMON).astype(np.float32)
        return shares

    return shares(forth, given, taken), shares(back, other, np.zeros_like(taken))


def _means(
    dynamics: TrainingDynamics,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Given class, the other class of the largest mean, and the means of both; [n] each."""
    n = len(dynamics)
    given = np.asarray(dynamics.labels[:, 0]).astype(np.int64)
    own, rival = np.empty(n), np.empty(n)
    for start, stop in slabs_of(n, rows_per_slab(dynamics.td)):
        means = dynamics.td[start:stop, :, :2].mean(axis=1, dtype=np.float64)
        own[start:stop], rival[start:stop] = means[:, 0], means[:, -1]
    if dynamics.mean is None or dynamics.mean_class is None:
        return given, np.asarray(dynamics.labels[:, 1]).astype(np.int64), own, rival
    # The largest two of the kept means: one of them is of another class.
    classes = np.asarray(dynamics.mean_class[:, :2]).astype(np.int64)
    place = (classes[:, 0] == given).astype(np.int64)
    rows = np.arange(n)
    kept = np.asarray(dynamics.mean[:, :2]).astype(np.float64)
    return given, classes[rows, place], own, kept[rows, place]
