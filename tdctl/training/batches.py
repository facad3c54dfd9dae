"""Which images make a batch, and which of them are a process's."""

from __future__ import annotations

import torch

__all__ = ["batch_bounds", "larger_share", "own_places"]


def batch_bounds(total: int, batch_size: int, least: int) -> list[tuple[int, int]]:
    """Start and stop of each batch; a last batch below ``least`` joins the one before it.

    One image alone has no batch statistics where a network's last maps are single pixels, so
    each process needs two.
    """
    starts = list(range(0, total, batch_size))
    if len(starts) > 1 and total - starts[-1] < least:
        starts.pop()
    return list(zip(starts, [*starts[1:], total], strict=True))


def own_places(part: slice, bound: tuple[int, int], mixed: bool) -> slice | torch.Tensor:
    """Of a process's part of a batch the places in the batch; if mixed, with the one before."""
    start, stop = part.start - bound[0], part.stop - bound[0]
    if not mixed:
        return slice(start, stop)
    return torch.arange(start - 1, stop) % (bound[1] - bound[0])


def larger_share(rows: torch.Tensor, share: float) -> torch.Tensor:
    """Of mixed images the rows of those with the larger share."""
    return rows[1:] if share >= 0.5 else rows[:-1]
