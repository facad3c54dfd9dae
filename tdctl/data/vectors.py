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
        DataError: a value is NaN or infinite; the message names the first such row.
    """
    d = rows.values.shape[1]
    total, squares = np.zeros(d), np.zeros(d)
    first = np.zeros(d)
    for place, part in enumerate(_parts(rows.rows, d)):
        block = np.asarray(rows.values[part], dtype=np.float64)
        finite = np.isfinite(block)
        if not finite.all():
            _refuse(rows.path, part, finite)
        if not place:
            first = block.mean(axis=0)
        # Differences from about the mean, so that the squares stay exact.
        total += (block - first).sum(axis=0)
        squares += ((block - first) ** 2).sum(axis=0)
    n = len(rows)
    mean = total / n
    std = np.sqrt(np.maximum(squares / n - mean**2, 0))
    std[std <= 1e-6 * max(float(std.max()), 1e-12)] = 1.0
    return tuple((first + mean).tolist()), tuple(std.tolist())


def _refuse(path: Path, part: NDArray[np.int64], finite: NDArray[np.bool_]) -> None:
    place = int(np.argmax(~finite.all(axis=1)))
    column = int(np.argmax(~finite[place]))
    raise DataError(
        f"{path}: row {part[place]} has a value that is NaN or infinite, at place {column}; "
        "expected finite numbers: compute these vectors again, or leave out their rows"
    )


def _parts(rows: NDArray[np.int64], d: int) -> Iterator[NDArray[np.int64]]:
    step = max(1, AT_ONCE // max(1, d))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]
