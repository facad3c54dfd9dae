"""The features that a network's last layer is given."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tdctl.errors import TrainingError
from tdctl.training.feature_hook import FeatureHook


def small_net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def test_features_are_what_the_last_layer_is_given_and_are_taken_once() -> None:
    net, images = small_net(), torch.randn(5, 3)
    hook = FeatureHook(net)
    net(images)
    assert torch.equal(hook.taken(), net[:2](images))
    with pytest.raises(TrainingError, match="was not called"):
        hook.taken()


def test_a_closed_hook_leaves_the_network_as_it_was() -> None:
    net = small_net()
    hook = FeatureHook(net)
    hook.close()
    net(torch.randn(5, 3))
    with pytest.raises(TrainingError, match="was not called"):
        hook.taken()
    assert not any(module._forward_pre_hooks for module in net.modules())


def test_the_maps_before_a_head_that_is_a_convolution_are_averaged() -> None:
    net, images = (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1)),
        torch.randn(5, 3, 6, 6),
    )
    hook = FeatureHook(net)
    net(images)
    assert torch.equal(hook.taken(), net[:2](images).mean(dim=(2, 3)))


def test_a_network_without_layers_of_weights_is_refused() -> None:
    with pytest.raises(TrainingError, match="no linear layer"):
        FeatureHook(nn.ReLU())


def test_a_compiled_pass_gives_the_same_features() -> None:
    net = small_net()
    hook, compiled = FeatureHook(net), torch.compile(net, dynamic=False, backend="aot_eager")
    for _ in range(2):
        images = torch.randn(5, 3)
        compiled(images).sum().backward()
        assert torch.allclose(hook.taken(), net[:2](images))
