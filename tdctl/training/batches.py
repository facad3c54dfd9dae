"""Which images form a batch, and which of them a process computes."""

from __future__ import annotations

import torch

__all__ = ["batch_bounds", "larger_share", "own_places"]


def batch_bounds(total: int, batch_size: int, least: int) -> list[tuple[int, int]]:
    """Start and stop of each batch; a last batch smaller than ``least`` joins the one before.

    Each process needs at least two images per batch. With one image, batch statistics do not
    exist if the last feature maps of the network have only one pixel.
    """
    starts = list(range(0, total, batch_size))
    if len(starts) > 1 and total - starts[-1] < least:
        starts.pop()
    return list(zip(starts, [*starts[1:], total], strict=True))


def own_places(part: slice, bound: tuple[int, int], mixed: bool) -> slice | torch.Tensor:
    """The places within a batch of a process's part; if mixed, also the place before the part."""
    start, stop = part.start - bound[0], part.stop - bound[0]
    if not mixed:
        return slice(start, stop)
    return torch.arange(start - 1, stop) % (bound[1] - bound[0])


def larger_share(rows: torch.Tensor, share: float) -> torch.Tensor:
    """The rows of the images with the larger share in each mixed image."""
    return rows[1:] if share >= 0.5 else rows[:-1]
