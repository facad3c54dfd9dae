from __future__ import annotations

import pytest
import torch

from tdctl.config import NetConfig
from tdctl.errors import ConfigError
from tdctl.nets import build_net, checkpoint_blocks


def saved_bytes(net: torch.nn.Module, images: torch.Tensor) -> tuple[int, list[torch.Tensor]]:
    """What autograd keeps of a forward pass, and the gradients of its backward pass."""
    kept = 0

    def count(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.nbytes
        return tensor

    torch.manual_seed(1)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        loss = net(images).square().sum()
    loss.backward()
    return kept, [one.grad for one in net.parameters() if one.grad is not None]


@pytest.mark.parametrize("net_type", ["mobilenet_v3_small", "resnet18", "timm:test_resnet"])
def test_less_is_kept_and_the_gradients_are_the_same(net_type: str) -> None:
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    kept, gradients = [], []
    for checkpointed in (False, True):
        net = build_net(NetConfig(net_type=net_type), 5, (3, 32, 32), 0).train()
        names = list(net.state_dict())
        if checkpointed:
            checkpoint_blocks(net, net_type)
        assert list(net.state_dict()) == names
        found = saved_bytes(net, images)
        kept.append(found[0])
        gradients.append(found[1])
    assert kept[1] < kept[0] / 2
    for plain, again in zip(*gradients, strict=True):
        assert torch.allclose(plain, again, atol=1e-5)


def test_a_network_without_blocks_is_refused() -> None:
    with torch.device("meta"):
        net = build_net(NetConfig(net_type="inception_v3"), 5, (3, 80, 80), 0)
    with pytest.raises(ConfigError, match="inception_v3 has no blocks"):
        checkpoint_blocks(net, "inception_v3")
