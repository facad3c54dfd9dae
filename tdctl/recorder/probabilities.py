"""Probabilities instead of logits: how to recognise them, and how to convert them.

Shape suffixes: k classes, B batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from tdctl.errors import DynamicsError

__all__ = ["FEW", "are_probabilities", "logits_of"]

# How far a sum of probabilities may be from 1. bfloat16 changes each by up to 1/512 of its value.
TOLERANCE = 3e-3
# With fewer samples than this, all logits may look like probabilities by chance.
FEW = 10
# Replaces a probability that was rounded to 0, because the logarithm of 0 is not finite: the
# smallest value above 0 of its type, as far as float32 can represent it exactly.
FLOOR = {torch.float16: 2.0**-24}
FLOOR_ELSEWHERE = torch.finfo(torch.float32).tiny


def are_probabilities(values: torch.Tensor, dim: int) -> torch.Tensor:
    """Whether all values along ``dim``, the classes, are >= 0 and sum to 1; bool."""
    sums = values.sum(dim=dim, dtype=torch.float32)
    return (values.amin(dim=dim) >= 0) & ((sums - 1).abs() <= TOLERANCE)


def logits_of(
    probs_BK: torch.Tensor, index_B: torch.Tensor, name_of: Callable[[int], str] = str
) -> torch.Tensor:
    """Logits whose softmax gives the probabilities, float [B, k]; waits for the device.

    Args:
        probs_BK: float [B, k] of any precision; each row is >= 0 and sums to 1.
        index_B: int64 [B], names the rows in an error message.
        name_of: the name of an index in that message.

    Raises:
        DynamicsError: a row does not contain probabilities.
    """
    probs_BK = probs_BK.detach()
    wrong = (~are_probabilities(probs_BK, dim=1)).nonzero()[:, 0]
    if len(wrong):
        name = name_of(int(index_B[int(wrong[0])]))
        raise DynamicsError(
            f"recorder: the row of index {name} that was recorded with "
            f"probabilities=True does not hold values >= 0 with sum 1 ({len(wrong)} of "
            f"{len(probs_BK)} rows of the batch); leave it out if the network returns logits"
        )
    floor = FLOOR.get(probs_BK.dtype, FLOOR_ELSEWHERE)
    wide = probs_BK if probs_BK.dtype == torch.float64 else probs_BK.float()
    return wide.clamp_min(floor).log_()
