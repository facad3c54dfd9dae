from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from conftest import TINY_FLAGS as TINY
from conftest import Bomb, make_image_folder, make_run, refused, tdctl

from tdctl.config import Config


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "run"
    result = tdctl("generate-td", *TINY, "--out", folder)
    assert result.exit_code == 0, result.output
    return folder


def test_the_three_steps(tmp_path: Path, run: Path) -> None:
    result = tdctl(
        "train-detector", "--td", run, "--out", tmp_path / "d.pth.tar", "--restarts", "1"
    )
    assert result.exit_code == 0, result.output
    assert "AUC" in result.stdout and "chosen by AP on these rows" in result.stdout
    detector = tmp_path / "d.pth.tar"
    ranking = tmp_path / "ranking.csv"
    result = tdctl("detect", "--td", run, "--detector", detector, "--out", ranking)
    assert result.exit_code == 0, result.output
    assert "in-sample: the detector was trained on this run" in result.stdout
    assert "AP (mAP)" in result.stdout
    table = pd.read_csv(ranking)
    assert table["rank"].tolist() == list(range(1, 151))
    result = tdctl(
        "denoise", "--td", run, "--detector", detector, "--remove-ratio", 0.2, "--epochs", 2,
        "--out", tmp_path / "retrained", "--baselines", "--json", "--quiet",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    assert [row["kind"] for row in rows] == ["all", "pruned", "random", "clean"]


def test_results_go_to_stdout_and_progress_to_stderr(tmp_path: Path) -> None:
    result = tdctl("generate-td", *TINY[:-1], "--out", tmp_path / "r", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["status"] == "complete"
    assert "epoch 2/2" in result.stderr and "left" in result.stderr
    assert "test error" in result.stderr and "valid error" not in result.stderr


def test_json_of_detect(run: Path, detector_file: Path) -> None:
    result = tdctl("detect", "--td", run, "--detector", detector_file, "--json", "--top", 3)
    content = json.loads(result.stdout)
    assert content["in_sample"] is False and len(content["worst"]) == 3
    assert set(content["metrics"]) == {"auc", "ap", "at_half", "at_realised_rate", "realised_rate"}
    assert {"precision", "recall", "f1", "flagged"} == set(content["metrics"]["at_half"])


def test_json_of_unknown_truth_is_null(tmp_path: Path, detector_file: Path) -> None:
    options = ["0.0" if option == "0.2" else option for option in TINY]
    assert tdctl("generate-td", *options, "--out", tmp_path / "r").exit_code == 0
    result = tdctl("detect", "--td", tmp_path / "r", "--detector", detector_file, "--json")
    assert set(json.loads(result.stdout)["metrics"].values()) == {None}
    result = tdctl("detect", "--td", tmp_path / "r", "--detector", detector_file)
    assert "no label of this run is known to be wrong" in result.stdout


def test_flags_win_over_set_which_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("train: {epochs: 3, batch_size: 16, lr: 0.3}\n")
    result = tdctl(
        "generate-td", "--config", file, "--set", "train.epochs=4", "--set", "train.batch_size=32",
        "--epochs", 5, "--set", "train.lr_drops=0.3,0.6", "--print-config",
    )  # fmt: skip
    train = yaml.safe_load(result.stdout)["train"]
    assert (train["epochs"], train["batch_size"], train["lr"]) == (5, 32, 0.3)
    assert train["lr_drops"] == [0.3, 0.6]
    assert Config.model_validate(yaml.safe_load(result.stdout))


def test_weights_are_asked_for_where_a_network_is_trained_and_nowhere_else(tmp_path: Path) -> None:
    birds = ["--dataset", "cub-200-2011", "--data-dir", str(tmp_path)]
    result = tdctl("generate-td", *birds, "--print-config", "--pretrained", "none")
    assert yaml.safe_load(result.stdout)["net"]["pretrained"] == "none"
    assert tdctl("generate-td", *birds, "--print-config").exit_code == 0
    result = tdctl("generate-td", *birds, "--out", tmp_path / "r")
    refused(result, "give --pretrained FILE (torchvision's resnet34), or --pretrained none")


def test_dry_run_writes_nothing(tmp_path: Path, run: Path, detector_file: Path) -> None:
    result = tdctl("generate-td", *TINY, "--out", tmp_path / "r", "--dry-run")
    assert result.exit_code == 0 and "would train resnet8 for 2 epochs on 150" in result.stderr
    result = tdctl(
        "denoise", "--td", run, "--detector", detector_file, "--remove-ratio", 0.2, "--dry-run",
        "--out", tmp_path / "d",
    )  # fmt: skip
    assert result.exit_code == 0 and "would train" in result.stdout
    result = tdctl("train-detector", "--td", run, "--out", tmp_path / "x", "--dry-run")
    assert result.exit_code == 0 and "150 curves of 2 epochs" in result.stderr
    result = tdctl("train-detector", "--td", run, "--out", tmp_path / "x", "--dry-run", "--json")
    told = json.loads(result.stdout)
    assert told["dry_run"] and "150 curves of 2 epochs" in told["plan"][0]
    assert {path.name for path in tmp_path.iterdir()} <= {
        "hand.pth.tar",
        "hand.safetensors",
        "hand.json",
    }


def test_an_occupied_folder_is_refused_and_overwritten_on_request(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    assert tdctl("generate-td", *TINY, "--out", folder).exit_code == 0
    before = (folder / "training_dynamics.npz").read_bytes()
    refused(tdctl("generate-td", *TINY, "--out", folder), "--resume", "--overwrite")
    assert tdctl("generate-td", *TINY, "--out", folder, "--seed", 1, "--overwrite").exit_code == 0
    assert (folder / "training_dynamics.npz").read_bytes() != before
    result = tdctl("generate-td", *TINY, "--out", folder, "--seed", 1, "--resume")
    assert result.exit_code == 0 and "already complete" in result.stderr


def image_folder(tmp_path: Path) -> list[str]:
    return ["--dataset", "folder", "--data-dir", str(make_image_folder(tmp_path / "images"))]


def broken_image(tmp_path: Path) -> list[str]:
    options = image_folder(tmp_path)
    (tmp_path / "images/train/dark/001_dark.png").write_bytes(b"no")
    return options


def empty_class(tmp_path: Path) -> list[str]:
    options = image_folder(tmp_path)
    (tmp_path / "images/train/empty").mkdir()
    return options


def table(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "labels.csv").write_text(text)
    return [*image_folder(tmp_path), "--labels", str(tmp_path / "labels.csv")]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (lambda p: ["--dataset", "folder", "--data-dir", "/nowhere"], "/nowhere: no such folder"),
        (lambda p: ["--dataset", "folder"], "--data-dir"),
        (broken_image, "001_dark.png"),
        (empty_class, "empty: the class has no image"),
        (lambda p: table(p, "file_name,label\nx.png,dark\n"), "line 2 names 'x.png'"),
        (lambda p: table(p, "file_name,label\ntrain/dark/000_dark.jpg,grey\n"), "class 'grey'"),
        (lambda p: table(p, "file_name,label\ntrain/dark/000_dark.jpg,dark\n"), "no row"),
        (lambda p: ["--noise-ratio", "1.0"], "noise_ratio"),
        (lambda p: ["--noise-ratio", "-0.5"], "noise_ratio"),
        (lambda p: ["--depth", "21"], "6n+2"),
        (lambda p: ["--noise-type", "pairwise"], "noise_type"),
        (lambda p: ["--lr", "1e30"], "loss is not finite"),
        (lambda p: ["--device", "cuda:77"], "cuda:77"),
        (lambda p: ["--num-valid", "150"], "num_valid"),
        (lambda p: ["--num-valid", "149"], "expected at least 2"),
        (lambda p: ["--image-size", "99999"], "image_size"),
        (lambda p: ["--set", "train.crop_padding=99999"], "crop_padding"),
        (lambda p: ["--set", "train.speed=9"], "train.speed"),
        (lambda p: ["--config", "/nowhere.yaml"], "/nowhere.yaml"),
        (lambda p: ["--dataset", "cifar10", "--data-dir", str(p)], "--download"),
    ],
)
def test_bad_input_of_generate_td(tmp_path: Path, options: Any, says: str) -> None:
    result = tdctl("generate-td", *TINY, "--out", tmp_path / "r", *options(tmp_path))
    refused(result, says)
    assert not (tmp_path / "r").exists(), "nothing half-written"


def another_metadata(run: Path) -> None:
    other = make_run(run.parent / "other", seed=9)
    (other / "metadata.pth").replace(run / "metadata.pth")


def truncated(run: Path) -> None:
    path = run / "training_dynamics.npz"
    path.write_bytes(path.read_bytes()[:900])


@pytest.mark.parametrize(
    ("damage", "says"), [(another_metadata, "different runs"), (truncated, "truncated")]
)
@pytest.mark.parametrize("command", ["detect", "train-detector", "denoise"])
def test_bad_runs(
    tmp_path: Path, detector_file: Path, command: str, damage: Any, says: str
) -> None:
    run = make_run(tmp_path / "r")
    damage(run)
    options: list[Any] = ["--td", run]
    if command == "train-detector":
        options += ["--out", tmp_path / "new"]
    else:
        options += ["--detector", detector_file]
    if command == "denoise":
        options += ["--remove-ratio", 0.2, "--dataset", "digits", "--out", tmp_path / "new"]
    refused(tdctl(command, *options), says)
    assert not list(tmp_path.glob("new*"))


def test_bad_detectors_and_ratios(tmp_path: Path, run: Path, detector_file: Path) -> None:
    crater = tmp_path / "crater"
    bomb = tmp_path / "bomb.pth.tar"
    torch.save({"state_dict": Bomb(crater)}, bomb)
    refused(tdctl("detect", "--td", run, "--detector", bomb), "nothing was executed")
    assert not crater.exists()
    refused(tdctl("detect", "--td", run, "--detector", tmp_path / "no.pth.tar"), "no such detector")
    result = tdctl("denoise", "--td", run, "--detector", detector_file, "--remove-ratio", 1)
    refused(result, "is outside")


def test_a_foreign_run_needs_its_data_named(tmp_path: Path, detector_file: Path) -> None:
    run = make_run(tmp_path / "r")
    result = tdctl("denoise", "--td", run, "--detector", detector_file, "--remove-ratio", 0.2)
    refused(result, "--dataset", "--data-dir")


def test_an_existing_ranking_is_not_replaced(
    tmp_path: Path, run: Path, detector_file: Path
) -> None:
    out = tmp_path / "ranking.csv"
    out.write_text("mine")
    command = ("detect", "--td", run, "--detector", detector_file, "--out", out)
    refused(tdctl(*command), "--overwrite")
    assert out.read_text() == "mine"
    assert tdctl(*command, "--overwrite").exit_code == 0
    assert len(pd.read_csv(out)) == 150


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    refused(tdctl("generate-td", *TINY, "--out", tmp_path / "file" / "r"), "file")


@pytest.mark.parametrize("arguments", [["generate-td", "--nonsense"], ["detect"], ["nonsense"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    assert tdctl(*arguments).exit_code == 2


def test_ctrl_c_is_exit_code_130(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tdctl.runner.generate_td", interrupted)
    result = tdctl("generate-td", *TINY, "--out", tmp_path / "r")
    assert result.exit_code == 130 and "--resume" in result.stderr


@pytest.mark.parametrize(
    "command", ["generate-td", "train-detector", "detect", "denoise", "datasets", "cache"]
)
def test_every_help_has_an_example(command: str) -> None:
    result = tdctl(command, "--help")
    assert result.exit_code == 0 and f"Example: tdctl {command}" in result.stdout


def test_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys, tdctl.cli\n"
        "try:\n    tdctl.cli.app(['--help'])\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'torch', 'torchvision', 'pandas', 'sklearn', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr


def test_python_dash_m(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tdctl", "--version"]
    outcome = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ)
    assert outcome.stdout.startswith("tdctl 0.")


def test_a_file_of_a_run_is_not_replaced_by_a_table(digits_run: Path) -> None:
    before = (digits_run / "training_dynamics.npz").read_bytes()
    options = ("--score", "p-mean", "--out", digits_run / "training_dynamics.npz", "--overwrite")
    refused(tdctl("detect", "--td", digits_run, *options), "is part of a recorded run")
    assert (digits_run / "training_dynamics.npz").read_bytes() == before


def test_more_folds_than_images_are_refused(tmp_path: Path) -> None:
    refused(
        tdctl("generate-td", *TINY, "--folds", 1000, "--out", tmp_path / "r"),
        "train.folds: 1000 folds of 150 images",
    )
