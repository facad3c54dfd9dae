"""Reads one picture as a person sees it, as eight bits of red, green and blue."""

from __future__ import annotations

import errno
import math
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from tdctl.folders.pictures import readers
from tdctl.sources import Encoded

__all__ = [
    "GROUNDS", "Fit", "Reading", "Unreadable", "megapixels", "opened", "quiet", "read_rgb",
    "read_small",
]  # fmt: skip

Fit = Literal["crop", "pad", "squash"]
# A JPEG that is decoded at a reduced size is then resized with antialiasing, by at least this
# factor. So its pixels hardly differ from those of the whole picture.
SPARE = 2
Colour = tuple[int, int, int]
# The grounds on which transparent pictures are laid. Among equally good ones the first is taken.
GROUNDS: dict[str, Colour] = {
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "grey": (128, 128, 128),
    "magenta": (255, 0, 255),
}
# Besides OSError, Pillow's readers raise these when the content does not fit the first bytes.
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
# The way out of what is no fault of the picture.
SYSTEM_SAYS = {
    errno.EACCES: "; give yourself the right to read it",
    errno.ENOENT: "; put the file back, or remove what leads to it",
}
# The brands of HEIC and AVIF files, and where they stand.
HEIC, AVIF = (
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"},
    {b"avif", b"avis"},
)
BRAND = slice(8, 12)
REWRITE = "write it with 8 or 16 bits a pixel, all pictures by the same factor"


class Unreadable(ValueError):
    """A picture cannot be read. The message says why.

    If the file itself is not broken, advice follows in the message after ``; ``.
    """


@dataclass(frozen=True)
class Reading:
    """How the pictures of a data set are read: the same way for all of them.

    Attributes:
        size: the side of the square that pictures are resized to, or None.
        fit: how a picture is fitted into the square. ``crop`` takes the middle square, ``pad``
            adds bars, and ``squash`` changes the aspect ratio.
        bits: the number of bits that deep (16-bit) greyscale pictures use: 8, 10, 12, 14 or 16.
        ground: the name in ``GROUNDS`` of the colour behind transparent pictures. None if no
            picture is known to be transparent; an unexpected one is then laid on white.
        max_pixels: pictures with more pixels are refused; None for no limit.
        reduced: whether a large JPEG is decoded at a half, a quarter or an eighth of its size,
            if that is still at least ``SPARE`` times the size that it is resized to.
    """

    size: int | None = None
    fit: Fit = "crop"
    bits: int = 16
    ground: str | None = None
    max_pixels: float | None = None
    reduced: bool = False

    @property
    def colour(self) -> Colour:
        """The colour of the ground."""
        return GROUNDS[self.ground or "white"]


def megapixels(limit: float | None) -> float | None:
    """The largest number of pixels of a picture, from a limit in millions; None for no limit.

    Without a limit, Pillow's own applies: it refuses pictures of more than twice
    ``Image.MAX_IMAGE_PIXELS``.
    """
    if limit is not None:
        return limit * 1e6
    pillows = _lifted.found if _lifted.users else Image.MAX_IMAGE_PIXELS
    return None if pillows is None else 2 * pillows


def read_rgb(images: Encoded, row: int, reading: Reading) -> NDArray[np.uint8]:
    """The pixels of one picture, uint8 [H, W, 3].

    Raises:
        Unreadable: the picture does not decode, is too large, or its range of values is unknown.
    """
    with opened(images, row, reading.max_pixels) as file:
        if reading.reduced and reading.size is not None:
            # Only JPEG has a draft. It is never smaller than what is asked for.
            file.draft(None, _least(file.size, reading.size, reading.fit))
        # A copy would double the memory for a large picture.
        ImageOps.exif_transpose(file, in_place=True)
        image = _as_rgb(file, reading)
    if reading.size is not None and image.size != (reading.size, reading.size):
        image = _fitted(image, reading.size, reading)
    return np.asarray(image)


def _least(size: tuple[int, int], side: int, fit: Fit) -> tuple[int, int]:
    """The least width and height at which a picture may be decoded for a square of a side.

    The shorter side of a picture fills the square, or (with ``pad``) the longer one.
    """
    edge = max(size) if fit == "pad" else min(size)
    width, height = (max(1, -(-SPARE * side * one // edge)) for one in size)
    return width, height


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
    """Opens one picture and reads only its head. Call it within ``quiet``.

    Raises:
        Unreadable: as ``read_rgb``. Errors of Pillow within the block are turned into it, too.
    """
    try:
        with Image.open(images.open(row), formats=readers()) as file:
            _check_pixels(file.width * file.height, max_pixels)
            yield file
    except Unreadable:
        raise
    except UnidentifiedImageError:
        # Pillow's message repeats the path, or has the address of an object in memory.
        raise _unknown(images, row) from None
    except OSError as error:
        # Pillow's own carry no errno, the system's a path that the message has already.
        way = SYSTEM_SAYS.get(error.errno or 0, "")
        raise Unreadable(_in_a_line(error.strerror or error) + way) from None
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


def _unknown(images: Encoded, row: int) -> Unreadable:
    """Why a picture is of no format that is read, and what would help."""
    place = images.open(row)
    if isinstance(place, str):
        with open(place, "rb") as file:  # noqa: PTH123 - a path is a string here
            head = file.read(BRAND.stop)
    else:
        head = place.read(BRAND.stop)
    brand = head[BRAND] if head[4:8] == b"ftyp" else b""
    if brand in HEIC and "HEIF" not in readers():
        return Unreadable("HEIC, which Pillow does not read; pip install 'tdctl[heif]'")
    if brand in AVIF and "AVIF" not in readers():
        return Unreadable("AVIF, which this Pillow was built without; pip install -U pillow")
    return Unreadable("of no known image format")


class _Lifted:
    """Lifts Pillow's limit of pixels while our own applies. There is one for the whole process."""

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
    """Turns off Pillow's warnings and its limit of pixels within the block.

    The warnings are about odd metadata. Real problems become our own errors. The limit is restored
    when the last user leaves its block.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        _lifted.lift()
        try:
            yield
        finally:
            _lifted.restore()


def _in_a_line(error: object) -> str:
    # A semicolon would begin the advice; see Unreadable.
    return " ".join(str(error).split()).replace(";", ",") or type(error).__name__


def _as_rgb(image: Image.Image, reading: Reading) -> Image.Image:
    """The picture with eight bits per channel. Transparent parts show the ground."""
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
    """A deep greyscale picture, scaled to eight bits. Pillow would clip its values at 255."""
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
    """A picture resized to a square."""
    how = Image.Resampling.BILINEAR
    if reading.fit == "crop":
        return ImageOps.fit(image, (side, side), how)
    if reading.fit == "squash":
        return image.resize((side, side), how)
    longer = max(image.size)
    width, height = (max(1, round(side * edge / longer)) for edge in image.size)
    # Bars have the colour of the ground. Black bars beside an object on white would look like a
    # second object.
    bars = (0, 0, 0) if reading.ground is None else reading.colour
    square = Image.new("RGB", (side, side), bars)
    small = image.resize((width, height), how)
    square.paste(small, ((side - width) // 2, (side - height) // 2))
    return square
