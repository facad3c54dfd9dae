"""Builds classifiers by name and depth."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import torch
from torch import nn

from tdctl.config import NetConfig
from tdctl.errors import ConfigError
from tdctl.files import first_line
from tdctl.nets.cifar import CifarResNet
from tdctl.nets.heads import head_names
from tdctl.nets.own_input import OwnInput
from tdctl.nets.timm_nets import build_timm, check_timm, fetch_timm, file_of_timm, input_of_timm
from tdctl.nets.torchvision_nets import (
    build_torchvision,
    check_torchvision,
    fetch_torchvision,
    file_of_torchvision,
    input_of_torchvision,
)
from tdctl.nets.wide import WideNet
from tdctl.streams import WEIGHTS

__all__ = ["build_net", "check_name", "count_flops", "fetch_weights", "other_size", "own_input"]


# Images of at least this side are halved by the first convolution of the wide network. In the same
# time, it then sees each image three times as often. AP of AUM on 4,000 CIFAR-10 images, in 130 s
# of training: 0.850 without and 0.859 with halving for 20 % uniform noise, 0.516 and 0.572 for the
# aggregate human labels.
HALVED_FROM = 24


def build_net(config: NetConfig, num_classes: int, shape: tuple[int, ...], seed: int) -> nn.Module:
    """Builds a network. Its weights depend only on the settings, the image shape and the seed.

    ``resnet`` is ``CifarResNet`` and ``wide`` is ``WideNet``. Other names are networks of
    torchvision, and with ``timm:`` those of timm. These take images of three channels; images of
    one channel are repeated. With ``stem: cifar``, a ResNet of torchvision keeps the image's size.

    Args:
        config: the settings of the network.
        num_classes: k, the number of logits.
        shape: C, H, W of an image; or d of a vector, for which it is a linear head.
        seed: the seed of the weights.

    Raises:
        ConfigError: the name is unknown, or timm is not installed, or the network takes no such
            images.
    """
    channels = shape[0]
    with WEIGHTS.of_process(seed):
        if len(shape) == 1:
            return nn.Linear(channels, num_classes)
        if config.net_type == "linear":
            raise ConfigError(
                "net.net_type: linear reads vectors, not images; give --net-type wide"
            )
        if config.net_type == "resnet":
            return CifarResNet(config.depth, num_classes, channels, config.stride or 1)
        if config.net_type == "wide":
            halved = config.stride == 2 or (config.stride is None and min(shape[1:]) >= HALVED_FROM)
            return WideNet(num_classes, channels, 2 if halved else 1, config.width)
        if channels not in (1, 3):
            raise ConfigError(
                f"net.net_type: {config.label} takes images of 1 or 3 channels, not {channels}; "
                "use --net-type wide or resnet"
            )
        build = build_torchvision if config.timm_name is None else build_timm
        net = build(config, num_classes, (channels, shape[1], shape[2]))
        if config.starts_trained:
            _draw_head(net)
    if channels == 1:
        net.register_forward_pre_hook(_as_colour)
    return net


def check_name(config: NetConfig) -> None:
    """Refuses the name of a network that does not exist.

    Raises:
        ConfigError: the message has the nearest names; or timm is not installed.
    """
    if config.timm_name is not None:
        check_timm(config.timm_name)
    elif not config.is_own:
        check_torchvision(config.net_type)


def own_input(config: NetConfig) -> OwnInput | None:
    """The size, mean and deviation that the published weights of a network expect.

    None for tdctl's own networks, and for networks without published weights.

    Raises:
        ConfigError: as in ``check_name``.
    """
    if config.is_own:
        return None
    if config.timm_name is not None:
        return input_of_timm(config.timm_name)
    return input_of_torchvision(config.net_type)


def other_size(config: NetConfig, shape: tuple[int, ...]) -> str | None:
    """A note if images have another size than the weights that a network starts from expect.

    Args:
        config: the settings of the network.
        shape: C, H, W of an image; or d of a vector, which gives None.
    """
    if len(shape) == 1:
        return None
    own = own_input(config) if config.starts_trained else None
    if own is None or (own.size, own.size) == shape[1:]:
        return None
    return (
        f"images of {shape[2]} x {shape[1]} pixels; the published weights of "
        f"{config.net_type} expect {own.size}"
    )


def fetch_weights(config: NetConfig) -> tuple[str, Mapping[str, torch.Tensor]]:
    """The published weights of a network, from the cache of its package or from the network.

    Returns:
        The name of the weights, and a state dict.

    Raises:
        ConfigError: as in ``check_name``; or no weights are published, or they cannot be fetched.
    """
    if config.is_own:
        raise ConfigError(
            f"net.pretrained: {config.label} is tdctl's own network, without published "
            "ImageNet weights; name a network of torchvision or timm, such as --net-type resnet50"
        )
    try:
        if config.timm_name is not None:
            return fetch_timm(config.timm_name)
        return fetch_torchvision(config.net_type)
    except OSError as error:
        name = config.timm_name
        address = file_of_torchvision(config.net_type) if name is None else file_of_timm(name)
        raise ConfigError(
            f"net.pretrained: cannot fetch the weights of {config.net_type} ({first_line(error)}); "
            f"bring the file {address} to this machine, and give it with --pretrained FILE"
        ) from None


def _draw_head(net: nn.Module) -> None:
    """Draws the head's weights as torch draws those of a layer by default.

    Some networks draw them so large for a few classes that the first steps of a fine-tuning are
    spent on making them smaller: the loss of EfficientNets for ten classes begins at 5, not at 2.3.
    """
    for name in head_names(net):
        head = net.get_submodule(name)
        if isinstance(head, nn.Linear | nn.Conv2d):
            head.reset_parameters()


def _as_colour(net: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Repeats grey images [B, 1, H, W] for a network that takes three channels."""
    images, *others = inputs
    return (images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images, *others)


@cache
def count_flops(config: NetConfig, num_classes: int, shape: tuple[int, ...]) -> float:
    """The number of floating point operations of a forward pass for one image [C, H, W].

    A process that trains several networks of the same settings counts them once.

    Raises:
        ConfigError: as in ``build_net``; or the network does not take images of this size.
    """
    if len(shape) == 1:
        return 2.0 * shape[0] * num_classes
    from torch.utils.flop_counter import FlopCounterMode

    # Some networks of other packages can be built only with memory for their weights.
    with torch.device("meta" if config.is_own else "cpu"):
        net = build_net(config, num_classes, shape, 0).eval().to("meta")
    with torch.device("meta"):
        try:
            with FlopCounterMode(display=False) as counter:
                net(torch.empty(1, *shape))
        # torch and timm raise these if an image is too small for a layer.
        except (RuntimeError, AssertionError, ValueError) as error:
            own = own_input(config)
            advice = "a larger" if own is None else f"--image-size {own.size} or another larger"
            raise ConfigError(
                f"net.net_type: {config.label} does not take images of {shape[2]} x {shape[1]} "
                f"pixels ({first_line(error)}); give {advice} --image-size"
            ) from None
    return float(counter.get_total_flops())
