"""The decoder from encoded images to pixels. All ways to hold pixels use it."""

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

# With the same version, the same file gives the same pixels. Raise the number when pixels change.
DECODER = f"3, Pillow {PILLOW}"
SLAB_BYTES = 1 << 26
# A thread takes this many images at once: decoding a small image is faster than handing it out.
AT_ONCE = 16
# The largest number of unreadable images that an error names.
NAMED = 100


@dataclass(frozen=True)
class Decoder:
    """Decodes encoded images to pixels of one size.

    Attributes:
        images: the encoded images.
        reading: how the images are read.
        shape: C, H, W of every image, taken from the first image that decodes.
        model: the row of this first image.
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
        """The decoder for some images. It decodes the images up to the first good one.

        Args:
            images: all images of a data set. A survey of all decides how each is read.
            size: the side of the square that all images are resized to, or None.
            fit: how images are fitted into the square.
            max_megapixels: images with more are refused; None for Pillow's own limit.
            seen: a survey of these images, or None to make one.

        Raises:
            DataError: no image decodes.
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
        """Whether an image decodes."""
        try:
            with quiet():
                read_rgb(self.images, row, self.reading)
        except Unreadable:
            return False
        return True

    def read_all(
        self, pixels: NDArray[np.uint8] | None = None, broken: dict[int, str] | None = None
    ) -> Iterator[NDArray[np.uint8]]:
        """The pixels of all images, slab by slab and in order, with a thread for each processor.

        Args:
            pixels: uint8 [n, C, H, W], filled with the pixels; the slabs are its parts. Without
                it, all slabs share one buffer, and a slab is valid until the next one.
            broken: receives the rows that do not decode, with the reason. Their pixels are black.

        Raises:
            DataError: an image differs in size from the first one; or an image does not decode and
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
        """The pixels of some images, uint8 [B, C, H, W], decoded one after the other.

        Raises:
            DataError: some do not decode (the message names them), or an image differs in size
                from the first one.
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
        """The pixels of one image, uint8 [C, H, W]. Call it within ``quiet``.

        Raises:
            Unreadable: the image does not decode.
            DataError: it differs in size from the first one.
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
    """An error that names the images that do not decode, with the reason for the first."""
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
    """Advice about images that do not decode, from their reasons; see ``Unreadable``."""
    ways: dict[str, str] = {}
    for reason in reasons:
        way = reason.partition("; ")[2] or "mend or remove what is broken"
        # Advice that differs only in a number is given once, with the largest number.
        kind = re.sub(r"\d+", "", way)
        ways[kind] = max(ways.get(kind, way), way, key=_last_number)
    return "; ".join(ways.values())


def _last_number(way: str) -> int:
    return int((re.findall(r"\d+", way) or ["0"])[-1])


def slabs(n: int, shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Start and stop of each slab: a run of images of about 64 MB."""
    count = max(1, SLAB_BYTES // int(np.prod(shape)))
    for start in range(0, n, count):
        yield start, min(n, start + count)
