"""The decoder from encoded images to pixels. All ways to hold pixels use it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import __version__ as PILLOW

from tdctl.data.picture import Fit, Reading, Unreadable, megapixels, quiet, read_rgb
from tdctl.data.survey import Survey, survey
from tdctl.data.workers import in_processes
from tdctl.errors import DataError
from tdctl.processors import own_processors
from tdctl.sources import Encoded

__all__ = ["DECODER", "Decoder", "Told", "slabs", "unreadable"]

# Is told how many images are decoded so far, and of how many.
Told = Callable[[int, int], None]

# With the same version, the same file gives the same pixels. Raise the number when pixels change.
DECODER = f"3, Pillow {PILLOW}"
SLAB_BYTES = 1 << 26
# A process takes this many images at once, as decoding a small image is faster than handing it out;
# and at most this many bytes, for its part of /dev/shm.
AT_ONCE, PART_BYTES = 16, 1 << 22
# Processes decode if one alone would need more seconds than this. To start them takes a tenth.
PROCESSES_PAY = 2.0
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
        reduced: bool = False,
    ) -> Decoder:
        """The decoder for some images. It decodes the images up to the first good one.

        Args:
            images: all images of a data set. A survey of all decides how each is read.
            size: the side of the square that all images are resized to, or None.
            fit: how images are fitted into the square.
            max_megapixels: images with more are refused; None for Pillow's own limit.
            seen: a survey of these images, or None to make one.
            reduced: whether large JPEGs are decoded at a reduced size; see ``Reading``.

        Raises:
            DataError: no image decodes.
        """
        limit = megapixels(max_megapixels)
        seen = survey(images, limit) if seen is None else seen
        reading = Reading(size, fit, seen.bits, seen.ground, limit, reduced)
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
        self,
        pixels: NDArray[np.uint8] | None = None,
        broken: dict[int, str] | None = None,
        told: Told | None = None,
    ) -> Iterator[NDArray[np.uint8]]:
        """The pixels of all images, slab by slab and in order.

        If it takes long, a process for each processor decodes: a small image keeps Python's lock,
        so that threads would wait for each other.

        Args:
            pixels: uint8 [n, C, H, W], filled with the pixels; the slabs are its parts. Without
                it, all slabs share one buffer, and a slab is valid until the next one.
            broken: receives the rows that do not decode, with the reason. Their pixels are black.
            told: is told the number of images decoded so far, and of all.

        Raises:
            DataError: an image differs in size from the first one; or an image does not decode and
                ``broken`` is not given.
        """
        buffer, done = None, 0
        parts = self._parts()
        results = self._all(parts)
        for start, stop in slabs(len(self), self.shape):
            if pixels is not None:
                slab = pixels[start:stop]
            else:
                if buffer is None:
                    buffer = np.empty((stop - start, *self.shape), dtype=np.uint8)
                slab = buffer[: stop - start]
            found: dict[int, str] = {}
            while done < stop:
                some, reasons = next(results)
                slab[done - start : done - start + len(some)] = some.numpy()
                found |= reasons
                done += len(some)
                if told is not None:
                    told(done, len(self))
            if found and broken is None:
                raise unreadable(self.images, found)
            if broken is not None:
                broken |= found
            yield slab

    def _parts(self) -> list[NDArray[np.int64]]:
        """The rows, in parts of a few images that all lie in one slab."""
        at_once = max(1, min(AT_ONCE, PART_BYTES // int(np.prod(self.shape))))
        return [
            np.arange(at, min(at + at_once, stop), dtype=np.int64)
            for start, stop in slabs(len(self), self.shape)
            for at in range(start, stop, at_once)
        ]

    def _all(self, parts: list[NDArray[np.int64]]) -> Iterator[tuple[torch.Tensor, dict[int, str]]]:
        """The pixels of each part, and the rows that do not decode with the reasons."""
        started, workers = time.perf_counter(), own_processors()
        for number, part in enumerate(parts):
            yield self.some(part)
            each = (time.perf_counter() - started) / (number + 1)
            left = parts[number + 1 :]
            if workers > 1 and each * len(left) > PROCESSES_PAY:
                yield from in_processes(self.some, left, workers, self.images.name(0))
                return

    def some(self, rows: NDArray[np.int64]) -> tuple[torch.Tensor, dict[int, str]]:
        """The pixels of some images, uint8 [B, C, H, W]; black for the rows that do not decode.

        Returns:
            The pixels, and these rows with the reason.

        Raises:
            DataError: an image differs in size from the first one.
        """
        pixels, broken = np.zeros((len(rows), *self.shape), dtype=np.uint8), {}
        with quiet():
            for at, row in enumerate(rows.tolist()):
                try:
                    pixels[at] = self.read(row)
                except Unreadable as error:
                    broken[row] = str(error)
        return torch.from_numpy(pixels), broken

    def batch(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """The pixels of some images, uint8 [B, C, H, W], decoded one after the other.

        Raises:
            DataError: some do not decode (the message names them), or an image differs in size
                from the first one.
        """
        pixels, broken = self.some(rows)
        if broken:
            raise unreadable(self.images, broken)
        return pixels

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
