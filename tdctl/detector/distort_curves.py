"""Curves as other trainings would have recorded them."""

from __future__ import annotations

import torch

from tdctl.detector.resample import resampling

__all__ = ["augmented"]

SHORTEST = 0.4  # of the curve that is left by cutting
FEWEST = 6  # epochs of which a curve is made up
BEND = 0.4  # of the exponent that bends time, in its logarithm
NOISE = 0.05  # of a channel's spread in the batch


def augmented(curves: torch.Tensor) -> torch.Tensor:
    """Float [B, T, C]: the curves of a batch, changed alike.

    Half of the batches are cut off after a part of the time, half have time bent, half are
    recorded in fewer epochs; all get a little noise. What is left is stretched to T steps again.
    What changes is drawn from torch's generator of the process, which a training puts on the
    stream ``tdctl.streams.DETECTOR``.
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
    """Float [T, T]: weights that read a curve at places in [0, 1] of its length."""
    steps = len(where)
    gap = (where[:, None] * (steps - 1) - torch.arange(steps)[None, :]).abs()
    return (1 - gap).clamp_min(0)
