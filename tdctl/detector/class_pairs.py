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
from tdctl.scores.curve_values import rows_at_once
from tdctl.slabs import slabs_of

__all__ = ["pair_numbers"]

# Of all samples, those of the lowest mean margin: among the first share pairs are counted, among
# the second how evenly they fall. The surely taken would not do for that: classes that look alike
# are taken for each other wherever labels are wrong.
WORST, SPREAD = 0.1, 0.2

Bools = NDArray[np.bool_]
Classes = NDArray[np.int64]
Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]


def pair_numbers(dynamics: TrainingDynamics) -> dict[str, Floats32]:
    """By channel, float32 [n], above 0: how common each sample's pair of classes is.

    A sample's pair is its given class g and the other class s of the largest mean probability
    over all epochs. The sample is surely taken for s where that mean reaches the mean that samples
    given as s have in s, and by a larger factor than it does so in g.

    - ``pair``: ln(1 + t) where t is how many samples given as g are surely taken for s, the sample
      itself left out, over how many were if errors were as frequent in every class and fell on
      all others alike. ``pair-back``: the same of samples given as s and taken for g. Labels that
      are confused in one direction have a large first and a small second number, classes that
      merely look alike have both alike.
    - ``worst-pair``, ``worst-pair-back``: the same, counted not over samples that are surely taken
      for another class but over the 10 % of the lowest mean margin (or as many as are surely
      taken for another, where they are more). A network that has learned its samples by heart
      leaves few of the first kind.
    - ``evenness``: e = 1 / (1 + v), in (0, 1], the same for all samples: v is the variance of
      these ratios beyond what chance makes of few counts, among the 20 % of the lowest mean
      margin. Near 1 labels are wrong uniformly, and a common pair is one of classes that look
      alike; near 0 a common pair is one that labellers confuse.

    A ratio of few counts is drawn to 1: for n counted and m expected it is
    (e + (1 - e) n) / (e + (1 - e) m), the mean of a ratio with variance v that n has been seen of,
    where e and v are those of the samples counted.

    Source: the counts are those of the confident joint of Northcutt et al., "Confident Learning"
        (JAIR 2021), on means over training and of two classes a sample; the ratios are the
        empirical Bayes estimates of Clayton and Kaldor (Biometrics 1987), v by moments.
    """
    means = _means(dynamics)
    classes = 1 + max(int(means.given.max()), int(means.other.max()))
    size = np.bincount(means.given, minlength=classes)
    sure = np.bincount(means.given, weights=means.own, minlength=classes) / np.maximum(size, 1)
    # A class that nobody was given has no mean to reach.
    sure[sure == 0] = np.inf
    taken = (means.rival >= sure[means.other]) & (
        means.rival / sure[means.other] > means.own / sure[means.given]
    )
    worst = _worst(means.margin, max(math.ceil(WORST * len(taken)), int(taken.sum())))
    spread = _Counts(means, _worst(means.margin, math.ceil(SPREAD * len(taken))), size)
    found = {"evenness": np.full(len(taken), spread.evenness(), np.float32)}
    for name, counted in (("pair", taken), ("worst-pair", worst)):
        found[name], found[f"{name}-back"] = _Counts(means, counted, size).ratios()
    return found


def _worst(margin: Floats, number: int) -> Bools:
    """So many of the lowest values, and those that are equal to the last."""
    lowest: Bools = margin <= np.partition(margin, number - 1)[number - 1]
    return lowest


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
    for start, stop in slabs_of(n, rows_at_once(dynamics)):
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


class _Counts:
    """How many of some samples have which pair, and how many were expected.

    Of many classes most pairs do not occur: only those that do are held.
    """

    def __init__(self, means: _Means, counted: Bools, size: Classes) -> None:
        self._forth = means.given * len(size) + means.other
        self._back = means.other * len(size) + means.given
        self._counted = counted
        self._pairs, self._count = np.unique(self._forth[counted], return_counts=True)
        self._others = max(int((size > 0).sum()) - 1, 1)
        # Of each given class, for each of the others.
        self._expected = counted.mean() * size / self._others

    def evenness(self) -> float:
        """1 / (1 + the variance of the ratios beyond chance), in (0, 1]; 1 where none counts."""
        if not len(self._pairs):
            return 1.0
        squares = self._others * float((self._expected**2).sum())
        expected = self._expected[self._pairs // len(self._expected)]
        # Sum over all pairs of (count - mean)^2 - count, those that do not occur included.
        excess = squares + float((self._count * (self._count - 2 * expected - 1)).sum())
        # Where counts are few, chance alone is as large as this.
        chance = math.sqrt(2 * squares + float(self._count.sum()))
        return (squares + chance) / (squares + chance + max(excess, 0.0))

    def ratios(self) -> tuple[Floats32, Floats32]:
        """ln(1 + ratio) of each sample's pair, the sample itself left out, and of its reverse."""
        even = self.evenness()
        return (
            self._ratios(self._forth, even, self._counted),
            self._ratios(self._back, even, np.zeros_like(self._counted)),
        )

    def _ratios(self, pairs: Classes, even: float, without: Bools) -> Floats32:
        number = np.zeros(len(pairs))
        place = np.searchsorted(self._pairs, pairs)
        there = place < len(self._pairs)
        there[there] = self._pairs[place[there]] == pairs[there]
        number[there] = self._count[place[there]]
        expected = self._expected[pairs // len(self._expected)]
        ratio = (even + (1 - even) * (number - without)) / (even + (1 - even) * expected)
        logs: Floats32 = np.log1p(ratio).astype(np.float32)
        return logs
