"""What the images of a data set show as the network gets them: one colour, a part, too little."""

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
# An image whose values differ by no more than this in any channel is of one colour to the eye.
ONE_COLOUR = 3
# Where pixels are not in memory so many images are looked at: of a cache, and of files, of which
# no more pixels than these are decoded, but of a few images at least.
IN_CACHE, IN_FILES, PIXELS, AT_LEAST = 2000, 300, 200_000_000, 16
# Heads of files that are read for their width and height.
HEADS = 1000


class Shown(NamedTuple):
    """Which images were looked at, which are of one colour, and which did not decode, and why."""

    looked: Rows
    one_colour: Rows
    broken: dict[int, str]


class Sides(NamedTuple):
    """Which files were looked at, and their width and height, int64 [m, 2]."""

    looked: Rows
    sides: Rows


def shown(held: Held, count: int) -> Shown:
    """Looks for images of one colour: at all that are in memory, else at some.

    Args:
        held: the pixels.
        count: n, how many images there are.
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
    """Bool [B], of uint8 [B, C, H, W]."""

    def same(values: torch.Tensor) -> torch.Tensor:
        low, high = torch.aminmax(values, dim=2)
        return ((high - low) <= ONE_COLOUR).all(dim=1)

    # The middle row of pixels tells for most.
    found = same(pixels[:, :, pixels.shape[2] // 2])
    perhaps = found.nonzero()[:, 0]
    found[perhaps] = same(pixels[perhaps].flatten(2))
    return found.numpy()


def sides(
    images: Encoded, max_pixels: float | None, rows: Rows | None = None, most: int = HEADS
) -> Sides:
    """Width and height of some images, evenly spread; what does not open is left out.

    Args:
        images: n encoded images.
        max_pixels: what has more does not open; None for no limit.
        rows: int64, those to choose from; all n where not given.
        most: how many to look at.
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
