"""The batches of a robust training: which images are in each of them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.training.batches import batch_bounds

__all__ = ["beta_shares", "paired_batches"]


def beta_shares(rng: np.random.Generator, alpha: float, steps: int) -> NDArray[np.float64]:
    """The share of the image itself in each mixture, float64 [steps] in [0.5, 1]; 1 for alpha 0.

    Source: Li et al. (ICLR 2020), as MixMatch: a share s is drawn from Beta(alpha, alpha), and the
        larger one of s and 1 - s is used.
    """
    if alpha == 0:
        return np.ones(steps)
    drawn = rng.beta(alpha, alpha, steps)
    return np.maximum(drawn, 1 - drawn)


def paired_batches(
    labelled: NDArray[np.bool_], size: int, stream: torch.Generator
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The rows of the labelled and of the unlabelled images of each step; int64 [B] and [U].

    The steps are one pass over the labelled images. The unlabelled images are repeated as often as
    needed. If there are no labelled images, the steps are one pass over the unlabelled ones. If the
    last batch would have a single image, this image is added to the batch before. A part is empty
    if there are no such images.

    Args:
        labelled: bool [n], which images are labelled.
        size: the largest number of images in each part; one more if a single image was added.
        stream: random numbers for the order.
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
