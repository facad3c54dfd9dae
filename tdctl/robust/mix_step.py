"""One step of DivideMix, the weight of its unlabelled loss, and the length of its warm-up.

Shapes: k classes, B labelled and U unlabelled images of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from tdctl.robust.learner import Learner
from tdctl.robust.mixmatch import MixedLoss, guessed, mixed, mixed_loss, refined

__all__ = ["RAMP_EPOCHS", "MixStep", "auto_weight", "mixmatch_loss", "warmup_epochs"]

# Epochs over which the weight of the unlabelled loss rises, as published. In a short run it rises
# over all epochs after the warm-up.
RAMP_EPOCHS = 16
WARMUP, LONG_WARMUP, MANY_CLASSES = 10, 30, 50


def warmup_epochs(asked: int | None, epochs: int, num_classes: int) -> int:
    """Epochs before the first division: as requested, else 10 or 30, but at most 0.4 of the run."""
    if asked is not None:
        return asked
    most = WARMUP if num_classes < MANY_CLASSES else LONG_WARMUP
    return max(1, min(most, int(0.4 * epochs + 1e-9)))


def auto_weight(wrong: float, num_classes: int) -> float:
    """The weight of the unlabelled loss for an estimated share of wrong labels.

    Source: the published weights (Li et al., ICLR 2020). CIFAR-10: 0, 25, 25 and 50 at 20, 50, 80
        and 90 % uniform noise, and 0 at asymmetric noise. CIFAR-100: 25 at 20 %, 150 from 50 % on.
        Two things are ours: the values in between, and 0 up to 30 % for any number of classes.
    """
    if wrong <= 0.3:
        return 0.0
    if num_classes >= MANY_CLASSES:
        return 150.0
    return 25.0 if wrong < 0.85 else 50.0


class MixStep(NamedTuple):
    """The images of one step.

    Attributes:
        weak: the two views for guesses, float [B + U, C, H, W] each, labelled images first.
        inputs: the two views that are trained on, of the same shape; in DivideMix, ``weak``.
        given: float [B, k], the given labels of the labelled images as one-hot rows.
        clean: float [B], the other network's probability that these labels are right.
        order: int64 [2 (B + U)], the view with which each view is mixed.
        share: the share of the view itself in its mixture, at least 0.5.
    """

    weak: Sequence[torch.Tensor]
    inputs: Sequence[torch.Tensor]
    given: torch.Tensor
    clean: torch.Tensor
    order: torch.Tensor
    share: float


def mixmatch_loss(
    learner: Learner,
    other: Learner,
    step: MixStep,
    temperature: float,
    weight: float,
    prior: bool,
) -> MixedLoss:
    """The loss of one step of a network; the other network is not trained in this step.

    Args:
        learner: the network that is trained.
        other: the other network, which helps to guess labels.
        step: the images.
        temperature: sharpens the labels.
        weight: the weight of the unlabelled loss.
        prior: whether an uneven mean prediction is penalised.
    """
    count = len(step.given)
    own = [learner.guess(view) for view in step.weak]
    targets = [refined(step.given, step.clean, [p[:count] for p in own], temperature)]
    targets *= 2
    if count < len(own[0]):
        all_guesses = [p[count:] for p in own] + [other.guess(view[count:]) for view in step.weak]
        targets += 2 * [guessed(all_guesses, temperature)]
    inputs = [view[:count] for view in step.inputs] + [view[count:] for view in step.inputs]
    values, soft = torch.cat(inputs), torch.cat(targets)
    learner.net.train()
    logits = learner.logits(mixed(values, step.order, step.share))
    return mixed_loss(logits, mixed(soft, step.order, step.share), 2 * count, weight, prior)
