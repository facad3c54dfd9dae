"""What the detector's training makes small."""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = ["detection_loss", "ranking_loss"]


def detection_loss(logits: torch.Tensor, flipped: torch.Tensor, ranking: float) -> torch.Tensor:
    """Cross-entropy of logits float [B, 2], plus ``ranking`` times the ranking loss."""
    loss = functional.cross_entropy(logits, flipped)
    if ranking == 0:
        return loss
    return loss + ranking * ranking_loss(logits[:, 1] - logits[:, 0], flipped.bool())


def ranking_loss(scores: torch.Tensor, flipped: torch.Tensor) -> torch.Tensor:
    """Mean over flipped i of log(1 + mean over right j of exp(s_j - s_i)); 0 without both kinds.

    A flipped sample pays for the right ones that rank above it, and most for the highest of
    them: the pairs that average precision is lost on.

    Args:
        scores: float [B], of one run: those of different runs are on no common scale.
        flipped: bool [B].
    """
    wrong, right = scores[flipped], scores[~flipped]
    if not len(wrong) or not len(right):
        return scores.sum() * 0
    above = torch.logsumexp(right, dim=0) - torch.log(torch.tensor(float(len(right))))
    return functional.softplus(above.to(scores.device) - wrong).mean()
