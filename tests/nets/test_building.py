from __future__ import annotations

import pytest
import torch

from tdctl.config import NetConfig
from tdctl.nets import CifarResNet, WideNet, build_net, count_flops


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (56, 0.85)])
def test_depth_is_honoured(depth: int, millions: float) -> None:
    """Parameter counts of He et al. (CVPR 2016), table 6."""
    net = CifarResNet(depth, 10)
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)
    layers = [m for m in net.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    assert len(layers) == depth


@pytest.mark.parametrize("net_type", ["resnet", "wide", "resnet18", "resnet34", "resnet50"])
@pytest.mark.parametrize("channels", [1, 3])
def test_each_net_takes_its_channels_and_gives_logits(net_type: str, channels: int) -> None:
    net = build_net(NetConfig(net_type=net_type, depth=8), 7, (channels, 32, 32), seed=0).eval()
    assert net(torch.zeros(2, channels, 32, 32)).shape == (2, 7)


@pytest.mark.parametrize("net_type", ["resnet", "wide"])
def test_weights_depend_on_the_seed_alone(net_type: str) -> None:
    config = NetConfig.model_validate({"net_type": net_type, "depth": 8})
    torch.manual_seed(1)
    first = build_net(config, 10, (1, 8, 8), seed=3).state_dict()
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    second = build_net(config, 10, (1, 8, 8), seed=3).state_dict()
    assert (torch.random.get_rng_state() == before).all(), "the caller's stream is left alone"
    assert all((first[key] == second[key]).all() for key in first)
    other = build_net(config, 10, (1, 8, 8), seed=4).state_dict()
    assert (other["conv1.weight"] != first["conv1.weight"]).any()


@pytest.mark.parametrize(("net_type", "width"), [("resnet", 16), ("wide", 32)])
def test_a_stride_of_2_halves_the_image_and_leaves_the_weights_alone(
    net_type: str, width: int
) -> None:
    plain, halved = (
        build_net(
            NetConfig.model_validate({"net_type": net_type, "depth": 8, "stride": stride}),
            10,
            (3, 64, 64),
            0,
        ).eval()
        for stride in (1, 2)
    )
    states = plain.state_dict(), halved.state_dict()
    assert all((states[0][key] == states[1][key]).all() for key in states[0])
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert halved.conv1(images).shape == (2, width, 32, 32)
    assert (halved.conv1(images) == plain.conv1(images)[:, :, ::2, ::2]).all()
    assert (halved(images) != plain(images)).any()


@pytest.mark.parametrize(
    ("side", "stride", "expected"), [(8, None, 8), (32, None, 16), (32, 1, 32)]
)
def test_the_wide_net_halves_images_of_some_size(
    side: int, stride: int | None, expected: int
) -> None:
    config = NetConfig.model_validate({"net_type": "wide", "stride": stride})
    net = build_net(config, 10, (3, side, side), 0)
    assert isinstance(net, WideNet)
    assert net.conv1(torch.zeros(1, 3, side, side)).shape[-1] == expected


def test_the_wide_net_has_half_the_widths_of_its_model() -> None:
    """ResNet-9 of D. Page's cifar10-fast has 6.57 million weights; halving widths quarters them."""
    net = WideNet(10)
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(6.57 / 4, abs=0.01)
    layers = [m for m in net.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    assert len(layers) == 9
    twice = build_net(NetConfig(net_type="wide", width=2), 10, (3, 32, 32), seed=0)
    assert sum(p.numel() for p in twice.parameters()) / 1e6 == pytest.approx(6.57, abs=0.01)
    assert NetConfig(net_type="wide", width=2).label == "wide-x2"
    assert NetConfig(net_type="wide", width=2, frozen=True).label == "wide-x2-frozen"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [8, 13, 28, 32, 64])
def test_the_wide_net_takes_images_of_any_side(side: int, channels: int) -> None:
    net = build_net(NetConfig(net_type="wide"), 3, (channels, side, side), seed=0).train()
    images = torch.randn(4, channels, side, side, generator=torch.Generator().manual_seed(0))
    logits = net(images)
    logits.sum().backward()
    assert logits.shape == (4, 3) and len(set(logits[:, 0].tolist())) == 4
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    assert count_flops(NetConfig(net_type="wide"), 3, (channels, side, side)) > 0


def test_the_wide_nets_folder_name_is_its_own() -> None:
    assert NetConfig(net_type="wide").label == "wide"


def test_a_cifar_stem_keeps_the_size_of_the_image() -> None:
    config = NetConfig(net_type="resnet18", stem="cifar")
    net = build_net(config, 10, (3, 32, 32), 0)
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    sizes: list[torch.Size] = []
    net.layer4.register_forward_hook(lambda *at: sizes.append(at[2].shape))
    net(torch.zeros(1, 3, 32, 32))
    assert sizes[0][2:] == (4, 4)  # torchvision's own first layers leave one pixel
    with pytest.raises(ValueError, match="stem: goes with"):
        NetConfig(net_type="wide", stem="cifar")
