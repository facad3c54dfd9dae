"""Losses for labels that are partly wrong.

Shapes: B batch, n training images, k classes. Targets t are int64 [B], logits are float [B, k],
p = softmax(logits). Every function returns the loss of each sample, float [B], in nats unless
stated otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from tdctl.config import FitConfig
from tdctl.training.world import World

__all__ = [
    "EarlyLearning",
    "Loss",
    "generalised_cross_entropy",
    "hard_bootstrapping",
    "soft_bootstrapping",
    "symmetric_cross_entropy",
]


def soft_bootstrapping(
    logits: torch.Tensor, targets: torch.Tensor, beta: float = 0.95, detach: bool = False
) -> torch.Tensor:
    """Soft bootstrapping: -(beta t + (1 - beta) p) . log p, at least 0.

    With ``detach``, no gradient flows through the p that is part of the target. The gradient is
    then beta times that of cross-entropy, because the gradient of -p . log p with a constant first
    p is 0. Without ``detach``, the loss also pulls p towards one class (minimum entropy).

    Args:
        logits: float [B, k].
        targets: int64 [B].
        beta: weight of the target, in [0, 1].
        detach: see above.

    Source: Reed et al. (ICLR 2015 workshop), soft bootstrapping, with their beta.
    """
    log_p = functional.log_softmax(logits, dim=1)
    p = log_p.exp()
    if detach:
        p = p.detach()
    return -beta * _given(log_p, targets) - (1 - beta) * (p * log_p).sum(dim=1)


def hard_bootstrapping(
    logits: torch.Tensor, targets: torch.Tensor, beta: float = 0.8
) -> torch.Tensor:
    """Hard bootstrapping: -(beta t + (1 - beta) z) . log p, z the predicted class; at least 0.

    Args:
        logits: float [B, k].
        targets: int64 [B].
        beta: weight of the target, in [0, 1].

    Source: Reed et al. (ICLR 2015 workshop), hard bootstrapping, with their beta.
    """
    log_p = functional.log_softmax(logits, dim=1)
    return -beta * _given(log_p, targets) - (1 - beta) * log_p.amax(dim=1)


def generalised_cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, q: float = 0.7
) -> torch.Tensor:
    """Generalised cross-entropy: (1 - p_t^q) / q, in [0, 1/q].

    It approaches cross-entropy as q approaches 0. For q = 1 it is 1 - p_t, which is proportional to
    the mean absolute error.

    Args:
        logits: float [B, k].
        targets: int64 [B].
        q: in (0, 1].

    Source: Zhang and Sabuncu (NeurIPS 2018), with their q, without truncation.
    """
    return -torch.expm1(q * _given(functional.log_softmax(logits, dim=1), targets)) / q


def symmetric_cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, alpha: float = 0.1, beta: float = 1.0
) -> torch.Tensor:
    """Symmetric cross-entropy: alpha times cross-entropy plus beta times its reverse; at least 0.

    The reverse cross-entropy is -p . log t, where log 0 is replaced by -4. It equals 4 (1 - p_t).

    Args:
        logits: float [B, k].
        targets: int64 [B].
        alpha: weight of cross-entropy.
        beta: weight of reverse cross-entropy.

    Source: Wang et al. (ICCV 2019), with their alpha and beta for CIFAR-10. The paper replaces
        log 0 by a constant below 0; ours is -4. The published code clips t at 1e-4, which gives
        -9.2.
    """
    log_p = _given(functional.log_softmax(logits, dim=1), targets)
    return -alpha * log_p - beta * 4 * torch.expm1(log_p)


class EarlyLearning:
    """Early-learning regularisation: cross-entropy + weight log(1 - r . p).

    r is a running mean of each image's p. It starts at 0. Each time the image is seen, and before
    the loss is computed, r becomes ``keep`` r + (1 - ``keep``) p, without a gradient through p. p
    is clipped to [1e-4, 1 - 1e-4]. The second term is at most 0 and pulls p towards r, so the loss
    can be negative.

    Args:
        n: number of training images.
        keep: share of r that is kept, in [0, 1).
        weight: weight of the second term.

    Attributes:
        running: r, float32 [n, k]; None before the first batch.

    Source: Liu et al. (NeurIPS 2020) and its code; both numbers are theirs for CIFAR-10.
    """

    def __init__(self, n: int, keep: float = 0.7, weight: float = 3.0) -> None:
        self._n, self._keep, self._weight = n, keep, weight
        self.running: torch.Tensor | None = None
        self._seen: torch.Tensor | None = None

    def __call__(
        self, logits: torch.Tensor, targets: torch.Tensor, rows: torch.Tensor
    ) -> torch.Tensor:
        """The loss of each sample, float [B]; ``rows``, int64 [B], are the images' positions."""
        p = logits.softmax(dim=1).clamp(1e-4, 1 - 1e-4)
        if self.running is None:
            self.running = torch.zeros(self._n, logits.shape[1], device=logits.device)
        if self._seen is None:
            self._seen = torch.zeros(self._n, dtype=torch.bool, device=logits.device)
        fixed = p.detach()
        fixed = fixed / fixed.sum(dim=1, keepdim=True)
        own = torch.lerp(fixed, self.running[rows].to(fixed.dtype), self._keep)
        self.running[rows] = own.to(self.running.dtype)
        self._seen[rows] = True
        pull = torch.log1p(-(own * p).sum(dim=1))
        return functional.cross_entropy(logits, targets, reduction="none") + self._weight * pull

    def share(self, world: World) -> None:
        """Gives all processes the running means that each has updated in this epoch."""
        if self.running is None or self._seen is None:
            return
        if world.size > 1:
            # Each image was seen by one process only. The others add zeros, which changes nothing.
            self.running = world.sum(self.running * self._seen[:, None])
        self._seen = None

    def load(self, running: torch.Tensor) -> None:
        """Restores ``running``.

        Raises:
            ValueError: it has another number of images.
        """
        if len(running) != self._n:
            raise ValueError(f"running targets of {len(running)} images, not {self._n}")
        self.running = running


class TrainingLoss(Protocol):
    """What a trainer minimises; the methods are described in ``Loss``."""

    networks: int

    def __call__(
        self, logits: torch.Tensor, targets: torch.Tensor, rows: torch.Tensor
    ) -> torch.Tensor: ...

    def epoch_done(self, world: World) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None: ...


class Loss:
    """The loss that the settings ask for, with the state that it keeps for each image.

    Args:
        config: the settings of the training.
        n: number of training images.
        weights: float32 [n], the weight of each image's loss; None weighs all alike.

    Attributes:
        networks: how many networks' losses are added.
    """

    networks = 1

    def __init__(
        self, config: FitConfig, n: int, weights: NDArray[np.float32] | None = None
    ) -> None:
        self._weights = None if weights is None else torch.from_numpy(weights)
        self._name, self._smoothing = config.loss, config.label_smoothing
        self._detach = config.loss_detach
        self._memory = EarlyLearning(n) if config.loss == "elr" else None

    def __call__(
        self, logits: torch.Tensor, targets: torch.Tensor, rows: torch.Tensor
    ) -> torch.Tensor:
        """The sum over a batch, a scalar; ``rows``, int64 [B], are the images' positions."""
        if self._weights is not None:
            each = self._of_each(logits, targets, rows, "none")
            self._weights = self._weights.to(each.device)
            return (self._weights[rows] * each).sum()
        return self._of_each(logits, targets, rows, "sum").sum()

    def _of_each(
        self, logits: torch.Tensor, targets: torch.Tensor, rows: torch.Tensor, reduction: str
    ) -> torch.Tensor:
        """The loss of each sample [B]; cross-entropy sums them itself with reduction ``sum``."""
        if self._memory is not None:
            return self._memory(logits, targets, rows)
        if self._name == "bootstrap-soft":
            return soft_bootstrapping(logits, targets, detach=self._detach)
        if self._name == "bootstrap-hard":
            return hard_bootstrapping(logits, targets)
        if self._name == "gce":
            return generalised_cross_entropy(logits, targets)
        if self._name == "sce":
            return symmetric_cross_entropy(logits, targets)
        # torch's own sum has other last bits than a sum of the losses, and is faster.
        return functional.cross_entropy(
            logits, targets, label_smoothing=self._smoothing, reduction=reduction
        )

    def epoch_done(self, world: World) -> None:
        """Makes the state equal in all processes."""
        if self._memory is not None:
            self._memory.share(world)

    def state_dict(self) -> dict[str, Any]:
        """The state that a training needs to be resumed after a complete epoch."""
        if self._memory is None or self._memory.running is None:
            return {}
        return {"running": self._memory.running}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Restores a state.

        Raises:
            ValueError, KeyError: it belongs to another loss or to other images.
        """
        if self._memory is None and state:
            raise ValueError(f"a state of another loss than '{self._name}'")
        if self._memory is not None:
            self._memory.load(state["running"].to(device))


def _given(values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The value of each row at its target; [B]."""
    return values.gather(1, targets[:, None])[:, 0]
