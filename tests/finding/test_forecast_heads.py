"""How long heads take, and how many of them are trained where there are very many vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tdctl.config import Config
from tdctl.finding import forecast_heads as forecast_heads_module
from tdctl.finding.choices import fewer_heads
from tdctl.finding.forecast_heads import forecast_heads
from tdctl.labels import Labels
from tdctl.sources import Listing
from tdctl.sources.vector_files import VectorRows
from tdctl.training import World


def listing_of(n: int, d: int, k: int) -> Listing:
    """Vectors that take no memory."""
    values = np.broadcast_to(np.zeros(1, np.float32), (n, d))
    index, given = np.arange(n), np.arange(n) % k
    none = np.zeros(0, np.int64)
    rows = VectorRows(values, index, Path("a.npy"))
    names = [f"c{label}" for label in range(k)]
    return Listing("embeddings", names, Labels(index, given, given), none, none, None, rows)


def config_of(**train: int) -> Config:
    data = {"dataset": "embeddings", "data_dir": "a.npy", "labels": "l.csv"}
    return Config(data=data, train={"batch_size": 512, **train})


def test_more_vectors_take_longer() -> None:
    world = World(device=torch.device("cpu"))
    few, many = (forecast_heads(config_of(), listing_of(n, 16, 4), world) for n in (2000, 200_000))
    assert few[1].parts == () and many[1].parts == ()
    assert 0 < few[0].epoch < many[0].epoch and few[0].rest < many[0].rest
    assert few[0].decoding == 0 and few[0].device == "cpu"


def test_very_many_vectors_get_fewer_heads_unless_the_user_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forecast_heads_module, "VECTORS", 512)
    world, listing = World(device=torch.device("cpu")), listing_of(1_000_000, 64, 1000)
    _, choice = forecast_heads(config_of(), listing, world)
    assert choice.settings["train.folds"] == 2 and 5 <= choice.settings["train.epochs"] < 100
    assert "folds 2: more take long for so many vectors and classes" in choice.reasons
    _, asked = forecast_heads(config_of(epochs=6, folds=2), listing, world)
    assert asked.parts == ()


def test_only_what_differs_is_chosen() -> None:
    assert fewer_heads((5, 100), (5, 100)).parts == ()
    assert fewer_heads((5, 100), (5, 30)).settings == {"train.epochs": 30}
