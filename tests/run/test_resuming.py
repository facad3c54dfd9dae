"""A run goes on as it began: by its own settings, on its own data, and says what is otherwise."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import make_image_folder, refused, tdctl

from tdctl import runner
from tdctl.errors import DataError
from tdctl.files import read_json, write_json
from tdctl.runner import default_denoising
from tdctl.settings import load_config
from tdctl.training import Progress

# Off the defaults, so that a resumption that forgot them would differ.
FLAGS = (
    *("--recipe", "paper", "--depth", 8, "--epochs", 3, "--lr", 0.05, "--no-flip"),
    *("--no-amp", "--seed", 4, "--dataset", "folder", "--quiet"),
)


class Stopped(KeyboardInterrupt):
    pass


def stopping(progress: Progress) -> None:
    if progress.epoch == 2:
        raise Stopped


def unfinished(folder: Path, data: Path, **more: Any) -> Path:
    """A run of three epochs that was stopped in its second."""
    values = {"data.dataset": "folder", "data.data_dir": str(data), "net.depth": 8, "seed": 4}
    values |= {"recipe": "paper", "train.epochs": 3, "train.lr": 0.05, "train.flip": False}
    values |= {"train.amp": False} | more
    with pytest.raises(Stopped):
        runner.generate_td(load_config(None, values), folder, report=stopping)
    assert (folder / "checkpoint.pth").exists()
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_image_folder(tmp_path / "images", per_class=20)


def test_resume_needs_no_other_word_than_the_folder(tmp_path: Path, data: Path) -> None:
    run = unfinished(tmp_path / "r", data)
    result = tdctl("generate-td", "--resume", "--out", run, "--quiet")
    assert result.exit_code == 0, result.stderr
    whole = tmp_path / "whole"
    assert tdctl("generate-td", *FLAGS, "--data-dir", data, "--out", whole).exit_code == 0
    for name in ("training_dynamics.npz", "train_log.csv", "config.yaml"):
        assert (run / name).read_bytes() == (whole / name).read_bytes()
    # What is complete is only shown.
    again = tdctl("generate-td", "--resume", "--out", run, "--json")
    assert again.exit_code == 0 and json.loads(again.stdout)["status"] == "complete"


def test_settings_that_are_given_agree_or_are_refused(tmp_path: Path, data: Path) -> None:
    run = unfinished(tmp_path / "r", data)
    refused(
        tdctl("generate-td", "--resume", "--out", run, "--epochs", 7),
        "train.epochs: 3, now 7", "leave these out",
    )  # fmt: skip
    refused(tdctl("generate-td", "--resume", "--out", run, "--recipe", "detect"), "with 'paper'")
    planned = tdctl("generate-td", "--resume", "--out", run, "--epochs", 3, "--dry-run")
    assert planned.exit_code == 0 and "for 3 epochs" in planned.stderr
    both = tdctl("generate-td", "--resume", "--overwrite", "--out", run)
    assert both.exit_code == 2 and "--overwrite starts a new one" in both.stderr


@pytest.mark.parametrize("there", [False, True])
def test_there_must_be_something_to_go_on_with(tmp_path: Path, there: bool, data: Path) -> None:
    out = tmp_path / "mistyped"
    if there:
        out.mkdir()
    for more in ((), ("--dry-run",), (*FLAGS, "--data-dir", data)):
        result = tdctl("generate-td", "--resume", "--out", out, *more)
        refused(result, str(out), "nothing to go on with", "leave out --resume")
    assert out.exists() == there and (not there or not list(out.iterdir()))


def test_a_run_that_was_killed_as_it_began_is_told_its_settings_again(
    tmp_path: Path, data: Path
) -> None:
    run = tmp_path / "r"
    run.mkdir()
    write_json(run / "manifest.json", {"command": "generate-td", "status": "running"})
    refused(tdctl("generate-td", "--resume", "--out", run), "give them again with --resume")
    result = tdctl("generate-td", "--resume", "--out", run, *FLAGS, "--data-dir", data)
    assert result.exit_code == 0, result.stderr


def test_another_version_is_said_and_kept(tmp_path: Path, data: Path) -> None:
    run = unfinished(tmp_path / "r", data)
    manifest = read_json(run / "manifest.json")
    now = manifest["versions"]
    began = now | {"tdctl": "0.0.9", "torch": "2.10.0"}
    write_json(run / "manifest.json", manifest | {"versions": began})
    result = tdctl("generate-td", "--resume", "--out", run, "--quiet")
    notes = [line for line in result.stderr.splitlines() if "may differ in their last bits" in line]
    assert len(notes) == 1
    assert f"begun with tdctl 0.0.9, torch 2.10.0, goes on with tdctl {now['tdctl']}" in notes[0]
    written = read_json(run / "manifest.json")
    assert written["versions"] == began
    assert [one["versions"] for one in written["resumed"]] == [now]


def test_the_same_version_is_not_worth_a_word(tmp_path: Path, data: Path) -> None:
    run = unfinished(tmp_path / "r", data)
    assert "bits may differ" not in tdctl("generate-td", "--resume", "--out", run).stderr


def test_data_that_have_moved_are_asked_for(
    tmp_path: Path, data: Path, detector_file: Path
) -> None:
    run, moved = unfinished(tmp_path / "r", data), tmp_path / "moved"
    data.rename(moved)
    refused(tdctl("generate-td", "--resume", "--out", run), str(data), "give --data-dir NEW")
    result = tdctl("generate-td", "--resume", "--out", run, "--data-dir", moved, "--quiet")
    assert result.exit_code == 0, result.stderr
    moved.rename(data)
    config = load_config(None, {}, runner.settings_of_run(run))
    with pytest.raises(DataError, match="give --data-dir NEW"):
        runner.denoise(config, run, detector_file, [0.1], out=tmp_path / "o")
    there = load_config(None, {"data.data_dir": str(data)}, runner.settings_of_run(run))
    plan = runner.denoise(there, run, detector_file, [0.1], out=tmp_path / "o", dry_run=True)
    assert plan.rows[0].removed == 4


def test_a_table_that_has_moved_is_asked_for(tmp_path: Path, data: Path) -> None:
    files = sorted(str(path.relative_to(data)) for path in data.glob("train/*/*.*"))
    table = tmp_path / "labels.csv"
    rows = "".join(f"{name},{Path(name).parts[1]}\n" for name in files)
    table.write_text("file_name,label\n" + rows)
    more = {"data.dataset": "table", "data.labels": str(table)}
    run = unfinished(tmp_path / "r", data, **more)
    table.rename(tmp_path / "other.csv")
    refused(tdctl("generate-td", "--resume", "--out", run), str(table), "give --labels NEW")


ASKED = ("--score", "aum", "--remove-ratio", 0.1, "--quiet")


def test_a_denoising_goes_on_by_its_own_settings(tmp_path: Path, digits_run: Path) -> None:
    out = tmp_path / "o"
    asked = ("denoise", "--td", digits_run, *ASKED, "--out", out)
    refused(tdctl(*asked, "--resume"), str(out), "nothing to go on with")
    begun = tdctl(*asked, "--epochs", 1, "--lr", 0.03)
    assert begun.exit_code == 0, begun.stderr
    # Done is done, and one more ratio is trained alike.
    again = tdctl(*asked, "--remove-ratio", 0.2, "--resume", "--json")
    assert again.exit_code == 0, again.stderr
    assert [row["remove_ratio"] for row in json.loads(again.stdout)["rows"]] == [0.1, 0.2]
    for ratio in (0.1, 0.2):
        config = runner.settings_of_run(out / "score_aum" / f"percremove{ratio}")
        assert config is not None
        assert (config["retrain"]["epochs"], config["retrain"]["lr"]) == (1, 0.03)
    refused(tdctl(*asked, "--resume", "--epochs", 2), "another training")


def test_two_denoisings_of_a_seed_have_folders_of_their_own(
    tmp_path: Path, digits_run: Path
) -> None:
    files = []
    for name in ("a", "b"):
        run = shutil.copytree(digits_run, tmp_path / name)
        result = tdctl("denoise", "--td", run, *ASKED, "--epochs", 1, "--json")
        assert result.exit_code == 0, result.stderr
        files.append(Path(json.loads(result.stdout)["file"]))
    assert [file.relative_to(tmp_path).parts[0] for file in files] == [
        "prune4retrain_a_seed0",
        "prune4retrain_b_seed0",
    ]


@pytest.mark.parametrize(
    ("names", "seed", "folder"),
    [
        (["computation4td_seed3"], 3, "prune4retrain_seed3"),
        (["computation4td_seed3_leaveout0.1"], 3, "prune4retrain_seed3_leaveout0.1"),
        (["computation4td_seed3"], 4, "prune4retrain_computation4td_seed3_seed4"),
        (["computation4td_seed31"], 3, "prune4retrain_computation4td_seed31_seed3"),
        (["a"], 0, "prune4retrain_a_seed0"),
        (["a", "b"], 0, "prune4retrain_a+b_seed0"),
    ],
)
def test_where_a_denoising_goes_by_default(
    tmp_path: Path, names: list[str], seed: int, folder: str
) -> None:
    assert default_denoising([tmp_path / name for name in names], seed) == tmp_path / folder


@pytest.mark.parametrize(
    "told", [{"flip": False}, {"augment": False}, {"crop_padding": 0}], ids=str
)
def test_a_retraining_treats_the_images_as_the_run_did(
    tmp_path: Path, data: Path, told: dict[str, Any]
) -> None:
    alike = {"epochs": 2, "batch_size": 16, "lr_drops": [0.5], "amp": False}
    values: dict[str, Any] = {"data.dataset": "folder", "data.data_dir": str(data)}
    values |= {"net.depth": 8, "recipe": "paper"}
    values |= {f"{part}.{key}": v for part in ("train", "retrain") for key, v in alike.items()}
    values |= {f"train.{key}": value for key, value in told.items()}
    run = runner.generate_td(load_config(None, values), tmp_path / "r").folder
    asked = ("denoise", "--td", run, *ASKED, "--baselines", "--json")
    result = tdctl(*asked, "--out", tmp_path / "o")
    assert result.exit_code == 0, result.stderr
    ((name, value),) = told.items()
    assert f"treated as in {run}: retrain.{name} {value}" in result.stderr
    own = (tmp_path / "o" / "baseline_all" / "train_log.csv").read_text()
    assert own == (run / "train_log.csv").read_text()
    settings = runner.settings_of_run(tmp_path / "o" / "baseline_all")
    assert settings is not None and settings["retrain"][name] == value
    # Unless the user says otherwise.
    other = {"flip": "true", "augment": "true", "crop_padding": "1"}[name]
    result = tdctl(*asked, "--set", f"retrain.{name}={other}", "--out", tmp_path / "other")
    assert result.exit_code == 0 and "treated as in" not in result.stderr
    assert (tmp_path / "other" / "baseline_all" / "train_log.csv").read_text() != own


def test_a_retraining_says_that_its_run_is_of_another_version(
    tmp_path: Path, digits_run: Path
) -> None:
    run = shutil.copytree(digits_run, tmp_path / "r")
    manifest = read_json(run / "manifest.json")
    manifest["versions"]["torch"] = "2.10.0"
    write_json(run / "manifest.json", manifest)
    result = tdctl("denoise", "--td", run, *ASKED, "--epochs", 1, "--dry-run")
    assert result.exit_code == 0 and "recorded with torch 2.10.0, retrained with" in result.stderr
