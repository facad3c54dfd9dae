"""The parts that all kinds of noise share: random numbers by index, and the result of a draw."""

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
    """Images that noise may look at, such as ``tdctl.data.Images``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """C, H, W."""

    def batches(self, parts: Sequence[Ints]) -> Iterator[Any]:
        """The pixels of each part, uint8 [B, C, H, W] as numpy or convertible to numpy.

        Args:
            parts: for each batch the rows, int64 [B].
        """


@dataclass(frozen=True)
class Drawn:
    """The given labels of n samples, and what their noise predicts.

    Attributes:
        given: int64 [n], the given labels.
        rates: float64 [n] in [0, 1], the probability that a given label differs from the true one.
        expected: a function of m true and m given labels, int64 [m] each. It gives the expected
            number of samples with each pair of labels, float64 [m].
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
        """Draws given labels for the true labels.

        A sample's draw depends only on ``seed``, its index, its true label and, for ``instance``
        noise, its pixels. The order of the rows and the other samples do not change it.

        Args:
            true: int64 [n] in [0, k), the true labels.
            index: int64 [n], the samples' positions in the source data set.
            seed: any non-negative integer.
            pixels: the n images, row by row. Only ``instance`` noise looks at them.
        """


def numbers_by_index(index: Ints, seed: int) -> tuple[Floats, Floats]:
    """Two independent random numbers in [0, 1) for each sample, float64 [n] each.

    They depend only on the seed and the sample's index. The first decides whether a label is
    replaced, the second by which class.
    """
    length = int(index.max()) + 1 if len(index) else 0
    who, where = (of.numpy_generator(seed) for of in (NOISE_WHO, NOISE_WHERE))
    return who.random(length)[index], where.random(length)[index]


def fixed(true: Ints, given: Ints) -> Drawn:
    """Given labels that were not drawn, such as those of a table. They are what is expected.

    Args:
        true: int64 [n], the true labels.
        given: int64 [n], the given labels.
    """

    def expected(true_m: Ints, given_m: Ints) -> Floats:
        size = 1 + int(max(array.max(initial=0) for array in (true, given, true_m, given_m)))
        pairs = np.sort(true * size + given)
        asked = true_m * size + given_m
        after, before = (np.searchsorted(pairs, asked, side) for side in ("right", "left"))
        return (after - before).astype(np.float64)

    return Drawn(given, (true != given).astype(np.float64), expected)
