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
    """A running average of a network: its weights and its running statistics.

    After step s, counted from 0, the average is d times itself plus (1 - d) times the network,
    with d = min(decay, (1 + s) / (10 + s)). In the first steps d is smaller, so that the initial
    weights soon lose their influence.

    Args:
        net: the network; it is copied.
        decay: the largest d, in [0, 1).

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
        """Updates the average with ``net`` after step ``step``, counted over the whole run."""
        decay = min(self._decay, (1 + step) / (10 + step))
        values, counts = _tensors(net)
        follow = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        follow(self._own, values, step)
        for own, count in zip(self._counts, counts, strict=True):
            own.copy_(count)

    def share(self, world: World) -> None:
        """Gives all processes the mean of their running statistics; their weights are equal."""
        world.average_buffers(self.net)


def _tensors(net: nn.Module) -> tuple[list[Any], list[torch.Tensor]]:
    """Weights and running statistics; and, separately, counters, which are copied unchanged."""
    tensors = [t.detach() for t in chain(net.parameters(), net.buffers())]
    return (
        [t for t in tensors if t.is_floating_point()],
        [t for t in tensors if not t.is_floating_point()],
    )
