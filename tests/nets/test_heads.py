from __future__ import annotations

import pytest
import torch
from torch import nn

from tdctl.config import NetConfig
from tdctl.nets import TwoNetworks, build_net, head_names, head_parameters, without_head


def built(net_type: str) -> nn.Module:
    return build_net(NetConfig(net_type=net_type, depth=8), 7, (3, 32, 32), seed=0).eval()


@pytest.mark.parametrize(
    ("net_type", "names", "width"),
    [
        ("resnet", ("fc",), 64),
        ("wide", ("fc",), 256),
        ("resnet18", ("fc",), 512),
        ("squeezenet1_1", ("classifier.1",), 512),
        ("mobilenet_v3_small", ("classifier.3",), 1024),
        ("timm:test_resnet", ("fc",), 96),
        ("timm:test_convnext", ("head.fc",), 64),
    ],
)
def test_the_head_is_the_layer_that_gives_the_logits(
    net_type: str, names: tuple[str, ...], width: int
) -> None:
    net = built(net_type)
    assert head_names(net) == names
    assert sum(one.numel() for one in head_parameters(net)) == 7 * (width + 1)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    features = without_head(net)(images)
    assert features.shape == (2, width) and features.std() > 0


def test_two_networks_have_two_heads() -> None:
    net = TwoNetworks(built("wide"), built("wide"), 6)
    assert len(head_parameters(net)) == 4


def test_a_network_without_layers_has_no_head() -> None:
    with pytest.raises(ValueError, match="no linear layer"):
        head_names(nn.Flatten())
