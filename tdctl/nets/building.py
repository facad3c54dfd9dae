"""Classifiers by name and depth."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import nn

from tdctl.config import NetConfig
from tdctl.nets.cifar import CifarResNet
from tdctl.nets.pair import Pair
from tdctl.nets.wide import WideNet

__all__ = ["build_net", "build_pair", "count_flops"]


def build_net(config: NetConfig, num_classes: int, channels: int, seed: int) -> nn.Module:
    """A fresh network whose weights depend on the settings and the seed alone.

    ``resnet`` is ``CifarResNet``, ``wide`` is ``WideNet``; ``resnet18``, ``resnet34`` and
    ``resnet50`` are torchvision's, with a first convolution for ``channels`` channels.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if config.net_type == "resnet":
            return CifarResNet(config.depth, num_classes, channels, config.stride)
        if config.net_type == "wide":
            return WideNet(num_classes, channels, config.stride)
        from torchvision import models

        net = cast(nn.Module, getattr(models, config.net_type)(num_classes=num_classes))
        if channels != 3:
            net.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
        return net


def build_pair(config: NetConfig, num_classes: int, channels: int, seed: int) -> Pair:
    """Two fresh networks that differ, with a class more than ``num_classes``."""
    other = int(np.random.SeedSequence([seed, 4]).generate_state(1)[0])
    first, second = (build_net(config, num_classes + 1, channels, own) for own in (seed, other))
    return Pair(first, second, num_classes)


def count_flops(config: NetConfig, num_classes: int, shape: tuple[int, int, int]) -> float:
    """Floating point operations of the forward pass of one image [C, H, W]."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        net = build_net(config, num_classes, shape[0], 0).eval()
        with FlopCounterMode(display=False) as counter:
            net(torch.empty(1, *shape))
    return float(counter.get_total_flops())
