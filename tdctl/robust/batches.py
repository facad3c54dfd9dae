"""Which images make the batches of a robust training."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.training.batches import batch_bounds

__all__ = ["beta_shares", "paired_batches"]


def beta_shares(rng: np.random.Generator, alpha: float, steps: int) -> NDArray[np.float64]:
    """Float64 [steps] in [0.5, 1]: what each batch's images keep of themselves; 1 for alpha 0.

    Source: Li et al. (ICLR 2020), as MixMatch: the larger of a share from Beta(alpha, alpha) and
        what it leaves.
    """
    if alpha == 0:
        return np.ones(steps)
    drawn = rng.beta(alpha, alpha, steps)
    return np.maximum(drawn, 1 - drawn)


def paired_batches(
    labelled: NDArray[np.bool_], size: int, stream: torch.Generator
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The rows of labelled and of unlabelled images of each step; int64 [B] and [U].

    The steps are a pass over the labelled images (over the unlabelled ones where there are no
    labelled); the unlabelled come round as often as needed. A last batch of a single labelled
    image joins the one before it. A part is empty where there are no such images.

    Args:
        labelled: bool [n].
        size: of each part, at most (a last batch that is joined: one more).
    """
    parts = []
    for chosen in (labelled, ~labelled):
        rows = torch.from_numpy(np.flatnonzero(chosen))
        parts.append(rows[torch.randperm(len(rows), generator=stream)])
    of_labelled, rest = parts
    if not len(of_labelled):
        empty = of_labelled
        return [(empty, rest[a:b]) for a, b in batch_bounds(len(rest), size, 2)]
    batches, place = [], 0
    for start, stop in batch_bounds(len(of_labelled), size, 2):
        own = rest[:0]
        if len(rest):
            if place + min(size, len(rest)) > len(rest):
                rest, place = rest[torch.randperm(len(rest), generator=stream)], 0
            own = rest[place : place + size]
            place += len(own)
        batches.append((of_labelled[start:stop], own))
    return batches
