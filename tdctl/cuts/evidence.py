"""Wrong labels told from hard pictures: the estimate that ``--cut auto`` makes by default.

Shape suffixes: n samples, E epochs, s rows of a slab.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tdctl.cuts.mixture import mean_loss, mixture_rate, separation
from tdctl.dynamics import TrainingDynamics
from tdctl.errors import DynamicsError
from tdctl.scores.curve_values import Rows, rows_at_once
from tdctl.slabs import slabs_of

__all__ = ["Evidence", "Range", "surest_disagreement"]

# The share of each predicted class that counts as surest.
SUREST = 0.1
# The epochs that are looked at: a fifth of the run, around its middle. A long training has begun to
# remember wrong labels by then, so the window moves forward from SHORT epochs on, to EARLY at LONG.
WIDTH, MIDDLE, EARLY, SHORT, LONG = 0.2, 0.5, 0.3, 30, 60
# Below NONE the support says that few labels are wrong, or none; from SOME on the mixture counts
# as much as the support does.
NONE, SOME = 0.03, 0.055
# Two components of the mean loss that are so far apart (in standard deviations) are wrong and
# right labels; below NEAR they may be hard and easy pictures.
NEAR, FAR = 6.0, 8.0
# The part of an upper component that must be contradicted; a share that is as good as none.
HALF, TINY = 0.5, 1e-9
# The interval: what the estimates of runs with known flips were off by (replication/README.md).
LOWER, HIGHER, LEAST = 0.6, 1.5, 0.02


class Range(NamedTuple):
    """An estimated share with its interval; all in [0, 1]."""

    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class Evidence:
    """What a run says of the share of wrong labels.

    Attributes:
        mixture: weight of the upper of two components of the mean loss, in [0, 1].
        separation: distance of the two components in standard deviations, at least 0.
        surest: how often the given label differs from the surest predictions, in [0, 1].
        suspected: share of samples to which the shipped detector gives more than 0.5.
        contradicted: share of samples whose suggested label is not the given one.
    """

    mixture: float
    separation: float
    surest: float
    suspected: float
    contradicted: float

    @classmethod
    def of(cls, dynamics: TrainingDynamics, probability: NDArray[np.float64]) -> Evidence:
        """The evidence in a run.

        Args:
            dynamics: of the run.
            probability: float64 [n], P(mislabeled) by the shipped detector.

        Raises:
            DynamicsError: td holds NaN, or a single class.
        """
        losses = mean_loss(dynamics)
        return cls(
            mixture=mixture_rate(losses),
            separation=separation(losses),
            surest=surest_disagreement(dynamics),
            suspected=float((probability > 0.5).mean()),
            contradicted=float((dynamics.suggested() != dynamics.labels[:, 0]).mean()),
        )

    @property
    def support(self) -> float:
        """Geometric mean of the two kinds of evidence that hard pictures seldom give, in [0, 1]."""
        return float(np.sqrt(self.surest * self.suspected))

    def range(self) -> Range:
        """The estimated share of wrong labels and its interval.

        A mixture of losses alone takes hard pictures for wrong ones: on photographs that are all
        labelled right it said 12 to 18 %. A picture that is merely hard is not predicted surely.
        So the mixture counts as far as sure predictions contradict the given labels: below
        ``NONE`` the estimate is the support alone, from ``SOME`` on the geometric mean of both.
        Where the components are far apart, and half of the upper one is contradicted by the
        suggested labels, the mixture is the estimate.
        """
        support, mixture = self.support, self.mixture
        weight = float(np.clip((support - NONE) / (SOME - NONE), 0, 1))
        apart = float(np.clip((self.separation - NEAR) / (FAR - NEAR), 0, 1))
        apart *= min(1.0, self.contradicted / max(HALF * mixture, TINY))
        shared = support ** (1 - weight / 2) * mixture ** (weight / 2)
        rate = apart * mixture + (1 - apart) * shared
        sure = max(weight, apart)
        low = LOWER * sure * min(rate, apart * mixture + (1 - apart) * support)
        high = HIGHER * max(rate, (1 - apart) * weight * support) + LEAST
        return Range(rate, low, min(high, 1.0))


def surest_disagreement(dynamics: TrainingDynamics) -> float:
    """How often the surest predictions differ from the given label, in [0, 1].

    Of each sample the given label's probability and the largest other are averaged over a fifth
    of the epochs around the middle (earlier in long runs). The larger of the two is how sure the
    network is. Of each suggested class the surest tenth, at least one sample, is looked at, and
    the classes count by their size.

    Raises:
        DynamicsError: td holds NaN, or a single class.
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
