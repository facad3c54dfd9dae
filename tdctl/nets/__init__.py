"""Classifiers: two for small images, those of torchvision and timm, and their building by name."""

from __future__ import annotations

from tdctl.nets.building import (
    build_net,
    check_name,
    count_flops,
    fetch_weights,
    other_size,
    own_input,
)
from tdctl.nets.checkpointing import checkpoint_blocks
from tdctl.nets.cifar import CifarResNet
from tdctl.nets.heads import head_names, head_parameters, without_head
from tdctl.nets.own_input import OwnInput
from tdctl.nets.randomness import draws_at_random
from tdctl.nets.two_networks import TwoNetworks
from tdctl.nets.wide import WideNet

__all__ = [
    "CifarResNet",
    "OwnInput",
    "TwoNetworks",
    "WideNet",
    "build_net",
    "check_name",
    "checkpoint_blocks",
    "count_flops",
    "draws_at_random",
    "fetch_weights",
    "head_names",
    "head_parameters",
    "other_size",
    "own_input",
    "without_head",
]
