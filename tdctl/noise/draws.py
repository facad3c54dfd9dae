"""What every kind of noise is made of: random numbers by index, and what a draw gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tdctl.streams import NOISE_WHERE, NOISE_WHO

__all__ = ["Drawn", "Floats", "Ints", "Noise", "PixelSource", "fixed", "numbers_by_index"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class PixelSource(Protocol):
    """Images that noise may look at; ``tdctl.data.Images`` is one."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """C, H, W."""

    def batches(self, parts: Sequence[Ints]) -> Iterator[Any]:
        """Uint8 [B, C, H, W] (numpy, or what numpy takes) for each part, rows int64 [B]."""


@dataclass(frozen=True)
class Drawn:
    """Given labels of n samples, and what the noise that drew them makes expect.

    Attributes:
        given: int64 [n], the given labels.
        rates: float64 [n], the probability with which each of them differs from the true one.
        expected: the expected counts, float64 [m], of pairs of a true and a given label, int64
            [m] each, over all n samples.
    """

    given: Ints
    rates: Floats
    expected: Callable[[Ints, Ints], Floats]


class Noise(Protocol):
    """A way to corrupt labels."""

    @property
    def num_classes(self) -> int:
        """k."""

    def draw(self, true: Ints, index: Ints, seed: int, pixels: PixelSource | None = None) -> Drawn:
        """Given labels for the true ones.

        A sample's draw depends on ``seed``, its index, its true label and, where the noise looks
        at images, its pixels: neither the order of the rows nor which others are there changes it.

        Args:
            true: int64 [n] in [0, k).
            index: int64 [n], the samples' positions in the source data set.
            seed: any non-negative integer.
            pixels: the n images, row by row; only ``instance`` noise looks at them.
        """


def numbers_by_index(index: Ints, seed: int) -> tuple[Floats, Floats]:
    """Two independent numbers in [0, 1) for each sample, by its index and the seed alone.

    The first says whether a label is replaced, the second by which; float64 [n] each.
    """
    length = int(index.max()) + 1 if len(index) else 0
    who, where = (of.numpy_generator(seed) for of in (NOISE_WHO, NOISE_WHERE))
    return who.random(length)[index], where.random(length)[index]


def fixed(true: Ints, given: Ints) -> Drawn:
    """Labels that nothing drew, such as a table's: what is expected is what they are."""

    def expected(true_m: Ints, given_m: Ints) -> Floats:
        size = 1 + int(max(array.max(initial=0) for array in (true, given, true_m, given_m)))
        pairs = np.sort(true * size + given)
        asked = true_m * size + given_m
        after, before = (np.searchsorted(pairs, asked, side) for side in ("right", "left"))
        return (after - before).astype(np.float64)

    return Drawn(given, (true != given).astype(np.float64), expected)
