"""The classification head of a network: its last layer, which gives the logits."""

from __future__ import annotations

from typing import Any, cast

from torch import nn

from tdctl.nets.two_networks import TwoNetworks

__all__ = ["head_names", "head_parameters", "without_head"]


def head_names(net: nn.Module) -> tuple[str, ...]:
    """The names of the layers that give the logits; more than one for timm's distilled networks.

    timm says the names. Of other networks, it is the last linear or convolutional layer.

    Raises:
        ValueError: the network has no such layer.
    """
    said = getattr(net, "pretrained_cfg", None)
    if said and said.get("classifier"):
        names = said["classifier"]
        return (names,) if isinstance(names, str) else tuple(names)
    layers = [name for name, one in net.named_modules() if isinstance(one, nn.Linear | nn.Conv2d)]
    if not layers:
        raise ValueError("the network has no linear layer that could be its head")
    return (layers[-1],)


def head_parameters(net: nn.Module) -> list[nn.Parameter]:
    """The parameters of the head; of a module of several networks, those of all heads."""
    if isinstance(net, TwoNetworks):
        return [one for part in net.networks for one in head_parameters(part)]
    return [one for name in head_names(net) for one in net.get_submodule(name).parameters()]


def without_head(net: nn.Module) -> nn.Module:
    """The network without its head: it gives the features [B, F] of images; changed in place."""
    if hasattr(net, "reset_classifier"):
        cast(Any, net).reset_classifier(0)
        return net
    for name in head_names(net):
        net.set_submodule(name, nn.Identity())
    return net
