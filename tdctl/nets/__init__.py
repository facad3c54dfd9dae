"""Classifiers: two made for small images, torchvision's, and how one is built by name."""

from __future__ import annotations

from tdctl.nets.building import build_net, build_pair, count_flops
from tdctl.nets.cifar import CifarResNet
from tdctl.nets.pair import Pair
from tdctl.nets.wide import WideNet

__all__ = ["CifarResNet", "Pair", "WideNet", "build_net", "build_pair", "count_flops"]
