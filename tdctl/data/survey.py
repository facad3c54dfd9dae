"""Looks at the heads of encoded pictures, to decide how all pictures are read."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tdctl.data.picture import GROUNDS, Unreadable, opened, quiet
from tdctl.sources import Encoded

__all__ = ["Survey", "first_bytes", "of_all", "spread", "survey"]

# The largest number of files to look at. If there are more, these are evenly spread.
HEADS = 100_000
HEAD_BYTES = 4096
# Limits for decoding deep and transparent pictures: at most PIXELS pixels together, but at least
# AT_LEAST pictures; and at most TRANSPARENT transparent ones.
PIXELS, AT_LEAST = 100_000_000, 32
TRANSPARENT = 500
# Threads that read heads, files that one of them takes at a time, and threads that decode.
THREADS, AT_ONCE, DECODING = 8, 256, 4
# A picture's object is lost on a ground that leaves less than this share of its best contrast.
LOST = 0.2

T = TypeVar("T")
Kind = Literal["plain", "deep", "deep colour", "clear"]
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Survey:
    """What was found in the heads of a data set's pictures.

    It depends only on the files and their order, not on where the pixels are held.

    Attributes:
        rows: int64 [m], the pictures whose heads were looked at.
        heads: int64 [m], a checksum of each picture's first bytes; -1 if it cannot be reached.
        bits: the number of bits that deep (16-bit) greyscale pictures use: 8, 10, 12, 14 or 16.
        ground: the name of the colour behind transparent pictures; None if none is transparent.
        notes: what the user should know, one line each.
    """

    rows: NDArray[np.int64]
    heads: NDArray[np.int64]
    bits: int = 16
    ground: str | None = None
    notes: tuple[str, ...] = ()


def spread(count: int, most: int) -> NDArray[np.int64]:
    """At most ``most`` of the numbers below ``count``, evenly spread; int64."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def of_all(looked: int, count: int) -> str:
    """The words that a note adds if only a part was looked at; else ``""``."""
    return "" if looked == count else f" (of {looked:,} looked at)"


def survey(images: Encoded, max_pixels: float | None) -> Survey:
    """Looks at the heads of pictures, and decodes some of the deep and transparent ones.

    Args:
        images: all pictures of a data set, training and test.
        max_pixels: pictures with more pixels are left out; None for no limit.
    """
    rows = spread(len(images), HEADS)
    parts = np.array_split(rows, max(1, -(-len(rows) // AT_ONCE)))
    with quiet(), ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda part: [_head(images, int(row)) for row in part], parts))
    heads = [one for part in found for one in part]
    rows_of: dict[str, NDArray[np.int64]] = {
        kind: rows[[one[1] == kind for one in heads]] for kind in ("deep", "deep colour", "clear")
    }
    bits, of_depth = _depth(images, rows_of["deep"], max_pixels)
    ground, of_ground = _ground(images, rows_of["clear"], max_pixels)
    of_colour = _deep_colour(images, rows_of["deep colour"])
    checksums = np.array([one[0] for one in heads], dtype=np.int64)
    return Survey(rows, checksums, bits, ground, (*of_depth, *of_colour, *of_ground))


def first_bytes(images: Encoded, row: int, count: int) -> bytes:
    """The first bytes of a picture's file.

    Raises:
        OSError: it cannot be read.
    """
    place = images.open(row)
    if not isinstance(place, str):
        return place.read(count)
    handle = os.open(place, os.O_RDONLY)
    try:
        return os.read(handle, count)
    finally:
        os.close(handle)


def _head(images: Encoded, row: int) -> tuple[int, Kind]:
    """A checksum of a picture's first bytes, and the kind of its pixels."""
    try:
        head = first_bytes(images, row, HEAD_BYTES)
    except OSError:
        return -1, "plain"
    return zlib.crc32(head), _kind(head, lambda: _kind_by_pillow(images, row))


def _kind(head: bytes, otherwise: Callable[[], Kind]) -> Kind:
    """The kind of a picture. The head is enough for JPEG and PNG; Pillow is asked about others."""
    if head.startswith(b"\xff\xd8"):
        return "plain"
    before, data, _ = head.partition(b"IDAT")
    if not head.startswith(PNG) or not data or len(before) < 26:
        return otherwise()
    depth, colour = before[24], before[25]
    if depth == 16 and colour == 0:
        return "deep"
    if depth == 16 and colour == 2 and b"tRNS" not in before:
        return "deep colour"
    # Pictures of 16 bits with alpha are also deep in colour, but the ground matters more.
    return "clear" if colour in {4, 6} or b"tRNS" in before else "plain"


def _kind_by_pillow(images: Encoded, row: int) -> Kind:
    try:
        with opened(images, row, None) as file:
            if file.mode.startswith("I"):
                return "deep"
            if file.has_transparency_data:
                return "clear"
            # Tag 258 of a TIFF file: bits of each channel.
            tags = getattr(file, "tag_v2", {})
            return "deep colour" if max(np.ravel(tags.get(258, 8))) > 8 else "plain"
    except Unreadable:
        return "plain"


def _within(
    images: Encoded, rows: NDArray[np.int64], most: int, max_pixels: float | None
) -> NDArray[np.int64]:
    """Some of the rows, evenly spread, so that their pixels stay within the limit together."""
    sizes = []
    for row in rows[spread(len(rows), AT_LEAST)]:
        try:
            with opened(images, int(row), max_pixels) as file:
                sizes.append(file.width * file.height)
        except Unreadable:
            continue
    mean = max(1, sum(sizes) // max(1, len(sizes)))
    count = min(most, max(AT_LEAST, PIXELS // mean))
    return rows[spread(len(rows), count)]


def _depth(
    images: Encoded, rows: NDArray[np.int64], max_pixels: float | None
) -> tuple[int, tuple[str, ...]]:
    """The number of bits that deep greyscale pictures use. The largest value of all decides."""
    if not len(rows):
        return 16, ()

    def deepest(row: int) -> int:
        try:
            with opened(images, row, max_pixels) as file:
                values = np.asarray(file)
        except Unreadable:
            return -1
        # Values outside this range are refused when the picture is decoded.
        return int(values.max()) if values.min() >= 0 and values.max() <= 65535 else -1

    with quiet():
        looked = _within(images, rows, len(rows), max_pixels)
        high = max(_mapped(deepest, looked))
    if high < 0:
        return 16, ()
    bits = next(bits for bits in (8, 10, 12, 14, 16) if high < 1 << bits)
    if bits == 16:
        return bits, ()
    how = "are read as they are" if bits == 8 else f"are divided by {1 << (bits - 8)}"
    part = "" if len(looked) == len(rows) else f"; {len(looked):,} looked at, deeper ones are white"
    return bits, (
        f"{len(rows):,} greyscale images have 16 bits a pixel and values up to {high:,}{part}: "
        f"taken for {bits} bits, all of them {how}",
    )


def _deep_colour(images: Encoded, rows: NDArray[np.int64]) -> tuple[str, ...]:
    if not len(rows):
        return ()
    return (
        f"{len(rows):,} images have 16 bits a channel in colour, first {images.name(int(rows[0]))}:"
        " the upper 8 are read; where values use the lower ones alone, write them as 8 bits",
    )


def _ground(
    images: Encoded, rows: NDArray[np.int64], max_pixels: float | None
) -> tuple[str | None, tuple[str, ...]]:
    """The ground on which the fewest transparent pictures lose their object.

    All pictures get the same ground. If each had its own, a network could learn from the ground.
    """
    if not len(rows):
        return None, ()

    def contrasts(row: int) -> list[float] | None:
        try:
            with opened(images, row, max_pixels) as file:
                return _contrasts(file)
        except Unreadable:
            return None

    with quiet():
        looked = _within(images, rows, TRANSPARENT, max_pixels)
        found = [one for one in _mapped(contrasts, looked) if one is not None]
    if not found:
        return None, ()
    shown = np.array(found)
    most = shown.max(axis=1, keepdims=True)
    lost = (shown < LOST * most).sum(axis=0).tolist()
    ground = list(GROUNDS)[lost.index(min(lost))]
    why = "" if ground == "white" else ", where fewer lose their form than on white"
    return ground, (
        f"{len(found):,} images have transparent parts{of_all(len(looked), len(rows))}: "
        f"all such are laid on {ground}{why}",
    )


def _contrasts(file: Image.Image) -> list[float] | None:
    """The contrast of a picture on each ground; None if no part of it is transparent."""
    if file.mode.startswith("I") or not file.has_transparency_data:
        return None
    whole = file.convert("RGBA")
    if whole.getchannel("A").getextrema() == (255, 255):
        return None
    whole.thumbnail((64, 64), Image.Resampling.BILINEAR)
    rgb, alpha = np.split(np.asarray(whole).astype(np.float64), [3], axis=2)
    alpha /= 255
    laid = (rgb * alpha + np.array(colour) * (1 - alpha) for colour in GROUNDS.values())
    return [float(one.std(axis=(0, 1)).max()) for one in laid]


def _mapped(function: Callable[[int], T], rows: NDArray[np.int64]) -> list[T]:
    with ThreadPoolExecutor(DECODING) as pool:
        return list(pool.map(function, rows.tolist()))
