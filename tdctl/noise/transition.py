"""Noise that depends only on the class: by which class a label is replaced, and how often.

Only the user's own matrix holds k x k numbers, so the other transitions work with 100,000 classes.
Shapes: n samples, k classes, m pairs of classes.
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
    """The probability of each given label for each true label."""

    @property
    def num_classes(self) -> int:
        """k."""

    def moved(self, true: Ints, who: Floats, where: Floats) -> Ints:
        """The given labels, int64 [n], from two random numbers for each sample.

        Args:
            true: int64 [n] in [0, k), the true labels.
            who: float64 [n] in [0, 1), decides whether a label is replaced.
            where: float64 [n] in [0, 1), decides by which class.
        """

    def probability(self, true: Ints, given: Ints) -> Floats:
        """P(given | true) for m pairs of classes, float64 [m]."""


@dataclass(frozen=True)
class Uniform:
    """Replaces a label with probability ``ratio`` by a *different* class, all equally likely."""

    num_classes: int
    ratio: float

    def moved(self, true: Ints, who: Floats, where: Floats) -> Ints:
        """See ``Transition``."""
        # Adding 1 to k-1, modulo k, reaches each of the other classes once.
        step = 1 + np.floor(where * (self.num_classes - 1)).astype(np.int64)
        return np.where(who < self.ratio, (true + step) % self.num_classes, true)

    def probability(self, true: Ints, given: Ints) -> Floats:
        """See ``Transition``."""
        return np.where(true == given, 1 - self.ratio, self.ratio / (self.num_classes - 1))


@dataclass(frozen=True)
class UniformInclusive:
    """Replaces a label with probability ``ratio`` by any class, the true class included.

    So with ten classes and a ratio of 20 %, only 18 % of the labels become wrong.

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
    """Replaces a label with probability ``ratio`` by one fixed class: flip and pair noise.

    Attributes:
        to: int64 [k], the new class for each class. A class that is its own keeps its label.
        ratio: in [0, 1).
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
    """Replaces labels as a matrix says.

    Attributes:
        rows: float64 [k, k]; ``rows[c, d]`` is P(given d | true c), and each row sums to 1.
    """

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
            # The first class whose cumulative sum is above the number never has probability 0.
            at = np.searchsorted(upto, who[of_class] * upto[-1], side="right")
            given[of_class] = np.minimum(at, np.flatnonzero(row)[-1])
        return given

    def probability(self, true: Ints, given: Ints) -> Floats:
        """See ``Transition``."""
        found: Floats = self.rows[true, given]
        return found


def cyclic(num_classes: int, ratio: float) -> Mapped:
    """Flip noise: replaces class c by (c + 1) mod k with probability ``ratio``."""
    return Mapped((np.arange(num_classes, dtype=np.int64) + 1) % num_classes, ratio)


# The transitions that need only a ratio, by their name in the settings.
KINDS: dict[str, Callable[[int, float], Transition]] = {
    "uniform": Uniform,
    "uniform-inclusive": UniformInclusive,
    "flip": cyclic,
}


def flip_rates(transition: Transition) -> Floats:
    """The probability that a label of each class becomes a different one, float64 [k]."""
    every = np.arange(transition.num_classes, dtype=np.int64)
    return 1 - transition.probability(every, every)


@dataclass(frozen=True)
class OfClass:
    """Noise that depends only on the class, as a transition says."""

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
    """Corrupts labels: each true label is replaced with probability ``ratio``.

    ``uniform`` replaces it by a *different* class, all equally likely. ``uniform-inclusive``
    replaces it by any class, the true class included. ``flip`` replaces it by (class + 1) mod k.
    The number of replaced labels is binomial. A sample's draw depends only on the seed, its index
    and its true label. The order of the rows, the other samples and the training's seed do not
    change it.

    Args:
        true: int64 [n] in [0, num_classes), the true labels.
        index: int64 [n], the samples' positions in the source data set.
        num_classes: k, at least 2 if ``ratio`` is above 0.
        noise_type: ``uniform``, ``uniform-inclusive`` or ``flip``.
        ratio: in [0, 1).
        seed: any non-negative integer.

    Returns:
        int64 [n], the given labels.

    Raises:
        ConfigError: ``ratio`` is out of range, the type is unknown, or there is a single class.

    Source: Jia et al. (AAAI 2023), published code, ``_make_datasets``. The transition matrix is
        the same; in that code the draw also depends on the number of samples.

    Example:
        >>> import numpy as np
        >>> true = np.array([0, 1, 2, 0, 1, 2])
        >>> corrupt(true, np.arange(6), 3, "flip", 0.5, seed=0)
        array([0, 2, 2, 1, 2, 2])
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
