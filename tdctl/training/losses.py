"""Losses for labels that are partly wrong.

Shapes: B batch, n training images, k classes. Targets t are int64 [B], logits float [B, k],
p = softmax(logits). Every function gives the loss of each sample, float [B], in nats where
nothing else is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
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
    """-(beta t + (1 - beta) p) . log p, at least 0.

    With ``detach`` no gradient goes through the p of the target. What is left is the gradient of
    cross-entropy times beta, since that of -p . log p with the first p held is 0; without it
    p is drawn towards one class as well (minimum entropy).

    Source: Reed et al. (ICLR 2015 workshop), soft bootstrapping; beta as there.
    """
    log_p = functional.log_softmax(logits, dim=1)
    p = log_p.exp()
    if detach:
        p = p.detach()
    return -beta * _given(log_p, targets) - (1 - beta) * (p * log_p).sum(dim=1)


def hard_bootstrapping(
    logits: torch.Tensor, targets: torch.Tensor, beta: float = 0.8
) -> torch.Tensor:
    """-(beta t + (1 - beta) z) . log p with z the predicted class, at least 0.

    Source: Reed et al. (ICLR 2015 workshop), hard bootstrapping; beta as there.
    """
    log_p = functional.log_softmax(logits, dim=1)
    return -beta * _given(log_p, targets) - (1 - beta) * log_p.amax(dim=1)


def generalised_cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, q: float = 0.7
) -> torch.Tensor:
    """(1 - p_t^q) / q, in [0, 1/q]: cross-entropy for q towards 0, mean absolute error at 1.

    Source: Zhang and Sabuncu (NeurIPS 2018); q as there, without truncation.
    """
    return -torch.expm1(q * _given(functional.log_softmax(logits, dim=1), targets)) / q


def symmetric_cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, alpha: float = 0.1, beta: float = 1.0
) -> torch.Tensor:
    """alpha times cross-entropy plus beta times reverse cross-entropy, at least 0.

    The reverse one is -p . log t, with log 0 taken as -4: 4 (1 - p_t).

    Source: Wang et al. (ICCV 2019); alpha and beta as there for CIFAR-10. Log 0 is a constant
        below 0 there, ours is -4; the published code clips t at 1e-4, which is -9.2.
    """
    log_p = _given(functional.log_softmax(logits, dim=1), targets)
    return -alpha * log_p - beta * 4 * torch.expm1(log_p)


class EarlyLearning:
    """Cross-entropy + weight log(1 - r . p), with r each image's running mean of p.

    r starts at 0 and becomes ``keep`` r + (1 - ``keep``) p, p without its gradient, whenever the
    image is seen, before the loss is taken. p is held within [1e-4, 1 - 1e-4]. The second term
    is at most 0 and draws p towards r; the loss can be below 0.

    Attributes:
        running: r, float32 [n, k], or None before the first batch.

    Source: Liu et al. (NeurIPS 2020) and its code; both numbers as there for CIFAR-10.
    """

    def __init__(self, n: int, keep: float = 0.7, weight: float = 3.0) -> None:
        self._n, self._keep, self._weight = n, keep, weight
        self.running: torch.Tensor | None = None
        self._seen: torch.Tensor | None = None

    def __call__(
        self, logits: torch.Tensor, targets: torch.Tensor, rows: torch.Tensor
    ) -> torch.Tensor:
        """The loss of each sample; ``rows`` int64 [B] are the images' positions."""
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
        """Gives all processes what each has found for the images it saw in this epoch."""
        if self.running is None or self._seen is None:
            return
        if world.size > 1:
            # Each image was seen in one process: the others add zeros, which changes no bit.
            self.running = world.sum(self.running * self._seen[:, None])
        self._seen = None

    def load(self, running: torch.Tensor) -> None:
        """Puts back what ``running`` was.

        Raises:
            ValueError: it is of another number of images.
        """
        if len(running) != self._n:
            raise ValueError(f"running targets of {len(running)} images, not {self._n}")
        self.running = running


class TrainingLoss(Protocol):
    """What a trainer minimises; ``Loss`` says what each method does."""

    networks: int

    def __call__(
        self, logits: torch.Tensor, targets: torch.Tensor, rows: torch.Tensor
    ) -> torch.Tensor: ...

    def epoch_done(self, world: World) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None: ...


class Loss:
    """The loss that the settings ask for, with what it remembers of each image.

    Args:
        n: training images.

    Attributes:
        networks: how many networks' losses it adds up.
    """

    networks = 1

    def __init__(self, config: FitConfig, n: int) -> None:
        self._name, self._smoothing = config.loss, config.label_smoothing
        self._detach = config.loss_detach
        self._memory = EarlyLearning(n) if config.loss == "elr" else None

    def __call__(
        self, logits: torch.Tensor, targets: torch.Tensor, rows: torch.Tensor
    ) -> torch.Tensor:
        """The sum over a batch, a scalar; ``rows`` int64 [B] are the images' positions."""
        if self._memory is not None:
            return self._memory(logits, targets, rows).sum()
        if self._name == "bootstrap-soft":
            return soft_bootstrapping(logits, targets, detach=self._detach).sum()
        if self._name == "bootstrap-hard":
            return hard_bootstrapping(logits, targets).sum()
        if self._name == "gce":
            return generalised_cross_entropy(logits, targets).sum()
        if self._name == "sce":
            return symmetric_cross_entropy(logits, targets).sum()
        return functional.cross_entropy(
            logits, targets, label_smoothing=self._smoothing, reduction="sum"
        )

    def epoch_done(self, world: World) -> None:
        """Brings all processes to one state."""
        if self._memory is not None:
            self._memory.share(world)

    def state_dict(self) -> dict[str, Any]:
        """What a training needs to go on after a whole epoch."""
        if self._memory is None or self._memory.running is None:
            return {}
        return {"running": self._memory.running}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Puts a state back.

        Raises:
            ValueError, KeyError: it is of another loss, or of other images.
        """
        if self._memory is None and state:
            raise ValueError(f"a state of another loss than '{self._name}'")
        if self._memory is not None:
            self._memory.load(state["running"].to(device))


def _given(values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Of each row [k] the value of its target; [B]."""
    return values.gather(1, targets[:, None])[:, 0]
