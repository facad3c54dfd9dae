"""The default estimate of ``--cut auto``, which separates wrong labels from hard images.

Shape suffixes: n samples, E epochs, s rows of a slab.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tdctl.cuts.mixture import mean_loss, mixture_rate, separation
from tdctl.dynamics import TrainingDynamics
from tdctl.errors import DynamicsError
from tdctl.scores.curve_values import Rows, rows_at_once
from tdctl.slabs import slabs_of

__all__ = ["FEW_IMAGES", "Early", "Evidence", "Range", "early_part", "surest_disagreement"]

# A network memorises so few images in a few epochs, with all wrong labels. Up to this number, the
# interval also covers what the other measurements count.
FEW_IMAGES = 1000

# The share of the samples with the same predicted class that are called the surest.
SUREST = 0.1
# The window of epochs that is used: a fifth of the run, around its middle. In a long training the
# network has begun to fit wrong labels by then. So the middle of the window moves to an earlier
# place: from MIDDLE at SHORT epochs to EARLY at LONG epochs.
WIDTH, MIDDLE, EARLY, SHORT, LONG = 0.2, 0.5, 0.3, 30, 60
# With a support below NONE, few or no labels are wrong. From SOME on, the mixture has the same
# weight as the support.
NONE, SOME = 0.03, 0.055
# Distances between the two components of the mean loss, in standard deviations. From FAR on, they
# count fully as wrong and right labels; from NEAR on, in part. The larger the support, divided by
# the mixture, the smaller the distance that counts fully: LESS_FAR from SUPPORTED on. 50,000
# CIFAR-10 images, 16 epochs, random1, aggregate and clean labels: distances 4.2, 4.4 and 4.1,
# support 0.67, 0.27 and 0.04 times the mixture.
NEAR, FAR = 4.0, 5.0
LESS_FAR, SUPPORTED = 4.3, 0.25
# The support is limited to this multiple of the mixture: a network that has not learned enough
# contradicts many right labels with certainty.
MOST_SUPPORT = 1.25
# The share of the upper component that must be contradicted; and a small number against division
# by 0.
HALF, TINY = 0.5, 1e-9
# From ONE_WAY on, the wrong labels of each class go to one class. The loss separates such labels
# badly, but the detector knows them. With fewer classes than SEVERAL this holds for any noise, and
# with fewer suspected samples than LEAST_PAIRS a class by chance. If few labels are wrong, the
# detector expects too many. So the estimate must be at least MANY, and is raised AT_MOST so far.
ONE_WAY, SEVERAL, LEAST_PAIRS, MANY, AT_MOST = 0.9, 4, 5, 0.1, 1.6
# A run has memorised its labels if it has at least LONG_RUN epochs, and its last epoch contradicts
# at most FORGIVEN times as many labels as the end of its early part, the first PART of the epochs.
# Then the early part is measured, too. A larger estimate counts fully if the surest predictions of
# the whole run contradict MANY_DIFFER of the labels, and not at all below SOME_DIFFER: with many
# classes, hard images look like wrong labels in the early part.
LONG_RUN, PART, FORGIVEN = 30, 0.6, 0.2
SOME_DIFFER, MANY_DIFFER = 0.06, 0.1
# The interval covers the errors of the estimates on runs with known flips (replication/README.md).
LOWER, HIGHER, LEAST = 0.6, 1.5, 0.02


class Range(NamedTuple):
    """An estimated share with its interval; all values are in [0, 1]."""

    rate: float
    low: float
    high: float


class Early(NamedTuple):
    """The early part of a run, and P(mislabeled) by the shipped detector there, float64 [n]."""

    dynamics: TrainingDynamics
    probability: NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """Measurements on a run from which the share of wrong labels is estimated.

    Attributes:
        mixture: weight of the upper of two components of the mean loss, in [0, 1].
        separation: distance of the two components in standard deviations, at least 0.
        surest: how often the surest predictions differ from the given label, in [0, 1].
        suspected: share of samples to which the shipped detector gives more than 0.5.
        contradicted: share of samples whose suggested label is not the given label.
        few: whether there are at most ``FEW_IMAGES`` samples.
        one_way: of the samples that the detector suspects and whose suggested label is another,
            the share with the commonest suggestion of their given class; 0 if there are too few
            of them, or too few classes.
        expected: mean of the detector's P(mislabeled), in [0, 1].
    """

    mixture: float
    separation: float
    surest: float
    suspected: float
    contradicted: float
    few: bool = False
    one_way: float = 0.0
    expected: float = 0.0

    @classmethod
    def of(cls, dynamics: TrainingDynamics, probability: NDArray[np.float64]) -> Evidence:
        """Takes the measurements on a run.

        Args:
            dynamics: the dynamics of the run.
            probability: float64 [n], P(mislabeled) by the shipped detector.

        Raises:
            DynamicsError: td contains NaN, or only one class.
        """
        losses, suggested, given = mean_loss(dynamics), dynamics.suggested(), dynamics.labels[:, 0]
        return cls(
            mixture=mixture_rate(losses),
            separation=separation(losses),
            surest=surest_disagreement(dynamics),
            suspected=float((probability > 0.5).mean()),
            contradicted=float((suggested != given).mean()),
            few=len(dynamics) <= FEW_IMAGES,
            one_way=_one_way(given, suggested, probability > 0.5, dynamics.num_classes),
            expected=float(probability.mean()),
        )

    @property
    def support(self) -> float:
        """Geometric mean of ``surest`` and ``suspected``, in [0, 1]; it is low for hard images."""
        return float(np.sqrt(self.surest * self.suspected))

    @property
    def goes_one_way(self) -> bool:
        """Whether the wrong labels of each class go to one class, as far as this can be seen."""
        return self.one_way >= ONE_WAY

    def range_with(self, early: Early | None) -> Range:
        """The estimate of a run whose network may have memorised the labels.

        A network that has memorised a wrong label predicts it at the end. So the measurements on
        the whole run count too few, and those on its early part count more. If the early estimate
        is larger, the result moves towards it, the further the more often the surest predictions
        contradict the labels.

        Args:
            early: the early part; None if the network has not memorised the labels (see
                ``early_part``).

        Raises:
            DynamicsError: td contains NaN, or only one class.
        """
        whole = self.range()
        if early is None:
            return whole
        found = Evidence.of(*early).range()
        if found.rate <= whole.rate:
            return whole
        weight = float(np.clip((self.surest - SOME_DIFFER) / (MANY_DIFFER - SOME_DIFFER), 0, 1))
        return Range(*(a + weight * (b - a) for a, b in zip(whole, found, strict=True)))

    def range(self) -> Range:
        """The estimated share of wrong labels, and its interval.

        A mixture of losses takes hard images for wrong labels: it gave 12 to 18 % on photographs
        whose labels are all right. But a hard image is not predicted with certainty. So the weight
        of the mixture grows with the support, which is high only if certain predictions contradict
        the given labels. First, the support is limited to ``MOST_SUPPORT`` times the mixture,
        unless the wrong labels of each class go to one class. With a support below ``NONE`` the
        estimate is the support. From ``SOME`` on it is the geometric mean of support and mixture.
        If the components are far apart and the suggested labels contradict half of the upper one,
        the estimate is the mixture. The larger the support, the smaller the distance that counts
        as far apart.

        If the wrong labels of each class go to one class, an estimate of at least ``MANY`` is
        raised to what the detector expects, at most by 60 %.

        A network that has memorised its few images predicts the given labels with certainty, wrong
        or not. Then the support is low, whatever the share of wrong labels is. So with few images
        the interval also reaches to the mixture and to the contradicted share.
        """
        support, mixture = self.support, self.mixture
        if not self.goes_one_way:
            support = min(support, MOST_SUPPORT * mixture)
        weight = float(np.clip((support - NONE) / (SOME - NONE), 0, 1))
        supported = min(1.0, support / max(SUPPORTED * mixture, TINY))
        far = FAR + supported * (LESS_FAR - FAR)
        apart = float(np.clip((self.separation - NEAR) / (far - NEAR), 0, 1))
        apart *= min(1.0, self.contradicted / max(HALF * mixture, TINY))
        shared = support ** (1 - weight / 2) * mixture ** (weight / 2)
        rate = apart * mixture + (1 - apart) * shared
        sure = max(weight, apart)
        if rate >= MANY and self.goes_one_way:
            rate = max(rate, min(self.expected, AT_MOST * rate))
        low = LOWER * sure * min(rate, apart * mixture + (1 - apart) * support)
        most = max(rate, (1 - apart) * weight * support)
        if self.few:
            most = max(most, mixture, self.contradicted)
        high = HIGHER * most + LEAST
        return Range(rate, low, min(high, 1.0))


def early_part(dynamics: TrainingDynamics) -> TrainingDynamics | None:
    """The first epochs of a run that has memorised its labels; None for other runs.

    Also None if td does not contain the probability of every class.

    Raises:
        DynamicsError: td contains NaN.
    """
    if dynamics.epochs < LONG_RUN or not dynamics.has_every_class:
        return None
    count = round(PART * dynamics.epochs)
    early, last = _contradicted_at(dynamics, (count - 1, dynamics.epochs - 1))
    return dynamics.first_epochs(count) if last <= FORGIVEN * early else None


def _contradicted_at(dynamics: TrainingDynamics, epochs: Sequence[int]) -> list[float]:
    """The share of samples whose likeliest class is another than the given one, by epoch."""
    found = np.zeros(len(epochs))
    for start, stop in slabs_of(len(dynamics), rows_at_once(dynamics)):
        rows = Rows(dynamics, start, stop)
        for i, epoch in enumerate(epochs):
            found[i] += (rows.other[:, epoch] > rows.given[:, epoch]).sum()
    return [float(value) for value in found / len(dynamics)]


def _one_way(
    given: NDArray[np.integer[Any]],
    suggested: NDArray[np.int64],
    suspected: NDArray[np.bool_],
    classes: int,
) -> float:
    """``Evidence.one_way``."""
    rows = suspected & (suggested != given)
    if classes < SEVERAL or rows.sum() < LEAST_PAIRS * classes:
        return 0.0
    pairs = given[rows].astype(np.int64) * classes + suggested[rows]
    found, counts = np.unique(pairs, return_counts=True)
    largest = np.zeros(classes, dtype=np.int64)
    np.maximum.at(largest, found // classes, counts)
    return float(largest.sum() / rows.sum())


def surest_disagreement(dynamics: TrainingDynamics) -> float:
    """How often the surest predictions differ from the given label, in [0, 1].

    For each sample, the given label's probability and the largest other probability are averaged
    over a fifth of the epochs, around the middle of the run (earlier in long runs). The larger of
    the two means is the sureness. Among the samples with the same suggested class, the surest
    tenth is used (at least one sample). The result is the mean over these classes, weighted by
    their size.

    Raises:
        DynamicsError: td contains NaN, or only one class.
    """
    if dynamics.td.shape[2] < 2 and dynamics.other is None:
        raise DynamicsError("dynamics: td holds a single class; expected two or more")
    window = _window(dynamics.epochs)
    n = len(dynamics)
    given, other = np.empty(n), np.empty(n)
    for start, stop in slabs_of(n, rows_at_once(dynamics)):
        rows = Rows(dynamics, start, stop)
        given[start:stop] = rows.given[:, window].mean(axis=1)
        other[start:stop] = rows.other[:, window].mean(axis=1)
    sureness, differs, suggested = np.maximum(given, other), other > given, dynamics.suggested()
    order = np.lexsort((-sureness, suggested))
    _, starts, sizes = np.unique(suggested[order], return_index=True, return_counts=True)
    total = 0.0
    for start, size in zip(starts, sizes, strict=True):
        count = max(1, round(SUREST * size))
        total += size * float(differs[order[start : start + count]].mean())
    return total / n


def _window(epochs: int) -> slice:
    late = float(np.clip((epochs - SHORT) / (LONG - SHORT), 0, 1))
    middle = MIDDLE + (EARLY - MIDDLE) * late
    start = int((middle - WIDTH / 2) * epochs)
    return slice(start, max(start + 1, round((middle + WIDTH / 2) * epochs)))
