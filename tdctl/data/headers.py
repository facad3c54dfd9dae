"""Width and height of pictures, read from the first bytes of their files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from tdctl.data.picture import Unreadable, opened, quiet
from tdctl.data.survey import AT_ONCE, HEAD_BYTES, HEADS, PNG, THREADS, first_bytes, spread
from tdctl.sources import Encoded

__all__ = ["first_other_size", "size_in"]

Size = tuple[int, int]
# The JPEG markers whose segment holds the size: all of SOF but DHT, JPG and DAC.
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def size_in(head: bytes) -> Size | None:
    """Width and height by the first bytes of a JPEG or PNG file; None where they do not tell.

    Source: ITU T.81, annex B (JPEG), and W3C PNG, 11.2.2 (IHDR).
    """
    if head.startswith(PNG) and head[12:16] == b"IHDR":
        return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
    if not head.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        if head[at + 1] in FRAMES:
            return int.from_bytes(head[at + 7 : at + 9]), int.from_bytes(head[at + 5 : at + 7])
        at += 2 + int.from_bytes(head[at + 2 : at + 4])
    return None


def first_other_size(images: Encoded, size: Size, max_pixels: float | None) -> Size | None:
    """The size of the first picture that differs from a size; None if none does.

    All heads are read, of very many pictures a sample. Pictures that do not open are left out.

    Args:
        images: n encoded pictures.
        size: width and height to compare with.
        max_pixels: pictures with more pixels do not open; None for no limit.
    """

    def other(rows: NDArray[np.int64]) -> Size | None:
        sizes = (_size(images, row, max_pixels) for row in rows.tolist())
        return next((one for one in sizes if one not in (None, size)), None)

    rows = spread(len(images), HEADS)
    parts = np.array_split(rows, max(1, -(-len(rows) // AT_ONCE)))
    with quiet(), ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(other, parts)
        return next((one for one in found if one is not None), None)


def _size(images: Encoded, row: int, max_pixels: float | None) -> Size | None:
    try:
        found = size_in(first_bytes(images, row, HEAD_BYTES))
    except OSError:
        return None
    if found is not None:
        return found
    try:
        with opened(images, row, max_pixels) as file:
            return file.size
    except Unreadable:
        return None
