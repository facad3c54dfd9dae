"""Pictures as small data URIs: PNG where that is smaller or exact, else JPEG."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from tdctl.data.picture import Reading, Unreadable, quiet, read_small
from tdctl.processors import own_processors
from tdctl.sources import Encoded

__all__ = ["SIDES", "Thumbnails"]

# The longer side of a picture, in pixels: the largest is taken with which all fit.
SIDES = (256, 192, 144, 112, 88, 64)
QUALITY = 82
# Up to so many pixels a PNG may be the smaller file, and its pixels are the picture's own.
TINY = 64 * 64
TRIED = 24


@dataclass(frozen=True)
class Thumbnails:
    """Pictures by row.

    Attributes:
        images: encoded, or uint8 [n, C, H, W].
        reading: how encoded ones are read.
    """

    images: Encoded | torch.Tensor
    reading: Reading

    def side_for(self, rows: NDArray[np.int64], budget: int, each: int) -> int:
        """The largest of ``SIDES`` with which these rows fit into so many bytes; else the smallest.

        Args:
            rows: int64 [m].
            budget: bytes for all of them.
            each: bytes that a row takes beside its picture.
        """
        if not len(rows):
            return SIDES[-1]
        some = rows[np.unique(np.linspace(0, len(rows) - 1, TRIED).astype(np.int64))]
        for side in SIDES:
            found = [len(text) for text in self.encoded(some, side) if text]
            mean = sum(found) / len(found) if found else 0
            if (mean + each) * len(rows) <= budget:
                return side
        return SIDES[-1]

    def encoded(self, rows: NDArray[np.int64], side: int) -> list[str]:
        """``p`` (PNG) or ``j`` (JPEG) and base 64 of each row; empty where it does not decode."""
        with quiet(), ThreadPoolExecutor(own_processors()) as pool:
            return list(pool.map(lambda row: self._one(int(row), side), rows))

    def _one(self, row: int, side: int) -> str:
        if row < 0:
            return ""
        if isinstance(self.images, torch.Tensor):
            image = _of_pixels(self.images[row].numpy())
            image.thumbnail((side, side), Image.Resampling.LANCZOS)
            return _smaller(image)
        try:
            return _smaller(read_small(self.images, row, self.reading, side))
        except Unreadable:
            return ""


def _of_pixels(pixels: NDArray[np.uint8]) -> Image.Image:
    """Of uint8 [C, H, W]."""
    if pixels.shape[0] == 1:
        return Image.fromarray(pixels[0])
    return Image.fromarray(np.ascontiguousarray(pixels[:3].transpose(1, 2, 0)))


def _smaller(image: Image.Image) -> str:
    grey = _without_colour(image)
    found: Sequence[tuple[str, bytes]] = [("j", _bytes(grey, "JPEG", quality=QUALITY))]
    if image.width * image.height <= TINY:
        found = [*found, ("p", _bytes(grey, "PNG"))]
    kind, content = min(found, key=lambda one: len(one[1]))
    return kind + base64.b64encode(content).decode("ascii")


def _without_colour(image: Image.Image) -> Image.Image:
    """The picture in one channel where all three are alike."""
    if image.mode != "RGB":
        return image
    red, green, blue = image.split()
    same = red.tobytes() == green.tobytes() == blue.tobytes()
    return red if same else image


def _bytes(image: Image.Image, kind: str, **how: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, optimize=True, **how)
    return buffer.getvalue()
