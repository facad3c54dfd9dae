"""A running average of a network's weights."""

from __future__ import annotations

import copy
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from tdctl.training.world import World

__all__ = ["Average"]


class Average:
    """A copy of a network whose weights and running statistics follow it slowly.

    After step s, from 0, it keeps min(decay, (1 + s) / (10 + s)) of itself: in the first steps
    less, so that the weights that the training began with are soon forgotten.

    Attributes:
        net: the averaged network, in eval mode.

    Source: Polyak and Juditsky (1992); the first steps as in TensorFlow's
        ExponentialMovingAverage.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self._decay = decay
        self._own, self._counts = _tensors(self.net)

    def update(self, net: nn.Module, step: int) -> None:
        """Follows ``net`` after its step ``step`` of the whole run."""
        decay = min(self._decay, (1 + step) / (10 + step))
        values, counts = _tensors(net)
        follow = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        follow(self._own, values, step)
        for own, count in zip(self._counts, counts, strict=True):
            own.copy_(count)

    def share(self, world: World) -> None:
        """Gives all processes the mean of the running statistics; the weights are the same."""
        world.average_buffers(self.net)


def _tensors(net: nn.Module) -> tuple[list[Any], list[torch.Tensor]]:
    """Weights and running statistics; and counters, which have no mean."""
    tensors = [t.detach() for t in chain(net.parameters(), net.buffers())]
    return (
        [t for t in tensors if t.is_floating_point()],
        [t for t in tensors if not t.is_floating_point()],
    )
