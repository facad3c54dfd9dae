"""One picture as a person sees it: from what Pillow opens to eight bits of red, green and blue."""

from __future__ import annotations

import math
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from tdctl.sources import Encoded

__all__ = [
    "GROUNDS", "Fit", "Reading", "Unreadable", "megapixels", "opened", "quiet", "read_rgb",
    "read_small",
]  # fmt: skip

Fit = Literal["crop", "pad", "squash"]
Colour = tuple[int, int, int]
# What transparent pictures are laid on, in the order in which equals are taken.
GROUNDS: dict[str, Colour] = {
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "grey": (128, 128, 128),
    "magenta": (255, 0, 255),
}
# What Pillow's readers raise on bytes that are not what they begin as, beside OSError.
PILLOW_ERRORS = (
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
REWRITE = "write it with 8 or 16 bits a pixel, all pictures by the same factor"


class Unreadable(ValueError):
    """The bytes are no picture that can be read; the message says why.

    What follows ``; `` in it is the way out, where the file itself is not broken.
    """


@dataclass(frozen=True)
class Reading:
    """How every picture of a data set is read: one rule for all of them.

    Attributes:
        size: side that all are brought to, or None.
        fit: how: the middle square, the whole between black bars, or the whole pressed square.
        bits: in use of the 16 that deep greyscale pictures have: 8, 10, 12, 14 or 16.
        ground: the name in ``GROUNDS`` of what transparent pictures are laid on; None where no
            picture is known to be transparent (one that is nevertheless gets white).
        max_pixels: a picture of more is refused unread; None for no limit.
    """

    size: int | None = None
    fit: Fit = "crop"
    bits: int = 16
    ground: str | None = None
    max_pixels: float | None = None

    @property
    def colour(self) -> Colour:
        """Of the ground."""
        return GROUNDS[self.ground or "white"]


def megapixels(limit: float | None) -> float | None:
    """The most pixels of a picture, for a limit in millions; Pillow's own where none is given.

    Pillow's is twice ``Image.MAX_IMAGE_PIXELS``, beyond which it refuses; None for no limit.
    """
    if limit is not None:
        return limit * 1e6
    pillows = _lifted.found if _lifted.users else Image.MAX_IMAGE_PIXELS
    return None if pillows is None else 2 * pillows


def read_rgb(images: Encoded, row: int, reading: Reading) -> NDArray[np.uint8]:
    """Uint8 [H, W, 3] of one picture.

    Raises:
        Unreadable: it does not decode, is larger than allowed, or has no known range of values.
    """
    with opened(images, row, reading.max_pixels) as file:
        # A copy of its own would double what a large one takes.
        ImageOps.exif_transpose(file, in_place=True)
        image = _as_rgb(file, reading)
    if reading.size is not None and image.size != (reading.size, reading.size):
        image = _fitted(image, reading.size, reading)
    return np.asarray(image)


def read_small(images: Encoded, row: int, reading: Reading, side: int) -> Image.Image:
    """One picture in RGB for people to look at: whole, no side longer than ``side``.

    Raises:
        Unreadable: as ``read_rgb``.
    """
    with opened(images, row, reading.max_pixels) as file:
        # A JPEG decodes several times faster to an eighth, a quarter or a half of its size.
        file.draft("RGB", (side, side))
        ImageOps.exif_transpose(file, in_place=True)
        image = _as_rgb(file, reading)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


@contextmanager
def opened(images: Encoded, row: int, max_pixels: float | None) -> Iterator[Image.Image]:
    """One picture, of which only the head is read; call within ``quiet``.

    Raises:
        Unreadable: as ``read_rgb``, of what is done within, too.
    """
    try:
        with Image.open(images.open(row), formats=_formats()) as file:
            _check_pixels(file.width * file.height, max_pixels)
            yield file
    except Unreadable:
        raise
    except UnidentifiedImageError:
        # Pillow's words hold the path a second time, or the address of an object in memory.
        raise Unreadable("of no known image format") from None
    except OSError as error:
        # Pillow's own carry no errno, the system's a path that the message has already.
        raise Unreadable(_in_a_line(error.strerror or error)) from None
    except PILLOW_ERRORS as error:
        raise Unreadable(_in_a_line(error)) from None


def _check_pixels(count: int, limit: float | None) -> None:
    if limit is not None and count > limit:
        raise Unreadable(
            f"{_millions(count)} megapixels, over the limit of {_millions(limit)}; give "
            f"--max-megapixels {math.ceil(count / 1e6)} to read it"
        )


def _millions(count: float) -> str:
    return f"{count / 1e6:.2f}" if count >= 1e6 else f"{count / 1e6:.6f}"


@cache
def _formats() -> tuple[str, ...]:
    """What Pillow reads by itself: for EPS it would run Ghostscript on whatever is called .jpg."""
    Image.init()
    return tuple(name for name in Image.ID if name != "EPS")


class _Lifted:
    """Pillow's own limit of pixels while ours holds: it is one for the whole process."""

    def __init__(self) -> None:
        self.lock, self.users, self.found = threading.Lock(), 0, Image.MAX_IMAGE_PIXELS

    def lift(self) -> None:
        with self.lock:
            if not self.users:
                self.found, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            self.users += 1

    def restore(self) -> None:
        with self.lock:
            self.users -= 1
            if not self.users:
                Image.MAX_IMAGE_PIXELS = self.found


_lifted = _Lifted()


@contextmanager
def quiet() -> Iterator[None]:
    """Pillow's warnings and its limit of pixels put aside; what matters becomes an error of ours.

    Its warnings are of odd metadata, in its own words. The limit is back when the last one leaves.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        _lifted.lift()
        try:
            yield
        finally:
            _lifted.restore()


def _in_a_line(error: object) -> str:
    # A semicolon marks the way out.
    return " ".join(str(error).split()).replace(";", ",") or type(error).__name__


def _as_rgb(image: Image.Image, reading: Reading) -> Image.Image:
    """Eight bits a channel, with what is transparent laid on the ground."""
    if image.mode == "F":
        raise Unreadable(f"32-bit floating point pixels have no known range; {REWRITE}")
    if image.mode.startswith("I"):
        image = _in_eight_bits(image, reading.bits)
    if image.has_transparency_data:
        whole = image.convert("RGBA")
        alpha = whole.getchannel("A")
        if alpha.getextrema() != (255, 255):
            laid = Image.new("RGB", image.size, reading.colour)
            laid.paste(whole.convert("RGB"), mask=alpha)
            return laid
        image = whole if image.mode == "P" else image
    return image.convert("RGB")


def _in_eight_bits(image: Image.Image, bits: int) -> Image.Image:
    """Deep greyscale scaled: Pillow alone would clip it at 255."""
    values = np.asarray(image).astype(np.int64)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise Unreadable(
            f"values from {low} to {high}, outside of the 0 to 65535 of 16 bits a pixel; {REWRITE}"
        )
    grey = Image.fromarray(np.minimum(values >> (bits - 8), 255).astype(np.uint8))
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        alpha = np.where(values == clear, 0, 255).astype(np.uint8)
        return Image.merge("LA", (grey, Image.fromarray(alpha)))
    return grey


def _fitted(image: Image.Image, side: int, reading: Reading) -> Image.Image:
    """A picture brought to a square."""
    how = Image.Resampling.BILINEAR
    if reading.fit == "crop":
        return ImageOps.fit(image, (side, side), how)
    if reading.fit == "squash":
        return image.resize((side, side), how)
    longer = max(image.size)
    width, height = (max(1, round(side * edge / longer)) for edge in image.size)
    # Bars of the ground: beside a form on white, black ones would be a second form.
    bars = (0, 0, 0) if reading.ground is None else reading.colour
    square = Image.new("RGB", (side, side), bars)
    small = image.resize((width, height), how)
    square.paste(small, ((side - width) // 2, (side - height) // 2))
    return square
