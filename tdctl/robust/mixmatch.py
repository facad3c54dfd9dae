"""Labels refined and guessed, images mixed, and the losses of it: functions of tensors.

Shapes: B labelled images, U unlabelled ones, k classes. Probabilities are float [.., k] with rows
that sum to 1, logits float [.., k]; losses are scalars.

Source: Li, Socher and Hoi, "DivideMix", ICLR 2020 (arXiv 2002.07394), section 3.2 and published
    code; MixMatch: Berthelot et al., NeurIPS 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn import functional

__all__ = [
    "MixedLoss",
    "confidence_penalty",
    "guessed",
    "mixed",
    "mixed_loss",
    "prior_penalty",
    "ramp",
    "refined",
    "sharpened",
    "soft_cross_entropy",
]


def sharpened(p: torch.Tensor, temperature: float) -> torch.Tensor:
    """p^(1/T), scaled to sum 1: the surer, the lower the temperature."""
    # By logarithms: the powers of small probabilities of many classes would all be 0.
    return (p.clamp_min(1e-30).log() / temperature).softmax(dim=1)


def refined(
    given: torch.Tensor, clean: torch.Tensor, p: Sequence[torch.Tensor], temperature: float
) -> torch.Tensor:
    """Labels of labelled images (co-refinement): w given + (1 - w) mean p, sharpened; [B, k].

    Args:
        given: [B, k], the given labels as one-hot rows.
        clean: [B], w, the probability that the given label is right, by the other network.
        p: [B, k] each, what the network says of each view.
    """
    own = torch.stack(list(p)).mean(dim=0)
    w = clean[:, None]
    return sharpened(w * given + (1 - w) * own, temperature)


def guessed(p: Sequence[torch.Tensor], temperature: float) -> torch.Tensor:
    """Labels of unlabelled images (co-guessing): the mean of all, sharpened; [U, k].

    Args:
        p: [U, k] each, what each of the two networks says of each view.
    """
    return sharpened(torch.stack(list(p)).mean(dim=0), temperature)


def mixed(values: torch.Tensor, order: torch.Tensor, share: float) -> torch.Tensor:
    """Rows mixed with others: share v + (1 - share) v[order]; the share is at least 0.5."""
    return torch.lerp(values[order], values, share)


def soft_cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The mean over the rows of -target . log p, in nats."""
    return -(targets * functional.log_softmax(logits, dim=1)).sum(dim=1).mean()


def prior_penalty(logits: torch.Tensor) -> torch.Tensor:
    """KL(even classes || mean p of the batch), at least 0; against one class for all."""
    k = logits.shape[1]
    mean_log = logits.softmax(dim=1).mean(dim=0).clamp_min(1e-30).log()
    return -(mean_log + torch.log(torch.tensor(float(k)))).mean()


def confidence_penalty(logits: torch.Tensor) -> torch.Tensor:
    """The mean of p . log p, at most 0: it falls as predictions become less sure."""
    log_p = functional.log_softmax(logits, dim=1)
    return (log_p.exp() * log_p).sum(dim=1).mean()


class MixedLoss(NamedTuple):
    """The loss of a step and its parts."""

    total: torch.Tensor
    labelled: torch.Tensor
    unlabelled: torch.Tensor
    penalty: torch.Tensor


def mixed_loss(
    logits: torch.Tensor, targets: torch.Tensor, labelled: int, weight: float, prior: bool
) -> MixedLoss:
    """Cross-entropy of the first rows, squared error of the others, and the penalty.

    Args:
        logits: [M, k], of mixed images.
        targets: [M, k], mixed alike.
        labelled: how many of the rows began as labelled images; may be 0 or all.
        weight: of the unlabelled loss, the mean over rows and classes of (p - target)^2.
        prior: whether the penalty counts.
    """
    none = logits.new_zeros(())
    of_labelled = soft_cross_entropy(logits[:labelled], targets[:labelled]) if labelled else none
    of_unlabelled = none
    if labelled < len(logits):
        p = logits[labelled:].softmax(dim=1)
        of_unlabelled = ((p - targets[labelled:]) ** 2).mean()
    penalty = prior_penalty(logits) if prior else none
    total = of_labelled + weight * of_unlabelled + penalty
    return MixedLoss(total, of_labelled, of_unlabelled, penalty)


def ramp(epochs: float, length: float) -> float:
    """How much of the unlabelled loss's weight counts, in [0, 1], after so many epochs of it."""
    return min(max(epochs / length, 0.0), 1.0)
