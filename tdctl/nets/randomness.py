"""Whether a network itself draws random numbers while it is trained."""

from __future__ import annotations

from torch import nn

from tdctl.nets.cifar import CifarResNet
from tdctl.nets.two_networks import TwoNetworks
from tdctl.nets.wide import WideNet

__all__ = ["draws_at_random"]


def draws_at_random(net: nn.Module) -> bool:
    """Whether a training step of the network may draw from torch's global generator.

    tdctl's own networks draw nothing. Networks of other packages may have dropout or random depth.
    """
    parts = list(net.networks) if isinstance(net, TwoNetworks) else [net]
    return not all(isinstance(part, CifarResNet | WideNet) for part in parts)
