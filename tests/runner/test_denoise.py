from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from conftest import (
    hand_made_detector,
    make_image_folder,
    make_published_run,
    tiny_config,
)
from typer.testing import CliRunner

from tdctl import runner
from tdctl.cli import app
from tdctl.data import open_dataset
from tdctl.detector import Detector, save_detector
from tdctl.dynamics import read_run
from tdctl.errors import ConfigError, DataError, RunError
from tdctl.files import read_json
from tdctl.labels import Labels
from tdctl.noise import corrupt
from tdctl.settings import load_config


def test_denoise_refuses_a_folder_whose_files_were_renamed(
    tmp_path: Path, detector_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_image_folder(tmp_path / "images", per_class=20)
    monkeypatch.chdir(tmp_path)
    config = tiny_config(data__dataset="folder", data__data_dir="images", data__limit=None)
    run = runner.generate_td(config, tmp_path / "run").folder
    monkeypatch.chdir("/")  # the run finds its data from any folder
    base = load_config(None, {}, runner.settings_of_run(run))
    plan = runner.denoise(base, run, detector_file, [0.2], out=tmp_path / "o", dry_run=True)
    assert plan.rows[0].kept == 32
    (root / "train/dark/000_dark.jpg").rename(root / "train/dark/zzz.jpg")
    with pytest.raises(DataError, match="file names, file sizes"):
        runner.denoise(base, run, detector_file, [0.2], out=tmp_path / "o")


def test_ratios_that_differ_have_folders_that_differ(
    digits_run: Path, tmp_path: Path, detector_file: Path
) -> None:
    config = load_config(None, {}, runner.settings_of_run(digits_run))
    plan = runner.denoise(
        config, digits_run, detector_file, [0.1234567, 0.1234569], out=tmp_path, dry_run=True
    )
    assert len({row.folder for row in plan.rows}) == 2


def test_all_rows_have_the_weight_decay_of_the_whole_data_set(
    digits_run: Path, tmp_path: Path, detector_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = len(read_run(digits_run)[0])
    monkeypatch.setattr("tdctl.config.train.FULL_UP_TO", recorded // 4)
    auto = {"retrain.weight_decay": "auto", "retrain.epochs": 1}
    config = load_config(None, auto, runner.settings_of_run(digits_run))
    half = runner.denoise(
        config, digits_run, detector_file, [0.5], baselines=True, keep_per_class=0.0, out=tmp_path
    )
    decays = {read_json(Path(row.folder) / "manifest.json")["weight_decay"] for row in half.rows}
    assert len(half.rows) > 2 and decays == {0.002 * (recorded // 4) / recorded}
    assert any(note.startswith("weight decay 0.0005, not 0.002") for note in half.notes)


def test_a_run_of_the_published_code_retrains_as_published(tmp_path: Path) -> None:
    run = published_digits(tmp_path / "run", True)
    arguments = ["denoise", "--td", str(run), "--dataset", "digits", "--remove-ratio", "0.2"]
    for more, net, epochs in (([], "resnet", 300), (["--set", "recipe=detect"], "wide", 60)):
        told = CliRunner().invoke(app, [*arguments, *more, "--print-config"])
        config = yaml.safe_load(told.stdout)
        assert (config["net"]["net_type"], config["retrain"]["epochs"]) == (net, epochs)


def published_digits(folder: Path, class_axis_last: bool) -> Path:
    """A run of the published code on digits: two files, no settings."""
    data = open_dataset(tiny_config(data__limit=None).data)
    index, true = data.train.index, data.train.targets
    labels = Labels(index, corrupt(true, index, 10, "uniform", 0.2, 0), true)
    return make_published_run(folder, labels, 10, 10, class_axis_last)


@pytest.mark.parametrize("class_axis_last", [True, False])
def test_a_run_of_the_published_code_goes_through_all_steps(
    tmp_path: Path, class_axis_last: bool
) -> None:
    run = published_digits(tmp_path / "run", class_axis_last)
    fast = tiny_config(detector__epochs=2, detector__restarts=1, data__limit=None)
    detector = runner.train_detector(fast, [run], tmp_path / "d").files[0]
    assert runner.detect(run, detector).metrics.auc is not None
    assert runner.settings_of_run(run) is None
    result = runner.denoise(fast, run, detector, [0.2], out=tmp_path / "out")
    row = result.rows[0]
    assert row.removed == 240 and row.flipped_left is not None
    assert row.test_error_last is not None


def test_denoise_refuses_another_data_set(tmp_path: Path, detector_file: Path) -> None:
    run = published_digits(tmp_path / "run", True)
    with pytest.raises(DataError, match="not in the data set"):
        runner.denoise(tiny_config(), run, detector_file, [0.2], out=tmp_path / "o")
    root = make_image_folder(tmp_path / "images", per_class=900, size=(4, 4))
    other = tiny_config(data__dataset="folder", data__data_dir=str(root), data__limit=None)
    with pytest.raises(DataError, match="labels differ from those of the run"):
        runner.denoise(other, run, detector_file, [0.2], out=tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_denoise_with_baselines(digits_run: Path, tmp_path: Path, detector_file: Path) -> None:
    settings = runner.settings_of_run(digits_run)
    config = load_config(None, {}, settings)
    out = tmp_path / "out"
    result = runner.denoise(config, digits_run, detector_file, [0.1, 0.3], baselines=True, out=out)
    kinds = [(row.kind, row.remove_ratio) for row in result.rows]
    assert kinds == [
        ("all", None), ("pruned", 0.1), ("random", 0.1), ("pruned", 0.3), ("random", 0.3),
        ("clean", None),
    ]  # fmt: skip
    flipped = read_run(digits_run)[1].flipped
    by_kind = {(row.kind, row.remove_ratio): row for row in result.rows}
    assert by_kind["all", None].flipped_left == flipped.sum()
    clean = by_kind["clean", None]
    assert clean.flipped_left == 0 and clean.kept == (~flipped).sum()
    for ratio, removed in ((0.1, 12), (0.3, 36)):
        assert by_kind["pruned", ratio].removed == by_kind["random", ratio].removed == removed
    for row in result.rows:
        assert row.test_error_last is not None and row.test_error_best is not None
        names = {path.name for path in Path(row.folder).iterdir()}
        assert names >= {"model.pth", "model.pth.last", "train_log.csv", "results_valid.csv"}
    assert result.file is not None
    stored = read_json(result.file)
    assert len(stored["rows"]) == 6 and stored["detector_in_sample"] is False
    assert len(pd.read_csv(result.file.with_suffix(".csv"))) == 6
    with pytest.raises(RunError, match=r"--resume.*--overwrite"):
        runner.denoise(config, digits_run, detector_file, [0.1], out=out)
    again = runner.denoise(config, digits_run, detector_file, [0.1, 0.2], out=out, resume=True)
    assert again.rows[0] == by_kind["pruned", 0.1], "taken over, not trained again"
    assert len(read_json(result.file)["rows"]) == 7, "a sweep fills one table"


def test_denoise_is_reproducible(digits_run: Path, tmp_path: Path, detector_file: Path) -> None:
    config = load_config(None, {}, runner.settings_of_run(digits_run))
    first, second = (
        runner.denoise(config, digits_run, detector_file, [0.2], out=tmp_path / name).rows[0]
        for name in "ab"
    )
    weights = [
        torch.load(Path(row.folder) / "model.pth.last", weights_only=True)
        for row in (first, second)
    ]
    assert all((weights[0][key] == weights[1][key]).all() for key in weights[0])


def test_another_seed_retrains_otherwise_on_the_same_labels(
    digits_run: Path, tmp_path: Path, detector_file: Path
) -> None:
    settings: Any = runner.settings_of_run(digits_run)
    config = load_config(None, {"seed": 5}, settings)
    assert config.seed == 5 and config.noise_seed == 0
    result = runner.denoise(config, digits_run, detector_file, [0.2], out=tmp_path)
    assert result.detection.labels.flipped.sum() == read_run(digits_run)[1].flipped.sum()


def test_resuming_with_another_detector_is_refused(
    digits_run: Path, tmp_path: Path, detector_file: Path
) -> None:
    config = load_config(None, {}, runner.settings_of_run(digits_run))
    runner.denoise(config, digits_run, detector_file, [0.2], out=tmp_path / "o")
    contrary = hand_made_detector()
    with torch.no_grad():
        contrary.classifier.weight *= -1
    save_detector(detector_file, Detector(contrary))
    with pytest.raises(RunError, match=r"holds results of another recording or detector \(of "):
        runner.denoise(config, digits_run, detector_file, [0.2], out=tmp_path / "o", resume=True)
    (tmp_path / "o" / "detector_hand" / "denoise.json").unlink()
    with pytest.raises(RunError, match="kept_fingerprint differs"):
        runner.denoise(config, digits_run, detector_file, [0.2], out=tmp_path / "o", resume=True)


def test_a_table_of_another_run_or_of_other_settings_stays(
    digits_run: Path, tmp_path: Path, detector_file: Path
) -> None:
    config = load_config(None, {}, runner.settings_of_run(digits_run))
    out = tmp_path / "o"
    table = runner.denoise(config, digits_run, detector_file, [0.2], out=out).file
    assert table is not None
    before = table.read_bytes()
    other = runner.generate_td(tiny_config(seed=7), tmp_path / "other").folder
    of_other = load_config(None, {}, runner.settings_of_run(other))
    with pytest.raises(RunError, match=r"denoise.json: holds results of another recording .*--out"):
        runner.denoise(of_other, other, detector_file, [0.1], out=out)
    longer = load_config(None, {"retrain.epochs": 9}, runner.settings_of_run(digits_run))
    with pytest.raises(RunError, match="holds results of another training"):
        runner.denoise(longer, digits_run, detector_file, [0.1], out=out, dry_run=True)
    assert table.read_bytes() == before
    runner.denoise(of_other, other, detector_file, [0.1], out=out, overwrite=True)
    assert read_json(table)["run"] == str(other) and len(read_json(table)["rows"]) == 1


def test_a_run_that_has_moved_goes_on_in_its_table(
    digits_run: Path, tmp_path: Path, detector_file: Path
) -> None:
    config = load_config(None, {}, runner.settings_of_run(digits_run))
    out = tmp_path / "o"
    runner.denoise(config, digits_run, detector_file, [0.2], out=out)
    moved = shutil.copytree(digits_run, tmp_path / "moved")
    table = runner.denoise(config, moved, detector_file, [0.1], out=out).file
    assert table is not None and len(read_json(table)["rows"]) == 2


@pytest.mark.parametrize("text", ["{", '{"rows": 3}', '{"rows": [{"kind": "all"}]}'])
def test_a_table_that_is_none_is_refused_before_the_work(
    digits_run: Path, tmp_path: Path, detector_file: Path, text: str
) -> None:
    config = load_config(None, {}, runner.settings_of_run(digits_run))
    table = tmp_path / "detector_hand" / "denoise.json"
    table.parent.mkdir()
    table.write_text(text)
    with pytest.raises(RunError, match=r"denoise.json: is not the table that tdctl wrote"):
        runner.denoise(config, digits_run, detector_file, [0.1], out=tmp_path)
    assert table.read_text() == text and len(list(table.parent.iterdir())) == 1
    runner.denoise(config, digits_run, detector_file, [0.1], out=tmp_path, overwrite=True)
    assert len(read_json(table)["rows"]) == 1


@pytest.mark.parametrize("ratio", [1.0, -0.1, 0.999])
def test_impossible_ratios_are_refused_before_anything_is_written(
    digits_run: Path, tmp_path: Path, detector_file: Path, ratio: float
) -> None:
    config = load_config(None, {}, runner.settings_of_run(digits_run))
    with pytest.raises(ConfigError, match="ratio: "):
        runner.denoise(config, digits_run, detector_file, [0.2, ratio], out=tmp_path / "o")
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
def test_wrong_digits_are_found_removed_and_a_better_network_trained(tmp_path: Path) -> None:
    """The main job as scripts/demo runs it: trained on one seed, judged on another."""
    file = Path(__file__).parents[2] / "configs" / "digits.yaml"
    small = {"noise.noise_ratio": 0.3, "net.depth": 8, "data.limit": 600}
    small |= {"train.epochs": 15}
    runs = [
        runner.generate_td(load_config(file, small | {"seed": seed}), tmp_path / f"{seed}").folder
        for seed in (0, 1)
    ]
    shorter = {"retrain.batch_size": 64, "retrain.epochs": 30, "retrain.eval_every": 30}
    shorter |= {"detector.restarts": 1, "detector.epochs": 10}
    config = load_config(file, shorter, runner.settings_of_run(runs[1]), runner.PINNED)
    detector = runner.train_detector(config, runs[:1], tmp_path / "d").files[0]
    result = runner.denoise(
        config, runs[1], detector, [0.3], baselines=True, out=tmp_path / "retrained"
    )
    assert result.detection.in_sample is False
    assert result.detection.metrics.auc is not None and result.detection.metrics.auc >= 0.97
    error = {row.kind: row.test_error_last for row in result.rows}
    assert error["pruned"] is not None and error["all"] is not None
    assert error["random"] is not None
    assert error["pruned"] < min(error["all"], error["random"])


@pytest.mark.parametrize(
    ("key", "value"), [("data.num_valid", 7), ("noise.noise_ratio", 0.1), ("noise.noise_seed", 5)]
)
def test_what_a_run_was_recorded_with_is_not_asked_for_otherwise(
    digits_run: Path, tmp_path: Path, detector_file: Path, key: str, value: object
) -> None:
    config = load_config(None, {key: value}, runner.settings_of_run(digits_run))
    with pytest.raises(ConfigError, match=f"{key}: {value} is asked for, but .* stays"):
        runner.denoise(config, digits_run, detector_file, [0.2], out=tmp_path, dry_run=True)


def test_a_run_that_is_not_there_is_called_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run folder"):
        runner.settings_of_run(tmp_path / "none")
