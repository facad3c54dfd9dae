"""The classifiers of torchvision: their names, how they are built, and their published weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, cast

import torch
from torch import nn

from tdctl.config import NetConfig
from tdctl.errors import ConfigError
from tdctl.nets.near_names import near_names
from tdctl.nets.own_input import OwnInput

__all__ = [
    "build_torchvision",
    "check_torchvision",
    "fetch_torchvision",
    "file_of_torchvision",
    "input_of_torchvision",
]

# Networks with auxiliary heads, which help a training from random weights only. tdctl builds them
# without these heads.
WITH_AUXILIARY = ("inception_v3", "googlenet")
# These networks have weights for each place of the image, so they are built for one size.
ONE_SIZE = "vit_"
OWN_NETS = ("resnet", "wide")


@cache
def _names() -> tuple[str, ...]:
    import torchvision

    return tuple(torchvision.models.list_models(module=torchvision.models))


def check_torchvision(name: str) -> None:
    """Refuses a name that is not one of torchvision's classifiers.

    Raises:
        ConfigError: the message has the nearest names.
    """
    if name in _names():
        return
    near = near_names(name, (*OWN_NETS, *_names()))
    which = f"the nearest are {', '.join(near)}" if near else "such as resnet50 or convnext_tiny"
    raise ConfigError(
        f"net.net_type: torchvision has no classifier '{name}' ({which}); networks of timm are "
        "named timm:NAME"
    )


def build_torchvision(
    config: NetConfig, num_classes: int, shape: tuple[int, int, int]
) -> nn.Module:
    """A classifier of torchvision for three channels; its weights are drawn from torch's generator.

    Args:
        config: the name, and for ResNets the stem.
        num_classes: k.
        shape: C, H, W of an image; only vision transformers depend on it.

    Raises:
        ConfigError: the name is unknown.
    """
    from torchvision import models

    name = config.net_type
    check_torchvision(name)
    more: dict[str, Any] = {}
    if name in WITH_AUXILIARY:
        # The published weights expect pixels scaled otherwise; torchvision's network does that.
        more = {"aux_logits": False, "init_weights": True, "transform_input": config.starts_trained}
    elif name.startswith(ONE_SIZE):
        own = input_of_torchvision(name)
        more = {"image_size": own.size if config.starts_trained and own else shape[1]}
    try:
        net = cast(nn.Module, models.get_model(name, num_classes=num_classes, **more))
    except AssertionError as error:
        raise ConfigError(
            f"net.net_type: {name} does not take images of {shape[1]} pixels ({error}); give "
            "another --image-size, such as 224"
        ) from None
    if config.stem == "cifar":
        net.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        net.maxpool = nn.Identity()
    return net


def input_of_torchvision(name: str) -> OwnInput | None:
    """What the published weights of a network expect; None if it has none.

    Raises:
        ConfigError: the name is unknown.
    """
    weights = _published(name)
    if weights is None:
        return None
    made = weights.transforms()
    fixed = name.startswith(ONE_SIZE)
    return OwnInput(int(made.crop_size[0]), fixed, tuple(made.mean), tuple(made.std))


def fetch_torchvision(name: str) -> tuple[str, Mapping[str, torch.Tensor]]:
    """The ImageNet weights of a network, from torchvision's cache or from its server.

    Returns:
        The name of the weights, and the state dict of the network with its auxiliary heads.

    Raises:
        ConfigError: the name is unknown, or the network has no published weights.
        OSError: the weights cannot be fetched.
    """
    from torchvision import models

    file_of_torchvision(name)
    weights = _published(name)
    # The network is built, because torchvision renames some of the weights while loading.
    net = models.get_model(name, weights=weights, progress=False)
    return f"torchvision's {weights}", net.state_dict()


def file_of_torchvision(name: str) -> str:
    """The address of the file with the ImageNet weights of a network.

    Raises:
        ConfigError: the name is unknown, or the network has no published weights.
    """
    weights = _published(name)
    if weights is None:
        raise ConfigError(
            f"net.pretrained: torchvision has no ImageNet weights of {name}; give --pretrained "
            "FILE, or --pretrained none"
        )
    return str(weights.url)


def _published(name: str) -> Any:
    """The best weights that torchvision publishes for a network, or None."""
    from torchvision import models

    check_torchvision(name)
    found = models.get_model_weights(name)
    return found.DEFAULT if len(found) else None
