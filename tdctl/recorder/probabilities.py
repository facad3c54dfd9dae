"""Probabilities where logits are expected: how they are known, and how logits are made of them.

Shape suffixes: k classes, B batch.
"""

from __future__ import annotations

import torch

from tdctl.errors import DynamicsError

__all__ = ["FEW", "are_probabilities", "logits_of"]

# How far a sum of probabilities may be from 1: bfloat16 rounds each by up to a 512th of itself.
TOLERANCE = 3e-3
# Of fewer samples the logits of all may look like probabilities by chance.
FEW = 10
# What stands for a probability that was rounded to 0, whose logarithm is not finite: the smallest
# of its type above 0, as far as float32 holds it without loss.
FLOOR = {torch.float16: 2.0**-24}
FLOOR_ELSEWHERE = torch.finfo(torch.float32).tiny


def are_probabilities(values: torch.Tensor, dim: int) -> torch.Tensor:
    """Bool: where all values along ``dim``, the classes, are >= 0 and sum to 1."""
    sums = values.sum(dim=dim, dtype=torch.float32)
    return (values.amin(dim=dim) >= 0) & ((sums - 1).abs() <= TOLERANCE)


def logits_of(probs_BK: torch.Tensor, index_B: torch.Tensor) -> torch.Tensor:
    """Float [B, k], logits of which the softmax is what is given; waits for the device.

    Args:
        probs_BK: float [B, k] of any precision, each row >= 0 and of sum 1.
        index_B: int64 [B], what an error names the rows by.

    Raises:
        DynamicsError: a row is not made of probabilities.
    """
    probs_BK = probs_BK.detach()
    wrong = (~are_probabilities(probs_BK, dim=1)).nonzero()[:, 0]
    if len(wrong):
        raise DynamicsError(
            f"recorder: the row of index {int(index_B[int(wrong[0])])} that was recorded with "
            f"probabilities=True does not hold values >= 0 of sum 1 ({len(wrong)} of "
            f"{len(probs_BK)} rows of the batch); leave that out where the network gives logits"
        )
    floor = FLOOR.get(probs_BK.dtype, FLOOR_ELSEWHERE)
    wide = probs_BK if probs_BK.dtype == torch.float64 else probs_BK.float()
    return wide.clamp_min(floor).log_()
