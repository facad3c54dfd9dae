"""Encoded images to pixels: the one decoder, whichever way the pixels are then held."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import __version__ as PILLOW

from tdctl.data.picture import Fit, Reading, Unreadable, megapixels, quiet, read_rgb
from tdctl.data.survey import Survey, survey
from tdctl.errors import DataError
from tdctl.processors import own_processors
from tdctl.sources import Encoded

__all__ = ["DECODER", "Decoder", "slabs", "unreadable"]

# What the same file gives the same pixels by. Raise the number when the pixels change.
DECODER = f"3, Pillow {PILLOW}"
SLAB_BYTES = 1 << 26
# Images that a thread decodes at a time: small ones take less long than handing them out.
AT_ONCE = 16
# How many unreadable images one error names.
NAMED = 100


@dataclass(frozen=True)
class Decoder:
    """Encoded images that decode to one size.

    Attributes:
        images: where they are.
        reading: how each is read.
        shape: C, H, W of every image: that of the first one that decodes.
        model: its row.
    """

    images: Encoded
    reading: Reading
    shape: tuple[int, int, int]
    model: int

    @classmethod
    def of(
        cls,
        images: Encoded,
        size: int | None,
        fit: Fit = "crop",
        max_megapixels: float | None = None,
        seen: Survey | None = None,
    ) -> Decoder:
        """The decoder of some images; reads up to the first that decodes.

        Args:
            images: all of a data set: what they have in common decides how each is read.
            size: side that all are brought to, or None.
            fit: how they are brought to it.
            max_megapixels: a picture of more is refused; None for Pillow's own limit.
            seen: a survey of these images, where there is one.

        Raises:
            DataError: none decodes.
        """
        limit = megapixels(max_megapixels)
        seen = survey(images, limit) if seen is None else seen
        reading = Reading(size, fit, seen.bits, seen.ground, limit)
        broken: dict[int, str] = {}
        with quiet():
            for row in range(len(images)):
                try:
                    h, w, c = read_rgb(images, row, reading).shape
                except Unreadable as error:
                    broken[row] = str(error)
                    continue
                return cls(images, reading, (c, h, w), row)
        raise unreadable(images, broken)

    def __len__(self) -> int:
        return len(self.images)

    def decodes(self, row: int) -> bool:
        """Whether one image decodes."""
        try:
            with quiet():
                read_rgb(self.images, row, self.reading)
        except Unreadable:
            return False
        return True

    def read_all(
        self, pixels: NDArray[np.uint8] | None = None, broken: dict[int, str] | None = None
    ) -> Iterator[NDArray[np.uint8]]:
        """All images, slab by slab and in order, by as many threads as there are processors.

        Args:
            pixels: uint8 [n, C, H, W] to fill; the slabs are then its parts. Without it they
                share one buffer, and each holds until the next is asked for.
            broken: takes up the rows that do not decode, with the reason; they are black.

        Raises:
            DataError: an image has another size than the first; or one does not decode and
                ``broken`` is not given.
        """
        buffer = None
        with ThreadPoolExecutor(own_processors()) as pool:
            for start, stop in slabs(len(self), self.shape):
                if pixels is not None:
                    slab = pixels[start:stop]
                else:
                    if buffer is None:
                        buffer = np.empty((stop - start, *self.shape), dtype=np.uint8)
                    slab = buffer[: stop - start]
                parts = range(start, stop, AT_ONCE)
                found: dict[int, str] = {}
                fill = partial(self._fill, slab, start)
                with quiet():
                    for reasons in pool.map(fill, parts):
                        found |= reasons
                if found and broken is None:
                    raise unreadable(self.images, found)
                if broken is not None:
                    broken |= found
                yield slab

    def batch(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Uint8 [B, C, H, W] of some images, one after the other.

        Raises:
            DataError: some do not decode (names all of these), or have another size than the first.
        """
        pixels, broken = np.empty((len(rows), *self.shape), dtype=np.uint8), {}
        with quiet():
            for at, row in enumerate(rows):
                try:
                    pixels[at] = self.read(int(row))
                except Unreadable as error:
                    broken[int(row)] = str(error)
        if broken:
            raise unreadable(self.images, broken)
        return torch.from_numpy(pixels)

    def _fill(self, slab: NDArray[np.uint8], start: int, at: int) -> dict[int, str]:
        """Decodes the next images from row ``at`` into a slab that begins at row ``start``."""
        broken = {}
        for row in range(at, min(at + AT_ONCE, start + len(slab))):
            try:
                slab[row - start] = self.read(row)
            except Unreadable as error:
                slab[row - start] = 0
                broken[row] = str(error)
        return broken

    def read(self, row: int) -> NDArray[np.uint8]:
        """Uint8 [C, H, W] of one image; call within ``quiet``.

        Raises:
            Unreadable: it does not decode.
            DataError: it has another size than the first.
        """
        image = read_rgb(self.images, row, self.reading).transpose(2, 0, 1)
        if image.shape != self.shape:
            (_, h, w), (_, first_h, first_w) = image.shape, self.shape
            raise DataError(
                f"{self.images.name(row)} has {w}x{h} pixels and {self.images.name(self.model)} "
                f"has {first_w}x{first_h}; give --image-size to bring all to one size"
            )
        return image


def unreadable(images: Encoded, broken: dict[int, str]) -> DataError:
    """The error that names images that do not decode, with the first one's reason."""
    names = [images.name(row) for row in sorted(broken)]
    reason, _, way = broken[min(broken)].partition("; ")
    advice = f"{_way_out(broken.values())}, or give --skip-unreadable"
    if len(names) == 1:
        what = "is not read" if way else "does not decode as an image"
        return DataError(f"{names[0]}: {what} ({reason}); {advice}")
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    listed = ", ".join(names[:NAMED]) + more
    return DataError(f"{len(names)} images do not decode: {listed} (the first: {reason}); {advice}")


def _way_out(reasons: Collection[str]) -> str:
    """What to do about images that do not decode, by their reasons; see ``Unreadable``."""
    ways: dict[str, str] = {}
    for reason in reasons:
        way = reason.partition("; ")[2] or "mend or remove what is broken"
        # Ways that differ in a number alone are one, with the largest.
        kind = re.sub(r"\d+", "", way)
        ways[kind] = max(ways.get(kind, way), way, key=_last_number)
    return "; ".join(ways.values())


def _last_number(way: str) -> int:
    return int((re.findall(r"\d+", way) or ["0"])[-1])


def slabs(n: int, shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Start and stop of runs of images that take some 64 MB each."""
    count = max(1, SLAB_BYTES // int(np.prod(shape)))
    for start in range(0, n, count):
        yield start, min(n, start + count)
