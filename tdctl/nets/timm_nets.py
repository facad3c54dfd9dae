"""The classifiers of timm: their names, how they are built, and their published weights."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, cast
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from torch import nn

from tdctl.config import NetConfig
from tdctl.errors import ConfigError
from tdctl.nets.near_names import near_names
from tdctl.nets.own_input import OwnInput

__all__ = ["build_timm", "check_timm", "fetch_timm", "file_of_timm", "input_of_timm"]


def check_timm(name: str) -> None:
    """Refuses a name that is not one of timm's models, with or without a tag of its weights.

    Args:
        name: the name after ``timm:``, such as ``convnext_tiny.fb_in22k``.

    Raises:
        ConfigError: timm is not installed, or the name or the tag is unknown; the message has the
            nearest names.
    """
    if find_spec("timm") is None:
        raise ConfigError(
            f"net.net_type: timm:{name} needs the package timm; install the extra: pip install "
            "'tdctl[timm]'"
        )
    import timm

    network, _, tag = name.partition(".")
    if not timm.is_model(network):
        near = near_names(network, timm.list_models())
        which = f"the nearest are {', '.join(f'timm:{one}' for one in near)}"
        if not near:
            which = "timm.list_models() in Python lists all"
        raise ConfigError(f"net.net_type: timm has no model '{network}' ({which})")
    tags = _tags(network)
    if tag and tag not in tags:
        near = near_names(tag, tags) or tags[:3]
        which = (
            f"use {', '.join(f'timm:{network}.{one}' for one in near)}"
            if near
            else f"leave out '.{tag}'"
        )
        raise ConfigError(f"net.net_type: timm's {network} has no weights '{tag}'; {which}")


def build_timm(config: NetConfig, num_classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """A model of timm for three channels; its weights are drawn from torch's generator.

    Args:
        config: the name.
        num_classes: k.
        shape: C, H, W of an image; only networks that are built for one size depend on it.

    Raises:
        ConfigError: as in ``check_timm``; or the network cannot be built for the size.
    """
    name = config.timm_name or ""
    check_timm(name)
    import timm

    more: dict[str, Any] = {}
    own = _config_of(name)
    if own.fixed_input_size and not config.starts_trained and shape[1] != own.input_size[1]:
        more = {"img_size": tuple(shape[1:])}
    try:
        return cast(nn.Module, timm.create_model(name, num_classes=num_classes, **more))
    except (AssertionError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"net.net_type: timm:{name} cannot be built for images of {shape[1]} pixels "
            f"({reason}); give --image-size {own.input_size[1]}"
        ) from None


def input_of_timm(name: str) -> OwnInput | None:
    """What the published weights of a model expect; None if timm does not know it.

    Raises:
        ConfigError: as in ``check_timm``.
    """
    check_timm(name)
    own = _config_of(name)
    fixed = bool(own.fixed_input_size)
    return OwnInput(int(own.input_size[1]), fixed, tuple(own.mean), tuple(own.std))


def fetch_timm(name: str) -> tuple[str, Mapping[str, torch.Tensor]]:
    """The published weights of a model, from the cache of the Hugging Face hub or from the hub.

    Returns:
        The name of the weights, and the state dict of the model.

    Raises:
        ConfigError: as in ``check_timm``; or the model has no published weights.
        OSError: the weights cannot be fetched.
    """
    file_of_timm(name)
    import timm

    own, more = _config_of(name), dict[str, Any]()
    if own.hf_hub_id:
        more = {"pretrained_cfg_overlay": {"file": _from_hub(own.hf_hub_id, _hub_file(own))}}
    net = timm.create_model(name, pretrained=True, **more)
    return f"timm's {own.architecture}.{own.tag}", net.state_dict()


def file_of_timm(name: str) -> str:
    """The address of the file with the published weights of a model.

    Raises:
        ConfigError: as in ``check_timm``; or the model has no published weights.
    """
    check_timm(name)
    own = _config_of(name)
    if not own.has_weights:
        raise ConfigError(
            f"net.pretrained: timm has no weights of {name}; give --pretrained FILE, or "
            "--pretrained none"
        )
    if not own.hf_hub_id:
        return str(own.url)
    return f"https://huggingface.co/{own.hf_hub_id}/resolve/main/{_hub_file(own)}"


def _hub_file(own: Any) -> str:
    return own.hf_hub_filename or "model.safetensors"


def _from_hub(repository: str, file: str) -> str:
    """The path of a file in the cache of the Hugging Face hub; a missing file is fetched."""
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

    path = try_to_load_from_cache(repository, file)
    if isinstance(path, str):
        return path
    # Without a connection, the hub would try again for a minute and log each time. A proxy may
    # know a host that this machine does not.
    host = urlsplit(constants.ENDPOINT).hostname
    if not getproxies() and not constants.HF_HUB_OFFLINE:
        socket.getaddrinfo(host, 443)
    return str(hf_hub_download(repository, file))


def _config_of(name: str) -> Any:
    from timm.models import get_pretrained_cfg

    return get_pretrained_cfg(name)


def _tags(network: str) -> list[str]:
    import timm

    found = timm.list_pretrained(f"{network}.*")
    return [one.partition(".")[2] for one in found if one.partition(".")[0] == network]
