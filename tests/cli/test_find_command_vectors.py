"""The whole way for embeddings and for frozen features, as for images."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import Result
from torchvision import models

from tdctl.files import read_json
from tdctl.finding.choices import Choice, Chosen
from tdctl.finding.forecast import Forecast
from tdctl.run import read_config
from tdctl.training.progress import Clock, Progress
from tests.conftest import make_image_folder, refused, tdctl
from tests.vectors_made import cloud, write_table

MADE = cloud(n=240)
NET = "shufflenet_v2_x0_5"
QUICK = ("--epochs", 8, "--device", "cpu", "--quiet")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("embeddings") / "clip.npy"
    np.save(path, MADE.values)
    write_table(path.with_name("labels.csv"), MADE)
    return path


@pytest.fixture(scope="module")
def asked(file: Path) -> list[object]:
    return ["find", file, "--labels", file.with_name("labels.csv")]


@pytest.fixture(scope="module")
def done(asked: list[object], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    out = tmp_path_factory.mktemp("found") / "out"
    return out, tdctl(*asked, "--out", out, *QUICK)


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """Two classes of pictures, with a test set, and the weights of a network."""
    root = tmp_path_factory.mktemp("pictures")
    make_image_folder(root / "photos", per_class=24)
    torch.manual_seed(0)
    torch.save(getattr(models, NET)(num_classes=7).state_dict(), root / "net.pth")
    return [
        "find", root / "photos", "--recipe", "features", "--net-type", NET,
        "--pretrained", root / "net.pth", "--image-size", 32, "--cache-dir", root / "cache",
    ]  # fmt: skip


def test_embeddings_are_recorded_ranked_and_shown(done: tuple[Path, Result]) -> None:
    out, result = done
    assert result.exit_code == 0, result.output
    heads = [line[:10].strip() for line in result.stdout.splitlines()]
    assert heads == ["found", "look at", "next"]
    table = pd.read_csv(out / "ranking.csv")
    wrong = set(np.flatnonzero(MADE.flipped))
    assert len(table) == 240 and wrong == set(table["index"][: len(wrong)])
    assert read_config(out / "run").recipe == "features"
    content = json.loads((out / "ranking.json").read_text())
    assert content["estimates"]["combined"]["method"] == "heldout"
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "240 training vectors" in page and "training images" not in page
    assert "the cards have no pictures" in result.stderr


def test_what_it_will_do_is_said_in_words_of_vectors(done: tuple[Path, Result]) -> None:
    _, result = done
    said = {line[:10].strip(): line[11:] for line in result.stderr.splitlines()}
    assert said["data"].endswith("clip.npy: 240 vectors of 16 numbers in 4 classes")
    assert said["will do"] == "train 5 linear heads twice for 8 epochs on them, rank every vector"
    assert "on this machine (cpu, " in said["time"]
    assert "images" not in result.output


def test_the_same_command_ends_at_once_unless_the_vectors_changed(
    asked: list[object], done: tuple[Path, Result], file: Path
) -> None:
    out, first = done
    before = (out / "ranking.csv").stat().st_mtime_ns
    again = tdctl(*asked, "--out", out, *QUICK)
    assert again.exit_code == 0 and again.stdout == first.stdout
    assert "is finished already" in again.stderr
    assert (out / "ranking.csv").stat().st_mtime_ns == before
    np.save(file, MADE.values + np.float32(0.01))
    try:
        refused(tdctl(*asked, "--out", out, *QUICK), "vectors differ")
    finally:
        np.save(file, MADE.values)
    labels = file.with_name("labels.csv")
    away = labels.rename(labels.with_name("away.csv"))
    try:
        without = tdctl(*asked, "--out", out, *QUICK)
        assert without.exit_code == 0 and "is no longer there" in without.stderr
    finally:
        away.rename(labels)


def test_a_stop_leaves_nothing_and_the_same_command_begins_again(
    asked: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped:
        def __enter__(self) -> Any:
            def report(progress: Progress) -> None:
                if progress.epoch == 9:
                    raise KeyboardInterrupt

            return report

        def __exit__(self, *error: object) -> None:
            pass

    monkeypatch.setattr(Clock, "step", lambda *_: True)
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(
            importlib.import_module("tdctl.cli.find_command"),
            "shown_progress",
            lambda quiet: Stopped(),
        )
        stopped = tdctl(*asked, "--out", out, *QUICK)
    assert stopped.exit_code == 130, stopped.output
    assert "the same command trains the heads anew" in stopped.stderr
    assert not (out / "run").exists()
    again = tdctl(*asked, "--out", out, *QUICK)
    assert again.exit_code == 0, again.output
    assert len(pd.read_csv(out / "ranking.csv")) == 240


def test_a_dry_run_says_the_plan_as_json(asked: list[object], tmp_path: Path) -> None:
    result = tdctl(*asked, "--out", tmp_path / "o", "--dry-run", "--json", "--quiet")
    plan = json.loads(result.stdout)
    assert plan["data"]["vectors"] == 240 and plan["data"]["numbers"] == 16
    assert plan["epochs"] == 100 and plan["folds"] == 5 and plan["seconds"] > 0
    assert not (tmp_path / "o").exists()


def test_a_time_and_many_classes_make_the_recording_shorter(
    asked: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = Choice((Chosen("train.folds", 2, "folds 2: why"), Chosen("train.epochs", 30, "")))
    monkeypatch.setattr(
        importlib.import_module("tdctl.runner.plan_find"),
        "forecast_heads",
        lambda *_: (Forecast(0.0, 1.0, 10.0, 1, "cpu"), many),
    )
    words = [*asked, "--out", tmp_path / "o", "--dry-run", "--json", "--quiet"]
    plain, short = tdctl(*words), tdctl(*words, "--time", "30s")
    for plan, epochs in ((plain, 30), (short, 20)):
        found = json.loads(plan.stdout)
        assert (found["folds"], found["epochs"]) == (2, epochs)
    assert "because    folds 2: why" in plain.stderr
    assert "because    epochs 20: as many as fit into about 30 s" in short.stderr
    refused(tdctl(*words, "--time", "12s"), "5 epochs", "fewer vectors with --limit")
    refused(tdctl(*words, "--time", "30s", "--epochs", 5), "leave out one of them")


def test_features_of_pictures_go_the_same_way(features: list[object], tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = tdctl(*features, "--out", out, *QUICK)
    assert result.exit_code == 0, result.output
    said = result.stderr
    assert "48 images in 2 classes, 12 by 12 pixels; 48 are held out and get no rank" in said
    assert f"will do    compute the features of each ({NET}, at 32 by 32 pixels)" in said
    assert "train 5 linear heads twice for 8 epochs on these, rank every image" in said
    assert "for the features, " in said
    assert f"images of 32 x 32 pixels; the published weights of {NET} expect 224" in said
    assert len(pd.read_csv(out / "ranking.csv")) == 48
    manifest = read_json(out / "run" / "manifest.json")
    assert manifest["test_error_last"] is not None
    assert "no pictures" not in result.output
    again = tdctl(*features, "--out", out, *QUICK)
    assert again.exit_code == 0 and "is finished already" in again.stderr
    file = Path(str(features[features.index("--pretrained") + 1]))
    before = file.read_bytes()
    torch.save(getattr(models, NET)(num_classes=7).state_dict(), file)
    changed = tdctl(*features, "--out", out, *QUICK)
    file.write_bytes(before)
    refused(changed, f"was made with other weights than {file} holds now")


def test_settings_that_heads_lack_are_refused_before_anything_is_computed(
    features: list[object], asked: list[object], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    refused(tdctl(*features, "--out", out, "--amp", *QUICK), "leave out --amp")
    refused(tdctl(*asked, "--out", out, "--num-valid", 9, *QUICK), "leave out --num-valid")
    refused(tdctl(*asked, "--out", out, "--recipe", "detect", *QUICK), "net.net_type")
    assert not out.exists()


def test_what_is_missing_is_named(file: Path, tmp_path: Path) -> None:
    refused(tdctl("find", file), "clip.npy has vectors without labels; give --labels TABLE")
    refused(tdctl("find", tmp_path / "none.npy"), "no such file; give the file of your embeddings")
    refused(
        tdctl("find", tmp_path / "none", "--dataset", "embeddings"),
        "no such file; give the file of your embeddings",
    )
    (tmp_path / "notes.txt").write_text("notes")
    labels = file.with_name("labels.csv")
    refused(tdctl("find", tmp_path / "notes.txt", "--labels", labels), "none of embeddings (.npy")


def test_parquet_is_a_table_of_images_or_with_labels_a_file_of_embeddings(
    file: Path, tmp_path: Path
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "clip.parquet"
    parquet.write_table(pyarrow.table({"vector": MADE.values.tolist()}), path)
    words = ("find", path, "--out", tmp_path / "o", "--dry-run", "--json", "--quiet")
    plan = json.loads(tdctl(*words, "--labels", file.with_name("labels.csv")).stdout)
    assert plan["data"]["vectors"] == 240
    refused(tdctl(*words), "file_name")
    settings = tmp_path / "c.yaml"
    settings.write_text(f"data: {{dataset: embeddings, labels: {file.with_name('labels.csv')}}}\n")
    plan = json.loads(tdctl(*words, "--config", settings).stdout)
    assert plan["data"]["vectors"] == 240


@pytest.mark.parametrize(
    ("count", "says"), [(2, "2 vectors are too few to be ranked"), (4, "give --folds 4 or fewer")]
)
def test_too_few_vectors_are_refused_before_the_heads(
    tmp_path: Path, count: int, says: str
) -> None:
    np.save(tmp_path / "few.npy", MADE.values[:count])
    rows = "".join(f"{row},c{row % 2}\n" for row in range(count))
    (tmp_path / "few.csv").write_text("index,label\n" + rows)
    words = (
        "find",
        tmp_path / "few.npy",
        "--labels",
        tmp_path / "few.csv",
        "--out",
        tmp_path / "o",
    )
    refused(tdctl(*words, "--dry-run"), says)
    refused(tdctl("generate-td", *words[2:4], "--data-dir", words[1], *words[4:]), says)
