"""The optimiser of a training, and the learning rate of its parts."""

from __future__ import annotations

import torch
from torch import nn

from tdctl.config import FitConfig
from tdctl.nets import head_parameters

__all__ = ["Optimizer"]


class Optimizer(torch.optim.SGD):
    """SGD with Nesterov momentum; the head of a network may have a higher learning rate.

    Args:
        net: the network, already on its device.
        config: learning rate, momentum, weight decay and ``head_lr_times``.
        images: how many are trained on, on which the weight decay ``auto`` depends.
    """

    def __init__(self, net: nn.Module, config: FitConfig, images: int) -> None:
        groups = [list(net.parameters())]
        if config.head_lr_times != 1:
            head = head_parameters(net)
            own = {id(one) for one in head}
            groups = [[one for one in groups[0] if id(one) not in own], head]
        super().__init__(
            [{"params": group} for group in groups],
            lr=config.lr,
            momentum=config.momentum,
            nesterov=config.momentum > 0,
            weight_decay=config.decay_of(images),
            fused=True,
        )
        self._times = (1.0, config.head_lr_times)

    def set_rate(self, rate: float) -> None:
        """Sets the learning rate of the body; that of the head follows."""
        for group, times in zip(self.param_groups, self._times, strict=False):
            group["lr"] = rate * times
