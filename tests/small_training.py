"""A training of a small network without batch statistics, in one or several processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from processes import in_world
from torch import nn

from tdctl.config import DataConfig, TrainConfig
from tdctl.data import open_dataset
from tdctl.labels import Labels
from tdctl.recorder import EpochRows, RunRecorder
from tdctl.training import Pipeline, World, fit

# A prime: neither two nor three processes divide it, nor the batch.
N = 151


class Plain(nn.Module):
    """Without batch statistics, so that processes differ in the order of sums alone."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))

    def forward(self, x: torch.Tensor) -> Any:
        return self.layers(x)


def trained(folder: Path, world: World, report: Any = None, **train: Any) -> Any:
    data = open_dataset(DataConfig(limit=N))
    settings = {"epochs": 3, "batch_size": 64, "amp": False, "lr": 0.05} | train
    config = TrainConfig(**settings)
    labels = Labels(data.train.index, data.train.targets, data.train.targets)
    checkpoint = folder / "checkpoint.pth"
    make = RunRecorder.resume if checkpoint.exists() else RunRecorder.create
    recorder = (
        make(folder, labels, 10, config.epochs) if world.is_first else EpochRows(labels, 10, "cpu")
    )
    net = Plain()
    result = fit(
        net,
        data.train,
        config,
        Pipeline.of(config, data, torch.device("cpu")),
        0,
        world=world,
        watched=data.test,
        recorder=recorder,
        capture=config.capture,
        checkpoint=checkpoint,
        report=report,
    )
    if isinstance(recorder, RunRecorder):
        recorder.write()
    return result.log, [p.detach().numpy() for p in net.parameters()]


def in_worlds(size: int, folder: Path, **train: Any) -> Any:
    def run() -> Any:
        with World.joined("cpu") as world:
            return trained(folder, world, **train)

    folder.mkdir(parents=True, exist_ok=True)
    return in_world(size, run) if size > 1 else [run()]
