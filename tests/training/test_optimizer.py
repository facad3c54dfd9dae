from __future__ import annotations

import pytest
import torch

from tdctl.config import NetConfig, TrainConfig
from tdctl.nets import build_net
from tdctl.training.optimizer import Optimizer


@pytest.mark.parametrize("net_type", ["wide", "squeezenet1_1"])
def test_the_head_has_a_rate_of_its_own(net_type: str) -> None:
    net = build_net(NetConfig(net_type=net_type), 5, (3, 32, 32), 0)
    optimizer = Optimizer(net, TrainConfig(lr=0.01, head_lr_times=10), 100)
    optimizer.set_rate(0.002)
    body, head = optimizer.param_groups
    assert body["lr"] == 0.002 and head["lr"] == pytest.approx(0.02)
    assert sum(one.shape[0] for one in head["params"] if one.ndim > 1) == 5
    assert len(body["params"]) + len(head["params"]) == len(list(net.parameters()))


def test_without_it_all_parameters_are_one_group_of_sgd() -> None:
    net = build_net(NetConfig(net_type="wide"), 5, (3, 32, 32), 0)
    config = TrainConfig(lr=0.3, momentum=0.8, weight_decay=0.01)
    optimizer = Optimizer(net, config, 100)
    (group,) = optimizer.param_groups
    assert (group["lr"], group["momentum"], group["nesterov"]) == (0.3, 0.8, True)
    assert isinstance(optimizer, torch.optim.SGD) and group["weight_decay"] == 0.01


@pytest.mark.parametrize(
    ("images", "expected"), [(100, 0.002), (12_500, 0.002), (25_000, 0.001), (50_000, 0.0005)]
)
def test_the_automatic_weight_decay_falls_with_the_number_of_images(
    images: int, expected: float
) -> None:
    net = build_net(NetConfig(net_type="wide"), 5, (3, 32, 32), 0)
    optimizer = Optimizer(net, TrainConfig(weight_decay="auto"), images)
    assert optimizer.param_groups[0]["weight_decay"] == pytest.approx(expected)
