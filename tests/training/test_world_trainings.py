"""One training in one, two and three processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import tiny_config
from processes import in_world
from small_training import N, Plain, in_worlds, trained

from tdctl import runner
from tdctl.config import DataConfig, TrainConfig
from tdctl.data import open_dataset
from tdctl.dynamics import read_run
from tdctl.errors import ConfigError, DataError
from tdctl.settings import load_config
from tdctl.training import Pipeline, Progress, World, evaluate


@pytest.mark.parametrize("capture", ["in-loop", "eval-pass"])
def test_any_number_of_processes_trains_and_records_the_same(tmp_path: Path, capture: str) -> None:
    found = {}
    for size in (1, 2, 3):
        folder = tmp_path / str(size)
        results = in_worlds(size, folder, capture=capture)
        log, weights = results[0]
        assert all(other[0] == log for other in results[1:])
        dynamics, labels, _ = read_run(folder)
        assert np.array_equal(dynamics.index, labels.index) and len(dynamics) == N
        assert dynamics.margin is not None and dynamics.final_margin is not None
        margins = np.column_stack([np.array(dynamics.margin), dynamics.final_margin])
        found[size] = weights, margins, [row["valid_loss"] for row in log]
        assert [row["train_error"] for row in log] == pytest.approx(
            [row["train_error"] for row in in_worlds(1, tmp_path / "x", capture=capture)[0][0]],
            abs=1.5 / N,
        )
    for size in (2, 3):
        for ours, alone in zip(found[size][0], found[1][0], strict=True):
            assert np.allclose(ours, alone, atol=1e-5)
        assert np.allclose(found[size][1], found[1][1], atol=1e-3)
        assert found[size][2] == pytest.approx(found[1][2], rel=1e-4)


@pytest.mark.parametrize("batch", [50, 150])
def test_a_capture_that_leaves_a_process_a_last_batch_of_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    # 150 + 1 images; a policy cannot distort an empty batch.
    monkeypatch.setattr("tdctl.training.trainer.CAPTURE_BATCH", batch)
    more = {"capture": "eval-pass", "augment_policy": "trivial", "epochs": 1}
    margins = []
    for size in (1, 2, 3):
        results = in_worlds(size, tmp_path / str(size), **more)
        assert len(results) == size and not any(isinstance(r, Exception) for r in results)
        margins.append(np.array(read_run(tmp_path / str(size))[0].margin))
    assert np.allclose(margins[1], margins[0], atol=1e-3)
    assert np.allclose(margins[2], margins[0], atol=1e-3)


def test_two_processes_go_on_to_the_same_bits(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def run() -> Any:
        def report(progress: Progress) -> None:
            if progress.epoch == 2:
                raise Stop

        with World.joined("cpu") as world:
            return trained(tmp_path / "b", world, report if world.is_first else None)

    whole = in_worlds(2, tmp_path / "a")
    (tmp_path / "b").mkdir()
    in_world(2, run)
    assert (tmp_path / "b" / "checkpoint.pth").exists()
    again = in_worlds(2, tmp_path / "b")
    for (log, weights), (same_log, same_weights) in zip(whole, again, strict=True):
        assert log == same_log
        assert all((a == b).all() for a, b in zip(weights, same_weights, strict=True))
    name = "training_dynamics.npz"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_whole_run_in_three_processes(tmp_path: Path) -> None:
    config = tiny_config(data__limit=N, data__num_valid=20)

    def run() -> Any:
        with World.joined("cpu") as world:
            return runner.generate_td(config, tmp_path / "run", world=world)

    results = in_world(3, run)
    assert [result.manifest for result in results] == [results[0].manifest] * 3
    assert results[0].manifest["processes"] == 3
    dynamics, labels, valid = read_run(tmp_path / "run")
    assert len(dynamics) == len(labels) == N - 20 and len(valid) == 20
    assert labels.flipped.sum() > 0


def test_processes_with_other_labels_are_refused(tmp_path: Path) -> None:
    for rank in range(2):
        np.save(tmp_path / f"{rank}.npy", np.roll(np.eye(10), rank, axis=1))

    def run() -> Any:
        with World.joined("cpu") as world:
            matrix = tmp_path / f"{world.rank}.npy"
            noise = {"noise__noise_type": "matrix", "noise__matrix": matrix}
            return runner.generate_td(
                tiny_config(**noise, noise__noise_ratio=0.0), tmp_path / "run", world=world
            )

    errors = in_world(2, run)
    assert all(isinstance(error, DataError) for error in errors), errors
    assert "process 1 reads other data" in str(errors[0])
    assert not (tmp_path / "run").exists()


def test_denoising_in_two_processes(tmp_path: Path, digits_run: Path, detector_file: Path) -> None:
    config = load_config(
        None,
        {"retrain.epochs": 2, "retrain.amp": False},
        runner.settings_of_run(digits_run),
        runner.PINNED,
    )

    def run() -> Any:
        with World.joined("cpu") as world:
            out = tmp_path / "out"
            result = runner.denoise(config, digits_run, detector_file, [0.2], out=out, world=world)
            return runner.denoise_report(result)

    first, second = in_world(2, run)
    assert first == second
    assert first["rows"][0]["removed"] == 24 and first["rows"][0]["test_error_last"] is not None
    assert Path(first["file"]).exists()


def test_evaluation_is_whole_even_with_fewer_images_than_processes() -> None:
    data = open_dataset(DataConfig(limit=N))
    config = TrainConfig(amp=False)
    few = data.train.take(np.arange(2))
    alone = evaluate(Plain(), few, Pipeline.of(config, data, torch.device("cpu")))

    def run() -> Any:
        with World.joined("cpu") as world:
            pipeline = Pipeline.of(config, data, torch.device("cpu"))
            return evaluate(Plain(), few, pipeline, world=world)

    for outcome in in_world(3, run):
        assert np.allclose(outcome.loss, alone.loss)
        assert np.array_equal(outcome.prediction, alone.prediction)


def test_a_batch_too_small_for_the_processes_is_refused(tmp_path: Path) -> None:
    errors = in_worlds(2, tmp_path, batch_size=3)
    assert all(isinstance(e, ConfigError) and "expected at least 4" in str(e) for e in errors)
