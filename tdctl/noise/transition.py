"""Noise that depends on the class alone: where the label of each class goes, how often.

No transition but the user's own matrix holds k x k numbers: 100,000 classes are no trouble.
Shapes: n samples, k classes, m any number of pairs of classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tdctl.errors import ConfigError
from tdctl.noise.draws import Drawn, Floats, Ints, PixelSource, numbers_by_index

__all__ = [
    "KINDS",
    "Mapped",
    "Matrix",
    "OfClass",
    "Transition",
    "Uniform",
    "UniformInclusive",
    "corrupt",
    "cyclic",
    "flip_rates",
]


class Transition(Protocol):
    """With which probability a true label is given as which other."""

    @property
    def num_classes(self) -> int:
        """k."""

    def moved(self, true: Ints, who: Floats, where: Floats) -> Ints:
        """Given labels, int64 [n], from two random numbers in [0, 1) for each sample."""

    def probability(self, true: Ints, given: Ints) -> Floats:
        """P(given | true), float64 [m], of pairs of classes."""


@dataclass(frozen=True)
class Uniform:
    """With probability ``ratio`` a *different* class, each as likely."""

    num_classes: int
    ratio: float

    def moved(self, true: Ints, who: Floats, where: Floats) -> Ints:
        """See ``Transition``."""
        # A step of 1..k-1 around the circle of classes reaches each other class once.
        step = 1 + np.floor(where * (self.num_classes - 1)).astype(np.int64)
        return np.where(who < self.ratio, (true + step) % self.num_classes, true)

    def probability(self, true: Ints, given: Ints) -> Floats:
        """See ``Transition``."""
        return np.where(true == given, 1 - self.ratio, self.ratio / (self.num_classes - 1))


@dataclass(frozen=True)
class UniformInclusive:
    """With probability ``ratio`` any class, the true one too: 20 % is 18 % of ten classes.

    Source: DivideMix (Li et al., ICLR 2020), published code, ``noise_mode`` "sym".
    """

    num_classes: int
    ratio: float

    def moved(self, true: Ints, who: Floats, where: Floats) -> Ints:
        """See ``Transition``."""
        to = np.floor(where * self.num_classes).astype(np.int64)
        return np.where(who < self.ratio, to, true)

    def probability(self, true: Ints, given: Ints) -> Floats:
        """See ``Transition``."""
        kept: Floats = (1 - self.ratio) * (true == given)
        return kept + self.ratio / self.num_classes


@dataclass(frozen=True)
class Mapped:
    """With probability ``ratio`` the class that ``to``, int64 [k], names; none where it is itself.

    Flip and pair noise.
    """

    to: Ints
    ratio: float

    @property
    def num_classes(self) -> int:
        """k."""
        return len(self.to)

    def moved(self, true: Ints, who: Floats, where: Floats) -> Ints:
        """See ``Transition``; ``where`` is not needed."""
        return np.where(who < self.ratio, self.to[true], true)

    def probability(self, true: Ints, given: Ints) -> Floats:
        """See ``Transition``."""
        kept: Floats = (1 - self.ratio) * (true == given)
        went: Floats = self.ratio * (self.to[true] == given)
        return kept + went


@dataclass(frozen=True)
class Matrix:
    """As a row-stochastic matrix says: ``rows[c, d]`` is P(given d | true c), float64 [k, k]."""

    rows: Floats

    @property
    def num_classes(self) -> int:
        """k."""
        return len(self.rows)

    def moved(self, true: Ints, who: Floats, where: Floats) -> Ints:
        """See ``Transition``; ``where`` is not needed."""
        given = true.copy()
        by_class = np.argsort(true, kind="stable")
        classes, starts = np.unique(true[by_class], return_index=True)
        for label, of_class in zip(classes, np.split(by_class, starts[1:]), strict=True):
            row = self.rows[label]
            upto = np.cumsum(row)
            # The first class whose sum lies above the number: never one of probability 0.
            at = np.searchsorted(upto, who[of_class] * upto[-1], side="right")
            given[of_class] = np.minimum(at, np.flatnonzero(row)[-1])
        return given

    def probability(self, true: Ints, given: Ints) -> Floats:
        """See ``Transition``."""
        found: Floats = self.rows[true, given]
        return found


def cyclic(num_classes: int, ratio: float) -> Mapped:
    """Flip noise: class c becomes (c + 1) mod k."""
    return Mapped((np.arange(num_classes, dtype=np.int64) + 1) % num_classes, ratio)


# What needs no more than a ratio, by its name in the settings.
KINDS: dict[str, Callable[[int, float], Transition]] = {
    "uniform": Uniform,
    "uniform-inclusive": UniformInclusive,
    "flip": cyclic,
}


def flip_rates(transition: Transition) -> Floats:
    """Float64 [k], the probability with which each class's label becomes a different one."""
    every = np.arange(transition.num_classes, dtype=np.int64)
    return 1 - transition.probability(every, every)


@dataclass(frozen=True)
class OfClass:
    """The noise of a transition."""

    transition: Transition

    @property
    def num_classes(self) -> int:
        """k."""
        return self.transition.num_classes

    def draw(self, true: Ints, index: Ints, seed: int, pixels: PixelSource | None = None) -> Drawn:
        """See ``Noise``; looks at no pixel."""
        given = self.transition.moved(true, *numbers_by_index(index, seed))
        sizes = np.bincount(true, minlength=self.num_classes)

        def expected(true_m: Ints, given_m: Ints) -> Floats:
            return sizes[true_m] * self.transition.probability(true_m, given_m)

        return Drawn(given, flip_rates(self.transition)[true], expected)


def corrupt(
    true: Ints,
    index: Ints,
    num_classes: int,
    noise_type: str,
    ratio: float,
    seed: int,
) -> Ints:
    """Given labels, int64 [n]: the true ones, each replaced with probability ``ratio``.

    ``uniform`` replaces by a *different* class, each as likely; ``uniform-inclusive`` by any, the
    true one too; ``flip`` by (class + 1) mod k. The number of replaced labels is binomial. A
    sample's draw depends on ``(seed, its index)`` alone: neither the order of the rows, nor which
    others are there, nor the training's seed changes it.

    Args:
        true: int64 [n] in [0, num_classes).
        index: int64 [n], the samples' positions in the source data set.
        num_classes: k, at least 2 where ratio is above 0.
        noise_type: ``uniform``, ``uniform-inclusive`` or ``flip``.
        ratio: in [0, 1).
        seed: any non-negative integer.

    Raises:
        ConfigError: ratio out of range, an unknown type, or a single class.

    Source: Jia et al. (AAAI 2023), published code, ``_make_datasets``: same transition matrix;
        there the draw also depends on the number of samples.
    """
    if not 0.0 <= ratio < 1.0:
        raise ConfigError(f"noise_ratio: {ratio} is outside [0, 1)")
    if noise_type not in KINDS:
        raise ConfigError(f"noise_type: '{noise_type}' is unknown; use {', '.join(KINDS)}")
    if ratio == 0.0 or len(true) == 0:
        return true.copy()
    if num_classes < 2:
        raise ConfigError("noise_ratio: labels of a single class cannot be flipped; use 0")
    transition = KINDS[noise_type](num_classes, ratio)
    return transition.moved(true, *numbers_by_index(index, seed))
