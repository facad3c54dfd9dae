"""Stores for the pixels of a data set, and statistics of pixels.

Shapes: n images, B of a batch, C channels, H and W the image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.data.decode import slabs

__all__ = ["Kind", "MemoryStore", "PixelStore", "Tally"]

Kind = Literal["memory", "cache", "stream"]
# The number of bytes to count at once. numpy turns them into 64-bit integers of 8 times the size.
COUNTED_AT_ONCE = 1 << 22


class PixelStore(Protocol):
    """The pixels of n images, uint8 [n, C, H, W], or n vectors, float [n, d].

    All stores give the same pixels.
    """

    @property
    def kind(self) -> Kind:
        """Where the pixels are: in memory, in the cache on the disk, or decoded when needed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """n, C, H, W; or n, d."""

    def batches(self, parts: Sequence[NDArray[np.int64]]) -> Iterator[torch.Tensor]:
        """The pixels of each part, uint8 [B, C, H, W] on the CPU, in the given order.

        Vectors are float32 [B, d].

        Args:
            parts: for each batch the positions in the store, int64 [B].
        """

    def digest(self, rows: NDArray[np.int64]) -> str | None:
        """Hex digest of the pixels at some positions; None if they would have to be decoded."""


class Tally:
    """Computes the digest and the channel statistics of images that come in blocks.

    The results do not depend on the size of the blocks.
    """

    def __init__(self, channels: int) -> None:
        self._hash = hashlib.sha256()
        self._counts = np.zeros((channels, 256), dtype=np.int64)

    def hashed(self, pixels: NDArray[np.uint8]) -> None:
        """Adds a block [B, C, H, W] to the digest."""
        self._hash.update(np.ascontiguousarray(pixels).data)

    def counted(self, pixels: NDArray[np.uint8]) -> None:
        """Adds a block [B, C, H, W] to the statistics."""
        step = max(1, COUNTED_AT_ONCE // int(np.prod(pixels.shape[2:])))
        for start in range(0, len(pixels), step):
            for channel in range(len(self._counts)):
                values = pixels[start : start + step, channel].reshape(-1)
                self._counts[channel] += np.bincount(values, minlength=256)

    def trained(
        self, slab: NDArray[np.uint8], start: int, train: int, broken: Mapping[int, str]
    ) -> NDArray[np.uint8]:
        """Adds the training images of a slab that decoded to the statistics, and returns them.

        Args:
            slab: uint8 [B, C, H, W], the images from row ``start`` on.
            start: the first row of the slab.
            train: the number of training images. They are the first rows of all.
            broken: the rows that did not decode.
        """
        part = slab[: max(0, train - start)]
        black = [row - start for row in broken if start <= row < start + len(part)]
        part = np.delete(part, black, axis=0) if black else part
        self.counted(part)
        return part

    def digest(self) -> str:
        """SHA-256 of all blocks given to ``hashed``, in hex."""
        return self._hash.hexdigest()

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel, of the pixels divided by 255.

        They are computed from the counts of the 256 values, so the result does not depend on the
        order of the images. A constant channel gets a standard deviation of 1.
        """
        value = np.arange(256) / 255.0
        means, stds = [], []
        for counts in self._counts:
            share = counts / counts.sum()
            mean = float(share @ value)
            variance = float(share @ (value - mean) ** 2)
            means.append(mean)
            stds.append(variance**0.5 or 1.0)
        return tuple(means), tuple(stds)


class MemoryStore:
    """Pixels in memory, as one tensor.

    Attributes:
        pixels: uint8 [n, C, H, W].
    """

    kind: Kind = "memory"

    def __init__(self, pixels: torch.Tensor) -> None:
        self.pixels = pixels

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """n, C, H, W."""
        n, c, h, w = self.pixels.shape
        return n, c, h, w

    def batches(self, parts: Sequence[NDArray[np.int64]]) -> Iterator[torch.Tensor]:
        """A copy of the pixels of each part."""
        for part in parts:
            yield self.pixels[torch.from_numpy(part)]

    def digest(self, rows: NDArray[np.int64]) -> str:
        """Hex digest of the pixels at some positions, in that order."""
        tally = Tally(self.shape[1])
        for start, stop in slabs(len(rows), self.shape[1:]):
            tally.hashed(self.pixels[torch.from_numpy(rows[start:stop])].numpy())
        return tally.digest()
