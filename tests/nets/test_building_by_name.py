"""Networks of torchvision and timm, by their names."""

from __future__ import annotations

import importlib.util
import urllib.error
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from tdctl.config import NetConfig
from tdctl.errors import ConfigError
from tdctl.nets import build_net, check_name, count_flops, fetch_weights, head_parameters, own_input

SMALL = ["squeezenet1_1", "mobilenet_v3_small", "timm:test_resnet.r160_in1k", "timm:test_vit"]


def of(net_type: str, **more: Any) -> NetConfig:
    return NetConfig.model_validate({"net_type": net_type, **more})


@pytest.mark.parametrize("net_type", SMALL)
def test_a_network_is_built_by_its_name_for_colour_and_grey(net_type: str) -> None:
    colour, grey = (build_net(of(net_type), 7, (c, 32, 32), seed=3).eval() for c in (3, 1))
    images = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert grey(images).shape == (2, 7)
    assert (grey(images) == colour(images.expand(-1, 3, -1, -1))).all()
    assert count_flops(of(net_type), 7, (1, 32, 32)) > 0


@pytest.mark.parametrize("net_type", SMALL)
def test_its_weights_depend_on_the_seed_alone(net_type: str) -> None:
    states = []
    for noise, seed in ((1, 3), (2, 3), (2, 4)):
        torch.manual_seed(noise)
        states.append(build_net(of(net_type), 4, (3, 32, 32), seed).state_dict())
    assert all((states[0][key] == states[1][key]).all() for key in states[0])
    assert any((states[0][key] != states[2][key]).any() for key in states[0])


@pytest.mark.parametrize("net_type", ["timm:test_efficientnet", "mobilenet_v3_small"])
def test_the_new_head_of_a_pretrained_network_begins_small(net_type: str) -> None:
    config = of(net_type, pretrained="w.pth")
    nets = [build_net(config, 10, (3, 32, 32), seed=3) for _ in range(2)]
    heads = [head_parameters(net) for net in nets]
    assert heads[0][0].abs().max() <= heads[0][0].shape[1] ** -0.5
    assert all((one == other).all() for one, other in zip(*heads, strict=True))


def test_auxiliary_heads_are_left_out() -> None:
    net = build_net(of("googlenet"), 5, (3, 32, 32), 0).train()
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 5)


@pytest.mark.parametrize(
    ("net_type", "says"),
    [
        ("ResNet5", "no classifier 'ResNet5' (the nearest are resnet50"),
        ("mobilenet_v3", "the nearest are mobilenet_v2"),
        ("fasterrcnn_resnet50_fpn", "no classifier"),
        ("qqqq", "such as resnet50"),
        ("timm:convnext_tinny", "the nearest are timm:convnext_tiny"),
        ("timm:qqqqqqqq", "timm.list_models()"),
        ("timm:resnet18.a1", "use timm:resnet18.a1_in1k"),
        ("timm:test_vit.nonsense", "timm's test_vit has no weights 'nonsense'"),
    ],
)
def test_a_name_that_does_not_exist_brings_the_nearest(net_type: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_name(of(net_type))
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("net_type", ["resnet-50", "timm:", "timm:../x", "a b", "convnext.in1k"])
def test_the_form_of_a_name_is_checked_with_the_settings(net_type: str) -> None:
    with pytest.raises(ValidationError, match="is no name of a network"):
        of(net_type)


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def without(name: str, *at: Any) -> Any:
        return None if name == "timm" else found(name, *at)

    monkeypatch.setattr("tdctl.nets.timm_nets.find_spec", without)
    with pytest.raises(ConfigError, match=r"pip install 'tdctl\[timm\]'"):
        check_name(of("timm:resnet18"))


@pytest.mark.parametrize(
    ("net_type", "side", "says"),
    [
        ("alexnet", 32, "alexnet does not take images of 32 x 32 pixels"),
        ("inception_v3", 64, "give --image-size 299 or another larger"),
        ("vit_b_16", 30, "vit_b_16 does not take images of 30 pixels"),
    ],
)
def test_images_that_are_too_small_are_refused_in_one_line(
    net_type: str, side: int, says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        count_flops(of(net_type), 3, (3, side, side))
    assert says in str(caught.value) and "--image-size" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_channels_than_grey_and_colour_are_refused() -> None:
    with pytest.raises(ConfigError, match="1 or 3 channels, not 4"):
        build_net(of("squeezenet1_1"), 3, (4, 32, 32), 0)


def test_what_published_weights_expect() -> None:
    assert own_input(of("wide")) is None
    torchvisions = own_input(of("inception_v3"))
    assert torchvisions is not None and torchvisions.size == 299
    assert torchvisions.mean == (0.485, 0.456, 0.406)
    timms = own_input(of("timm:test_resnet.r160_in1k"))
    assert timms is not None and (timms.size, timms.std) == (160, (0.5, 0.5, 0.5))
    assert not torchvisions.fixed and not timms.fixed
    transformers = own_input(of("vit_b_32")), own_input(of("timm:test_vit.r160_in1k"))
    assert all(one is not None and one.fixed for one in transformers)


def test_a_vision_transformer_is_built_for_its_images_or_its_weights() -> None:
    for pretrained, tokens in ((None, 1 + 2 * 2), (Path("w.pth"), 1 + 7 * 7)):
        net = build_net(of("vit_b_32", pretrained=pretrained), 3, (3, 64, 64), 0)
        assert net.get_parameter("encoder.pos_embedding").shape[1] == tokens


def no_connection(*at: Any, **more: Any) -> Any:
    raise urllib.error.URLError("Name or service not known")


@pytest.mark.parametrize(
    ("net_type", "address"),
    [
        ("squeezenet1_1", "https://download.pytorch.org/models/squeezenet1_1-"),
        ("timm:resnet10t", "https://huggingface.co/timm/resnet10t.c3_in1k/resolve/main/"),
    ],
)
def test_without_a_connection_the_file_to_bring_is_named(
    net_type: str, address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", no_connection)
    monkeypatch.setattr("torch.hub.urlopen", no_connection)
    monkeypatch.setattr("tdctl.nets.timm_nets.getproxies", dict)
    monkeypatch.setattr("socket.getaddrinfo", no_connection)
    with pytest.raises(ConfigError, match="--pretrained FILE") as caught:
        fetch_weights(of(net_type, pretrained="imagenet"))
    message = str(caught.value)
    assert address in message and "not known" in message and "\n" not in message


@pytest.mark.parametrize(
    ("net_type", "says"), [("wide", "tdctl's own"), ("timm:test_vit_x", "has no model")]
)
def test_published_weights_that_do_not_exist(net_type: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        fetch_weights(of(net_type, pretrained="imagenet"))
