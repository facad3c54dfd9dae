"""Changes curves as if another training had recorded them."""

from __future__ import annotations

import torch

from tdctl.detector.resample import resampling

__all__ = ["augmented"]

SHORTEST = 0.4  # smallest share of the curve that is kept when it is cut
FEWEST = 6  # smallest number of epochs
BEND = 0.4  # largest absolute logarithm of the exponent that bends time
NOISE = 0.05  # as a share of a channel's spread in the batch


def augmented(curves: torch.Tensor) -> torch.Tensor:
    """Changes the curves of a batch, all in the same way; float [B, T, C].

    Each of these changes is applied to half of the batches: the curves are cut after a part of
    the time; time is bent; the number of epochs is reduced. A little noise is added to all. Then
    the curves are stretched to T steps again.

    Random numbers come from torch's generator of the process, which a training sets to the stream
    ``tdctl.streams.DETECTOR``.
    """
    steps = curves.shape[1]
    way = torch.eye(steps)
    if _half():
        way = _positions(torch.linspace(0, 1, steps) * _uniform(SHORTEST, 1)) @ way
    if _half():
        bend = 2.718281828 ** _uniform(-BEND, BEND)
        way = _positions(torch.linspace(0, 1, steps) ** bend) @ way
    if _half() and steps > FEWEST:
        fewer = int(torch.randint(FEWEST, steps, (1,)))
        thin = torch.from_numpy(resampling(steps, fewer))
        way = torch.from_numpy(resampling(fewer, steps)) @ thin @ way
    changed = torch.einsum("st,btc->bsc", way.to(curves.device), curves)
    spread = changed.std(dim=(0, 1), correction=0)
    return changed + NOISE * spread * torch.randn(changed.shape).to(curves.device)


def _half() -> bool:
    return bool(torch.rand(()) < 0.5)


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))


def _positions(where: torch.Tensor) -> torch.Tensor:
    """Float [T, T]: the weights that read a curve at the places ``where``, in [0, 1]."""
    steps = len(where)
    gap = (where[:, None] * (steps - 1) - torch.arange(steps)[None, :]).abs()
    return (1 - gap).clamp_min(0)
