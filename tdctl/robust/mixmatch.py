"""Refines and guesses labels, mixes images, and computes the losses: functions of tensors.

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
    """p^(1/T), scaled to sum 1. A lower temperature T gives surer labels."""
    # By logarithms, because with many classes the powers of small probabilities would all be 0.
    return (p.clamp_min(1e-30).log() / temperature).softmax(dim=1)


def refined(
    given: torch.Tensor, clean: torch.Tensor, p: Sequence[torch.Tensor], temperature: float
) -> torch.Tensor:
    """Labels of labelled images (co-refinement): w given + (1 - w) mean p, sharpened; [B, k].

    Args:
        given: [B, k], the given labels as one-hot rows.
        clean: [B], w, the other network's probability that the given label is right.
        p: [B, k] each, the network's probabilities for each view.
        temperature: see ``sharpened``.
    """
    own = torch.stack(list(p)).mean(dim=0)
    w = clean[:, None]
    return sharpened(w * given + (1 - w) * own, temperature)


def guessed(p: Sequence[torch.Tensor], temperature: float) -> torch.Tensor:
    """Labels of unlabelled images (co-guessing): the mean of all, sharpened; [U, k].

    Args:
        p: [U, k] each, the probabilities of both networks for each view.
        temperature: see ``sharpened``.
    """
    return sharpened(torch.stack(list(p)).mean(dim=0), temperature)


def mixed(values: torch.Tensor, order: torch.Tensor, share: float) -> torch.Tensor:
    """Rows mixed with others: share v + (1 - share) v[order]; the share is at least 0.5."""
    return torch.lerp(values[order], values, share)


def soft_cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The mean over the rows of -target . log p, in nats."""
    return -(targets * functional.log_softmax(logits, dim=1)).sum(dim=1).mean()


def prior_penalty(logits: torch.Tensor) -> torch.Tensor:
    """KL(even classes || mean p of the batch), at least 0; prevents one class for all images."""
    k = logits.shape[1]
    mean_log = logits.softmax(dim=1).mean(dim=0).clamp_min(1e-30).log()
    return -(mean_log + torch.log(torch.tensor(float(k)))).mean()


def confidence_penalty(logits: torch.Tensor) -> torch.Tensor:
    """The mean of p . log p, at most 0; lower if the predictions are less sure."""
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
        logits: [M, k], of M mixed images.
        targets: [M, k], mixed in the same way.
        labelled: the number of first rows that come from labelled images; may be 0 or M.
        weight: the weight of the unlabelled loss, which is the mean of (p - target)^2 over rows and
            classes.
        prior: whether the penalty is added.
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
    """The factor of the unlabelled loss's weight, in [0, 1]; it rises over ``length`` epochs.

    Args:
        epochs: number of epochs since the warm-up.
        length: number of epochs until the factor is 1.
    """
    return min(max(epochs / length, 0.0), 1.0)
