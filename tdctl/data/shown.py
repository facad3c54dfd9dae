"""Looks at images as the network gets them: single-colour images, and image sizes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.data.decode import Decoder, slabs
from tdctl.data.image_storage import Held
from tdctl.data.picture import Unreadable, opened, quiet
from tdctl.data.pixel_store import MemoryStore
from tdctl.data.survey import spread
from tdctl.processors import own_processors
from tdctl.sources import Encoded

__all__ = ["Shown", "Sides", "shown", "sides"]

Rows = NDArray[np.int64]
# An image has one colour to the eye if the values in each channel differ by no more than this.
ONE_COLOUR = 3
# How many images are looked at if the pixels are not in memory: IN_CACHE images of a cache, or
# IN_FILES files. Fewer files if they have more than PIXELS pixels together, but AT_LEAST of them.
IN_CACHE, IN_FILES, PIXELS, AT_LEAST = 2000, 300, 200_000_000, 16
# The number of files whose heads are read for width and height.
HEADS = 1000


class Shown(NamedTuple):
    """The images looked at, those with a single colour, and those that did not decode, with why."""

    looked: Rows
    one_colour: Rows
    broken: dict[int, str]


class Sides(NamedTuple):
    """The files looked at, int64 [m], and their width and height, int64 [m, 2]."""

    looked: Rows
    sides: Rows


def shown(held: Held, count: int) -> Shown:
    """Looks for single-colour images: among all images in memory, or else in a sample.

    Args:
        held: the pixels.
        count: n, the number of images.
    """
    whole = np.delete(np.arange(count, dtype=np.int64), list(held.broken))
    store = held.store
    if isinstance(store, MemoryStore):
        parts = [whole[start:stop] for start, stop in slabs(len(whole), store.shape[1:])]
    elif store.kind == "cache" or held.decoder is None:
        whole = whole[spread(len(whole), IN_CACHE)]
        parts = np.array_split(whole, -(-len(whole) // 64))
    else:
        return _in_files(held.decoder, whole)
    batches = zip(parts, store.batches(parts), strict=True)
    found = [part[_one_colour(pixels)] for part, pixels in batches]
    return Shown(whole, np.concatenate(found), {})


def _in_files(decoder: Decoder, whole: Rows) -> Shown:
    limit = decoder.reading.max_pixels
    pixels = sides(decoder.images, limit, whole, AT_LEAST).sides.prod(axis=1)
    mean = int(pixels.mean()) if len(pixels) else 1
    looked = whole[spread(len(whole), min(IN_FILES, max(AT_LEAST, PIXELS // mean)))]

    def look(row: int) -> bool | str:
        try:
            return bool(_one_colour(torch.tensor(decoder.read(row))[None])[0])
        except Unreadable as error:
            return str(error)

    with quiet(), ThreadPoolExecutor(own_processors()) as pool:
        found = list(pool.map(look, looked.tolist()))
    broken = {int(row): one for row, one in zip(looked, found, strict=True) if isinstance(one, str)}
    return Shown(looked, looked[[one is True for one in found]], broken)


def _one_colour(pixels: torch.Tensor) -> NDArray[np.bool_]:
    """Which of the images [B, C, H, W] have a single colour, bool [B]."""

    def same(values: torch.Tensor) -> torch.Tensor:
        low, high = torch.aminmax(values, dim=2)
        return ((high - low) <= ONE_COLOUR).all(dim=1)

    # For most images the middle row of pixels is enough to tell.
    found = same(pixels[:, :, pixels.shape[2] // 2])
    perhaps = found.nonzero()[:, 0]
    found[perhaps] = same(pixels[perhaps].flatten(2))
    return found.numpy()


def sides(
    images: Encoded, max_pixels: float | None, rows: Rows | None = None, most: int = HEADS
) -> Sides:
    """Width and height of some images, evenly spread. Images that do not open are left out.

    Args:
        images: n encoded images.
        max_pixels: images with more pixels do not open; None for no limit.
        rows: int64, the rows to choose from; None for all.
        most: the largest number of images to look at.
    """
    rows = np.arange(len(images), dtype=np.int64) if rows is None else rows
    looked, found = [], []
    with quiet():
        for row in rows[spread(len(rows), most)].tolist():
            try:
                with opened(images, row, max_pixels) as file:
                    found.append(file.size)
            except Unreadable:
                continue
            looked.append(row)
    return Sides(np.array(looked, dtype=np.int64), np.array(found, dtype=np.int64).reshape(-1, 2))
