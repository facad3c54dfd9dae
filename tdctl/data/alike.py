"""Finds images that are identical to the byte. Copies may have different labels."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.data.survey import Survey
from tdctl.sources import Encoded

__all__ = ["Alike", "alike_files", "alike_pixels"]

Rows = NDArray[np.int64]
# The largest number of bytes of files that are read whole to compare them.
COMPARED_BYTES = 1 << 29


class Alike(NamedTuple):
    """Groups of rows with identical images, and the number of images that were looked at."""

    groups: list[Rows]
    looked: int


def alike_files(images: Encoded, sizes: Rows, seen: Survey) -> Alike:
    """Finds files with the same bytes.

    A file is read whole only if another one has the same size and the same first bytes.

    Args:
        images: n encoded images.
        sizes: int64 [n], the size of each in bytes; -1 for one that cannot be reached.
        seen: a survey of these images.
    """
    reached = (seen.heads >= 0) & (sizes[seen.rows] > 0)
    rows, heads = seen.rows[reached], seen.heads[reached]
    groups, looked, compared = [], len(rows), 0
    for group in _equal(np.stack([sizes[rows], heads], axis=1)):
        compared += int(sizes[rows[group]].sum())
        if compared > COMPARED_BYTES:
            looked -= len(group)
            continue
        digests: dict[bytes, list[int]] = {}
        for row in rows[group].tolist():
            digest = _digest(images, row)
            if digest is not None:
                digests.setdefault(digest, []).append(row)
        groups += [np.array(same) for same in digests.values() if len(same) > 1]
    return Alike(_in_order(groups), looked)


def alike_pixels(pixels: torch.Tensor) -> Alike:
    """Finds images with the same pixels, uint8 [n, C, H, W]."""
    # Few images share the middle row of pixels. Only these are compared whole.
    groups = []
    for group in _equal(_flat(pixels[:, :, pixels.shape[2] // 2])):
        same = _equal(_flat(pixels[torch.from_numpy(group)]))
        groups += [group[part] for part in same]
    return Alike(_in_order(groups), len(pixels))


def _flat(pixels: torch.Tensor) -> NDArray[np.uint8]:
    return np.ascontiguousarray(pixels.reshape(len(pixels), -1).numpy())


def _equal(values: NDArray[np.generic]) -> list[Rows]:
    """For each value [n, ...] that occurs more than once, the rows with it, in order."""
    if not len(values):
        return []
    whole = values.reshape(len(values), -1).view(np.dtype((np.void, values[0].nbytes)))[:, 0]
    order = np.argsort(whole, kind="stable")
    starts = np.flatnonzero(np.r_[True, whole[order][1:] != whole[order][:-1]])
    return [group for group in np.split(order, starts[1:]) if len(group) > 1]


def _in_order(groups: list[Rows]) -> list[Rows]:
    return sorted(groups, key=lambda group: int(group[0]))


def _digest(images: Encoded, row: int) -> bytes | None:
    try:
        place = images.open(row)
        content = Path(place).read_bytes() if isinstance(place, str) else place.read()
    except OSError:
        return None
    return hashlib.sha256(content).digest()
