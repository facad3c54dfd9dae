"""Classifiers: two for small images, those of torchvision, and a function to build one by name."""

from __future__ import annotations

from tdctl.nets.building import build_net, count_flops
from tdctl.nets.cifar import CifarResNet
from tdctl.nets.two_networks import TwoNetworks
from tdctl.nets.wide import WideNet

__all__ = [
    "CifarResNet",
    "TwoNetworks",
    "WideNet",
    "build_net",
    "count_flops",
]
