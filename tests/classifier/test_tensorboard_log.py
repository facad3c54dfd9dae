"""The log as TensorBoard reads it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from conftest import refused, tdctl, tiny_config

from tdctl import runner
from tdctl.classifier import tensorboard_log as board
from tdctl.errors import ConfigError
from tdctl.training.progress import Progress

pytest.importorskip("tensorboard")


def scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (file,) = (run / "tensorboard").iterdir()
    events = EventAccumulator(str(file)).Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_each_epoch_is_there_as_in_the_log(tmp_path: Path) -> None:
    config = tiny_config(data__num_valid=30)
    run = runner.generate_td(config, tmp_path / "r", log_with="tensorboard").folder
    found = scalars(run)
    assert set(found) == {
        "error/train", "loss/train", "error/valid", "error/valid_top5", "loss/valid",
    }  # fmt: skip
    rows = [line.split(",") for line in (run / "train_log.csv").read_text().splitlines()[1:]]
    wanted = [(int(row[0]) + 1, float(row[2])) for row in rows]
    assert found["loss/train"] == [(step, pytest.approx(value)) for step, value in wanted]
    runner.generate_td(config, run, overwrite=True)
    assert not (run / "tensorboard").exists(), "what is replaced goes"


def test_a_training_that_goes_on_has_each_epoch_once(tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.epoch == 1:
            raise KeyboardInterrupt

    common: dict[str, Any] = {"log_with": "tensorboard"}
    with pytest.raises(KeyboardInterrupt):
        runner.generate_td(tiny_config(), tmp_path / "r", report=stop, **common)
    assert [step for step, _ in scalars(tmp_path / "r")["loss/train"]] == [1]
    runner.generate_td(tiny_config(), tmp_path / "r", resume=True, **common)
    assert [step for step, _ in scalars(tmp_path / "r")["loss/train"]] == [1, 2]


def test_what_cannot_be_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["generate-td", "--out", tmp_path / "r", "--quiet", "--log-with"]
    refused(tdctl(*asked, "wandb"), "log_with: 'wandb' is unknown; use tensorboard")
    monkeypatch.setattr(board, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'tdctl\[tensorboard\]'"):
        board.check_logger("tensorboard")
    assert importlib.util.find_spec("tensorboard") and not (tmp_path / "r").exists()
