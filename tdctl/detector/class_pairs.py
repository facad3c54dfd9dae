"""How often samples with one given class are taken for another class, in the whole run.

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

# Shares of the samples, those with the lowest mean margin. Pairs are counted in the first share,
# and their evenness in the second. Confidently taken samples are not used for the evenness, because
# similar classes are taken for each other in every run with wrong labels.
WORST, SPREAD = 0.1, 0.2

Bools = NDArray[np.bool_]
Classes = NDArray[np.int64]
Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]


def pair_numbers(dynamics: TrainingDynamics) -> dict[str, Floats32]:
    """How common each sample's pair of classes is: float32 [n], above 0, by channel.

    A sample's pair consists of its given class g and another class s, the one with the largest
    mean probability over all epochs. The sample is confidently taken for s if two things hold. Its
    mean probability of s is at least the mean over samples with given class s. And the ratio of
    the two is larger than the same ratio for g.

    - ``pair``: ln(1 + t). t is a ratio of two numbers. The first is how many samples with given
      class g are confidently taken for s, without the sample itself. The second is the number
      expected if errors were equally frequent in all classes and spread evenly over the others.
      ``pair-back`` is the same with g and s exchanged. If labels are confused in one direction,
      the first is large and the second small. If classes only look alike, both are similar.
    - ``worst-pair``, ``worst-pair-back``: the same, but counted over the 10 % of the samples with
      the lowest mean margin (or over as many as are confidently taken for another class, if that
      is more). A network that has memorised its samples takes few of them for another class.
    - ``evenness``: e = 1 / (1 + v), in (0, 1], the same for all samples. v is the variance of
      these ratios, without what chance adds to small counts, among the 20 % of the samples with
      the lowest mean margin. Near 1, labels are wrong uniformly, and the classes of a common pair
      look alike. Near 0, the people who gave the labels confuse the classes of a common pair.

    A ratio of small counts is moved towards 1. For n counted and m expected samples it is
    (e + (1 - e) n) / (e + (1 - e) m). This is the mean of a ratio with variance v, given the count
    n. Here e and v belong to the counted samples.

    Source: the counts are those of the confident joint of Northcutt et al., "Confident Learning"
        (JAIR 2021), but on means over the training and for two classes per sample. The ratios are
        the empirical Bayes estimates of Clayton and Kaldor (Biometrics 1987), v by moments.
    """
    means = _means(dynamics)
    classes = 1 + max(int(means.given.max()), int(means.other.max()))
    size = np.bincount(means.given, minlength=classes)
    sure = np.bincount(means.given, weights=means.own, minlength=classes) / np.maximum(size, 1)
    # A class that is nobody's given class has no mean, so no sample can be taken for it.
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
    """The samples with the lowest values, ``number`` of them, and those equal to the last one."""
    lowest: Bools = margin <= np.partition(margin, number - 1)[number - 1]
    return lowest


@dataclass(frozen=True)
class _Means:
    """Given class; other class with the largest mean; means of both classes and of the margin."""

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
    # One of the two largest kept means belongs to another class than the given one.
    classes = np.asarray(dynamics.mean_class[:, :2]).astype(np.int64)
    place = (classes[:, 0] == given).astype(np.int64)
    rows = np.arange(n)
    kept = np.asarray(dynamics.mean[:, :2]).astype(np.float64)
    return _Means(given, classes[rows, place], own, kept[rows, place], margin)


class _Counts:
    """How many of the counted samples have each pair, and how many were expected.

    With many classes most pairs do not occur, so only those that occur are stored.
    """

    def __init__(self, means: _Means, counted: Bools, size: Classes) -> None:
        self._forth = means.given * len(size) + means.other
        self._back = means.other * len(size) + means.given
        self._counted = counted
        self._pairs, self._count = np.unique(self._forth[counted], return_counts=True)
        self._others = max(int((size > 0).sum()) - 1, 1)
        # For each given class: the number expected for each of the other classes.
        self._expected = counted.mean() * size / self._others

    def evenness(self) -> float:
        """1 / (1 + the variance of the ratios beyond chance), in (0, 1]; 1 without any pair."""
        if not len(self._pairs):
            return 1.0
        squares = self._others * float((self._expected**2).sum())
        expected = self._expected[self._pairs // len(self._expected)]
        # The sum over all pairs of (count - mean)^2 - count, including pairs that do not occur.
        excess = squares + float((self._count * (self._count - 2 * expected - 1)).sum())
        # With small counts, chance alone can be as large as this.
        chance = math.sqrt(2 * squares + float(self._count.sum()))
        return (squares + chance) / (squares + chance + max(excess, 0.0))

    def ratios(self) -> tuple[Floats32, Floats32]:
        """ln(1 + ratio) of each sample's pair, without the sample itself, and of its reverse."""
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
