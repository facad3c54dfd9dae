"""Encoded images to pixels: the one decoder, whichever way the pixels are then held."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL import __version__ as PILLOW

from tdctl.errors import DataError
from tdctl.sources import Encoded
from tdctl.torchrun import sharing

__all__ = ["DECODER", "Decoder", "own_processors", "slabs", "unreadable"]

# What the same file gives the same pixels by. Raise the number when the pixels change.
DECODER = f"2, Pillow {PILLOW}"
SLAB_BYTES = 1 << 26
# Images that a thread decodes at a time: small ones take less long than handing them out.
AT_ONCE = 16
# What Pillow's readers raise on bytes that are not what they begin as, beside OSError.
PILLOW_ERRORS = (
    Image.DecompressionBombError,
    SyntaxError,
    ValueError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
)
# How many unreadable images one error names.
NAMED = 100


def own_processors() -> int:
    """This process's share of the processors, where torchrun started several here."""
    return max(1, (os.cpu_count() or 1) // sharing())


class _Unreadable(ValueError):
    """The bytes are no image; the message says why."""


@dataclass(frozen=True)
class Decoder:
    """Encoded images that decode to one size.

    Attributes:
        images: where they are.
        size: side that all are brought to, or None.
        shape: C, H, W of every image: that of the first one that decodes.
        model: its row.
    """

    images: Encoded
    size: int | None
    shape: tuple[int, int, int]
    model: int

    @classmethod
    def of(cls, images: Encoded, size: int | None) -> Decoder:
        """The decoder of some images; reads up to the first that decodes.

        Raises:
            DataError: none does.
        """
        broken: dict[int, str] = {}
        with _quiet():
            for row in range(len(images)):
                try:
                    h, w, c = _read_rgb(images, row, size).shape
                except _Unreadable as error:
                    broken[row] = str(error)
                    continue
                return cls(images, size, (c, h, w), row)
        raise unreadable(images, broken)

    def __len__(self) -> int:
        return len(self.images)

    def decodes(self, row: int) -> bool:
        """Whether one image decodes."""
        try:
            with _quiet():
                _read_rgb(self.images, row, self.size)
        except _Unreadable:
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
                with _quiet():
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
        with _quiet():
            for at, row in enumerate(rows):
                try:
                    pixels[at] = self._read(int(row))
                except _Unreadable as error:
                    broken[int(row)] = str(error)
        if broken:
            raise unreadable(self.images, broken)
        return torch.from_numpy(pixels)

    def _fill(self, slab: NDArray[np.uint8], start: int, at: int) -> dict[int, str]:
        """Decodes the next images from row ``at`` into a slab that begins at row ``start``."""
        broken = {}
        for row in range(at, min(at + AT_ONCE, start + len(slab))):
            try:
                slab[row - start] = self._read(row)
            except _Unreadable as error:
                slab[row - start] = 0
                broken[row] = str(error)
        return broken

    def _read(self, row: int) -> NDArray[np.uint8]:
        image = _read_rgb(self.images, row, self.size).transpose(2, 0, 1)
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
    reason = broken[min(broken)]
    advice = "mend or remove what is broken, or give --skip-unreadable"
    if len(names) == 1:
        return DataError(f"{names[0]}: does not decode as an image ({reason}); {advice}")
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    listed = ", ".join(names[:NAMED]) + more
    return DataError(f"{len(names)} images do not decode: {listed} (the first: {reason}); {advice}")


def slabs(n: int, shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Start and stop of runs of images that take some 64 MB each."""
    count = max(1, SLAB_BYTES // int(np.prod(shape)))
    for start in range(0, n, count):
        yield start, min(n, start + count)


def _read_rgb(images: Encoded, row: int, size: int | None) -> NDArray[np.uint8]:
    try:
        with Image.open(images.open(row), formats=_formats()) as file:
            # A copy of its own would double what a large one takes.
            ImageOps.exif_transpose(file, in_place=True)
            image = _as_rgb(file)
    except UnidentifiedImageError:
        # Pillow's words hold the path a second time, or the address of an object in memory.
        raise _Unreadable("of no known image format") from None
    except OSError as error:
        # Pillow's own carry no errno, the system's a path that the message has already.
        raise _Unreadable(_in_a_line(error.strerror or error)) from None
    except PILLOW_ERRORS as error:
        raise _Unreadable(_in_a_line(error)) from None
    if size is not None and image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)


@cache
@cache
def _formats() -> tuple[str, ...]:
    """What Pillow reads by itself: for EPS it would run Ghostscript on whatever is called .jpg."""
    Image.init()
    return tuple(name for name in Image.ID if name != "EPS")


@contextmanager
def _quiet() -> Iterator[None]:
    """Pillow warns of odd metadata in its own words; what matters becomes an error of ours."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        yield


def _in_a_line(error: object) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _as_rgb(image: Image.Image) -> Image.Image:
    """Eight bits a channel: Pillow alone would clip deeper greyscale at 255 instead of scaling."""
    if image.mode == "F":
        raise ValueError("32-bit floating point pixels have no known range")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("more than 16 bits a pixel")
        deep = image.mode.startswith("I;16") or values.max() > 255
        image = Image.fromarray((values >> 8 if deep else values).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")
