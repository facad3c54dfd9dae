from __future__ import annotations

import pytest
import torch

from tdctl.config import NetConfig
from tdctl.nets import CifarResNet, build_net


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (56, 0.85)])
def test_depth_is_honoured(depth: int, millions: float) -> None:
    """Parameter counts of He et al. (CVPR 2016), table 6."""
    net = CifarResNet(depth, 10)
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)
    layers = [m for m in net.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    assert len(layers) == depth


@pytest.mark.parametrize("net_type", ["resnet", "resnet18", "resnet34", "resnet50"])
@pytest.mark.parametrize("channels", [1, 3])
def test_each_net_takes_its_channels_and_gives_logits(net_type: str, channels: int) -> None:
    net = build_net(NetConfig(net_type=net_type, depth=8), 7, channels, seed=0).eval()
    assert net(torch.zeros(2, channels, 32, 32)).shape == (2, 7)


def test_weights_depend_on_the_seed_alone() -> None:
    config = NetConfig(depth=8)
    torch.manual_seed(1)
    first = build_net(config, 10, 1, seed=3).state_dict()
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    second = build_net(config, 10, 1, seed=3).state_dict()
    assert (torch.random.get_rng_state() == before).all(), "the caller's stream is left alone"
    assert all((first[key] == second[key]).all() for key in first)
    other = build_net(config, 10, 1, seed=4).state_dict()
    assert (other["conv1.weight"] != first["conv1.weight"]).any()


def test_a_stride_of_2_halves_the_image_and_leaves_the_weights_alone() -> None:
    plain, halved = (
        build_net(NetConfig(depth=8, stride=stride), 10, 3, seed=0).eval() for stride in (1, 2)
    )
    states = plain.state_dict(), halved.state_dict()
    assert all((states[0][key] == states[1][key]).all() for key in states[0])
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert halved.conv1(images).shape == (2, 16, 32, 32)
    assert (halved.conv1(images) == plain.conv1(images)[:, :, ::2, ::2]).all()
    assert (halved(images) != plain(images)).any()
