"""Batches of an image set on the computing device."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.data.dataset import Images
from tdctl.data.pixel_store import MemoryStore

__all__ = ["Feed"]

# The share of the GPU's free memory that the images may use; the rest is for the network.
SHARE_OF_DEVICE = 0.5
SLAB = 64 << 20


class Feed:
    """Gives parts of a set of images as uint8 [B, C, H, W] on the device.

    On a CPU, images in memory are used directly. On a GPU, all images are copied there once if
    they fit. Otherwise each batch is put together on the host (from memory, from a file, or
    decoded by worker processes), and for a GPU one batch ahead of the computation.
    """

    def __init__(self, images: Images, device: torch.device) -> None:
        self._images, self._device = images, device
        self._held: torch.Tensor | None = None
        self._rows = torch.arange(len(images))
        if device.type == "cuda":
            size = len(images) * math.prod(images.shape) * (4 if images.are_vectors else 1)
            if size <= SHARE_OF_DEVICE * torch.cuda.mem_get_info(device)[0]:
                self._held = _on_device(images, device)
        elif isinstance(images.store, MemoryStore):
            self._held, self._rows = images.store.pixels, torch.from_numpy(images.rows)

    def take(self, rows: NDArray[np.int64]) -> Feed:
        """The feed of some images; images that are already on the device are not copied."""
        part = copy(self)
        part._images, part._rows = self._images.take(rows), self._rows[torch.from_numpy(rows)]
        return part

    def batches(self, parts: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """The images of each part, in order; the parts are int64 positions on the CPU."""
        if self._held is not None:
            # The order is copied to the device once for the whole pass, not once per batch.
            order = self._rows[torch.cat(list(parts))].to(self._device)
            for rows in torch.split(order, [len(part) for part in parts]):
                yield self._held[rows]
            return
        batches = self._images.batches([rows.numpy() for rows in parts])
        if self._device.type == "cpu":
            yield from batches
        else:
            yield from _ahead(batch.pin_memory() for batch in batches)


def _on_device(images: Images, device: torch.device) -> torch.Tensor:
    """All images on the device, uint8 [n, C, H, W] or float32 [n, d], copied in slabs."""
    kind = torch.float32 if images.are_vectors else torch.uint8
    held = torch.empty((len(images), *images.shape), dtype=kind, device=device)
    rows = max(1, SLAB // max(1, math.prod(images.shape)))
    bounds = [(start, min(len(images), start + rows)) for start in range(0, len(images), rows)]
    slabs = images.batches([np.arange(*bound) for bound in bounds])
    for (start, stop), slab in zip(bounds, slabs, strict=True):
        held[start:stop] = slab.to(device)
    return held


def _ahead(batches: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
    """The same batches; each is prepared while the one before it is used."""
    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = maker.submit(next, batches, None)
            yield batch
