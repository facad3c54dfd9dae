"""How often samples of one given class are taken for another, in the whole run.

Shape suffixes: n samples, k classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tdctl.detector.channels import Slab
from tdctl.dynamics import TrainingDynamics
from tdctl.slabs import rows_per_slab, slabs_of

__all__ = ["pair_numbers"]

# A share that counts: below it, ln(1 + share / COMMON) is the share itself but for a factor.
COMMON = 0.02
# Of all samples, those of the lowest mean margin among which pairs are counted at least.
WORST = 0.1

Bools = NDArray[np.bool_]
Classes = NDArray[np.int64]
Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]


def pair_numbers(dynamics: TrainingDynamics) -> dict[str, Floats32]:
    """By channel, float32 [n], at least 0: how common each sample's pair of classes is.

    A sample's pair is its given class g and the other class s of the largest mean probability
    over all epochs. The sample is surely taken for s where that mean reaches the mean that samples
    given as s have in s, and by a larger factor than it does so in g.

    - ``pair``: ln(1 + c / 0.02) where c is the share of the samples given as g that are surely
      taken for s, the sample itself left out. ``pair-back``: the same of samples given as s and
      taken for g. Labels that are confused in one direction have a large first and a small second
      number, classes that merely look alike have both alike.
    - ``worst-pair``, ``worst-pair-back``: the same, counted not over samples that are surely taken
      for another class but over the 10 % of the lowest mean margin (or as many as are surely
      taken for another, where they are more). A network that has learned its samples by heart
      leaves few of the first kind.
    - ``evenness``: 1 / (1 + v), in (0, 1], the same for all samples: v is by how much the counts
      of pairs vary more than chance has it, as a share of the squared mean. Near 1 labels are
      wrong uniformly, and a common pair is one of classes that look alike; near 0 a common pair
      is one that labellers confuse.

    Source: the counts are those of the confident joint of Northcutt et al., "Confident Learning"
        (JAIR 2021), on means over training and of two classes a sample.
    """
    means = _means(dynamics)
    classes = 1 + max(int(means.given.max()), int(means.other.max()))
    size = np.maximum(np.bincount(means.given, minlength=classes), 1)
    sure = np.bincount(means.given, weights=means.own, minlength=classes) / size
    # A class that nobody was given has no mean to reach.
    sure[sure == 0] = np.inf
    taken = (means.rival >= sure[means.other]) & (
        means.rival / sure[means.other] > means.own / sure[means.given]
    )
    number = max(math.ceil(WORST * len(taken)), int(taken.sum()))
    worst = means.margin <= np.partition(means.margin, number - 1)[number - 1]
    found = {"evenness": np.full(len(taken), _evenness(means, taken, size), np.float32)}
    for name, counted in (("pair", taken), ("worst-pair", worst)):
        found[name], found[f"{name}-back"] = _shares(means, counted, size)
    return found


@dataclass(frozen=True)
class _Means:
    """Given class, the other class of the largest mean, the means of both and of the margin."""

    given: Classes
    other: Classes
    own: Floats
    rival: Floats
    margin: Floats


def _means(dynamics: TrainingDynamics) -> _Means:
    n = len(dynamics)
    given = np.asarray(dynamics.labels[:, 0]).astype(np.int64)
    own, rival, margin = np.empty(n), np.empty(n), np.empty(n)
    for start, stop in slabs_of(n, rows_per_slab(dynamics.td)):
        means = dynamics.td[start:stop, :, :2].mean(axis=1, dtype=np.float64)
        own[start:stop], rival[start:stop] = means[:, 0], means[:, -1]
        margin[start:stop] = Slab(dynamics, start, stop).margin.mean(axis=1)
    if dynamics.mean is None or dynamics.mean_class is None:
        other = np.asarray(dynamics.labels[:, 1]).astype(np.int64)
        return _Means(given, other, own, rival, margin)
    # The largest two of the kept means: one of them is of another class.
    classes = np.asarray(dynamics.mean_class[:, :2]).astype(np.int64)
    place = (classes[:, 0] == given).astype(np.int64)
    rows = np.arange(n)
    kept = np.asarray(dynamics.mean[:, :2]).astype(np.float64)
    return _Means(given, classes[rows, place], own, kept[rows, place], margin)


def _shares(means: _Means, counted: Bools, size: Classes) -> tuple[Floats32, Floats32]:
    """ln(1 + share / 0.02) of each sample's pair and of its reverse."""
    # Of many classes most pairs do not occur: only those that do are counted.
    forth = means.given * len(size) + means.other
    back = means.other * len(size) + means.given
    found, count = np.unique(forth[counted], return_counts=True)

    def shares(pairs: Classes, of: Classes, self_: Bools) -> Floats32:
        number = np.zeros(len(pairs))
        place = np.searchsorted(found, pairs)
        there = place < len(found)
        there[there] = found[place[there]] == pairs[there]
        number[there] = count[place[there]]
        shares: Floats32 = np.log1p((number - self_) / size[of] / COMMON).astype(np.float32)
        return shares

    return shares(forth, means.given, counted), shares(back, means.other, np.zeros_like(counted))


def _evenness(means: _Means, taken: Bools, size: Classes) -> float:
    """How evenly the surely taken spread over the pairs of classes, in (0, 1]."""
    there = np.bincount(means.given, minlength=len(size))
    others = int((there > 0).sum()) - 1
    if not taken.any() or others < 1:
        return 1.0
    pairs, count = np.unique(
        means.given[taken] * len(size) + means.other[taken], return_counts=True
    )
    expected = taken.mean() * there / others
    squares = others * float((expected**2).sum())
    # Sum over all pairs of (count - mean)^2 - count, those that do not occur included.
    excess = squares + float((count**2 - 2 * count * expected[pairs // len(size)] - count).sum())
    # Where counts are few, chance alone is as large as this.
    chance = math.sqrt(2 * squares + float(taken.sum()))
    return (squares + chance) / (squares + chance + max(excess, 0.0))
