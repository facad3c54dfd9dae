"""How common it is in a run that samples of one given class look like another.

Shape suffixes: n samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tdctl.dynamics import TrainingDynamics
from tdctl.slabs import rows_per_slab, slabs_of

__all__ = ["pair_ratios"]

# Samples that a pair is given besides those it has: few of them are no evidence.
PRIOR = 1.0


def pair_ratios(dynamics: TrainingDynamics) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two float32 [n]: how common each sample's pair of classes is, and the reverse pair.

    A sample's pair is its given class g and the other class s of the largest mean probability
    over all epochs. Over the samples in which s is ahead of g, c(g, s) counts those of each pair,
    the sample itself left out; m is the share that a pair has of a class on average. The first
    array is ln((c(g, s) + 1) / (n_g m + 1)), the second the same of (s, g). Where labels are
    confused in one direction the first is large and the second small; classes that merely look
    alike have both.

    Source: the counts are those of the confident joint of Northcutt et al., "Confident Learning"
        (JAIR 2021), of argmax in place of thresholds.
    """
    given, other, ahead = _pairs(dynamics)
    n = len(given)
    classes = 1 + max(int(given.max()), int(other.max()))
    size = np.bincount(given, minlength=classes)
    mean = int(ahead.sum()) / (n * max(1, int(np.count_nonzero(size)) - 1))
    forth, back = given * classes + other, other * classes + given
    # Of many classes most pairs do not occur: only those that do are counted.
    found, count = np.unique(forth[ahead], return_counts=True)

    def ratio(keys: NDArray[np.int64], of: NDArray[np.int64], own: NDArray[np.bool_]) -> Floats32:
        place = np.searchsorted(found, keys)
        there = place < len(found)
        there[there] = found[place[there]] == keys[there]
        counted = np.zeros(n)
        counted[there] = count[place[there]]
        ratios: Floats32 = np.log(
            (counted - own + PRIOR) / (size[of] * mean + PRIOR), dtype=np.float32
        )
        return ratios

    return ratio(forth, given, ahead), ratio(back, other, np.zeros(n, np.bool_))


Floats32 = NDArray[np.float32]


def _pairs(
    dynamics: TrainingDynamics,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Given class, the other class of the largest mean, and whether that is ahead; [n] each."""
    given = np.asarray(dynamics.labels[:, 0]).astype(np.int64)
    if dynamics.mean_class is not None:
        first, second = (np.asarray(dynamics.mean_class[:, c]).astype(np.int64) for c in (0, 1))
        ahead = first != given
        return given, np.where(ahead, first, second), ahead
    ahead = np.empty(len(given), np.bool_)
    for start, stop in slabs_of(len(given), rows_per_slab(dynamics.td)):
        means = dynamics.td[start:stop, :, :2].mean(axis=1, dtype=np.float64)
        ahead[start:stop] = means[:, 1] > means[:, 0]
    return given, np.asarray(dynamics.labels[:, 1]).astype(np.int64), ahead
