"""Vectors in the place of images: their store, their check and their statistics.

Shapes: n rows, d numbers, B batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.data.pixel_store import Kind
from tdctl.errors import DataError
from tdctl.sources.vector_files import VectorRows

__all__ = ["VectorStore", "read_statistics"]

# Rows that are read at once: about 16 MB of float32.
AT_ONCE = 1 << 22
# Between these, the length of a vector is exact enough in float32.
SMALL, LARGE = 1e-9, 1e15
# Deviations below this share of the values are rounding.
ROUNDING = 1e-12


class VectorStore:
    """Vectors in memory or in a file, of which only the rows of a batch are read.

    Attributes:
        values: float16, float32 or float64 [n, d].
        origin: what the vectors were computed from, as a hex digest. It stands for their own
            digest, because another machine computes other last bits. None for given vectors.
    """

    kind: Kind = "memory"

    def __init__(self, values: NDArray[Any], origin: str | None = None) -> None:
        self.values, self.origin = values, origin

    @property
    def shape(self) -> tuple[int, ...]:
        """n, d."""
        return self.values.shape

    def batches(self, parts: Sequence[NDArray[np.int64]]) -> Iterator[torch.Tensor]:
        """The vectors of each part, float32 [B, d] on the CPU, in the given order."""
        for part in parts:
            yield torch.from_numpy(np.asarray(self.values[part], dtype=np.float32))

    def digest(self, rows: NDArray[np.int64]) -> str:
        """Hex digest of the vectors at some positions, in that order."""
        if self.origin is not None:
            return self.origin
        digest = hashlib.sha256()
        for part in _parts(rows, self.values.shape[1]):
            digest.update(np.ascontiguousarray(self.values[part]).data)
        return digest.hexdigest()


def read_statistics(rows: VectorRows) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each of the d numbers; all vectors are read once.

    A constant number gets a standard deviation of 1.

    Raises:
        DataError: a value is NaN or infinite, or too large for float32; the message names the
            first such row. Or all vectors are the same, or too small.
    """
    d, largest = rows.values.shape[1], 0.0
    total, squares = np.zeros(d), np.zeros(d)
    first = np.zeros(d)
    for place, part in enumerate(_parts(rows.rows, d)):
        block = np.asarray(rows.values[part], dtype=np.float64)
        finite = np.isfinite(block)
        if not finite.all():
            _refuse(rows.path, part, finite, "a value that is NaN or infinite", ADVICE)
        sizes = np.abs(block)
        largest = max(largest, float(sizes.max()))
        if largest > LARGE:
            _refuse(rows.path, part, sizes <= LARGE, f"a value above {LARGE:g}", SCALE)
        if not place:
            first = block.mean(axis=0)
        # Differences from about the mean, so that the squares stay exact.
        total += (block - first).sum(axis=0)
        squares += ((block - first) ** 2).sum(axis=0)
    n = len(rows)
    mean = total / n
    std = np.sqrt(np.maximum(squares / n - mean**2, 0))
    if std.max() <= ROUNDING * largest:
        raise DataError(
            f"{rows.path}: all {n:,} vectors are the same; expected different ones: compute them "
            "again"
        )
    if largest < SMALL:
        raise DataError(f"{rows.path}: no value is above {largest:.1g}; {SCALE}")
    std[std <= 1e-6 * max(float(std.max()), 1e-12)] = 1.0
    return tuple((first + mean).tolist()), tuple(std.tolist())


ADVICE = "expected finite numbers: compute these vectors again, or leave out their rows"
SCALE = "divide all vectors by a constant, so that their length is near 1"


def _refuse(
    path: Path, part: NDArray[np.int64], right: NDArray[np.bool_], what: str, then: str
) -> None:
    place = int(np.argmax(~right.all(axis=1)))
    column = int(np.argmax(~right[place]))
    raise DataError(f"{path}: row {part[place]} has {what}, at place {column}; {then}")


def _parts(rows: NDArray[np.int64], d: int) -> Iterator[NDArray[np.int64]]:
    step = max(1, AT_ONCE // max(1, d))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]
