"""The loss that the training of a detector minimises."""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = ["detection_loss", "ranking_loss"]


def detection_loss(logits: torch.Tensor, flipped: torch.Tensor, ranking: float) -> torch.Tensor:
    """Cross-entropy plus ``ranking`` times the ranking loss, a scalar.

    Args:
        logits: float [B, 2].
        flipped: int64 [B], 1 if the given label is wrong.
        ranking: weight of the ranking loss, at least 0.
    """
    loss = functional.cross_entropy(logits, flipped)
    if ranking == 0:
        return loss
    return loss + ranking * ranking_loss(logits[:, 1] - logits[:, 0], flipped.bool())


def ranking_loss(scores: torch.Tensor, flipped: torch.Tensor) -> torch.Tensor:
    """Mean over flipped i of log(1 + mean over right j of exp(s_j - s_i)); a scalar.

    It is 0 if the batch does not have both kinds. The loss of a flipped sample comes from the
    right samples that rank above it, and mostly from the highest of them. These are the pairs
    that lower the average precision.

    Args:
        scores: float [B], of one run, because scores of different runs have no common scale.
        flipped: bool [B].
    """
    wrong, right = scores[flipped], scores[~flipped]
    if not len(wrong) or not len(right):
        return scores.sum() * 0
    above = torch.logsumexp(right, dim=0) - torch.log(torch.tensor(float(len(right))))
    return functional.softplus(above.to(scores.device) - wrong).mean()
