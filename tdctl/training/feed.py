"""Batches of an image set on the computing device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from tdctl.data.dataset import Images

__all__ = ["Feed"]

# Of the GPU's free memory, what the images may take; the rest is the network's.
SHARE_OF_DEVICE = 0.5


class Feed:
    """Gives parts of an image set as uint8 [B, C, H, W] on the device.

    What is held in memory lies on the device once and for all, where it fits there. Else each
    batch is gathered (or decoded by worker processes) on the host, on a GPU one batch ahead of
    the computation.
    """

    def __init__(self, images: Images, device: torch.device) -> None:
        self._images, self._device = images, device
        self._held = images.tensor() if images.resident else None
        if self._held is not None and device.type == "cuda":
            free = torch.cuda.mem_get_info(device)[0]
            fits = self._held.nbytes <= SHARE_OF_DEVICE * free
            self._held = self._held.to(device) if fits else None

    def batches(self, parts: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """The images of each part, in order; parts are int64 positions on the CPU."""
        if self._held is not None:
            # The order of a pass crosses to the device once, not batch by batch.
            order = torch.cat(list(parts)).to(self._device)
            for rows in torch.split(order, [len(part) for part in parts]):
                yield self._held[rows]
            return
        batches = self._images.batches([rows.numpy() for rows in parts])
        if self._device.type == "cpu":
            yield from batches
        else:
            yield from _ahead(batch.pin_memory() for batch in batches)


def _ahead(batches: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
    """The same batches, each being made while the one before it is in use."""
    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = maker.submit(next, batches, None)
            yield batch
