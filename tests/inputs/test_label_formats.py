"""Cleaned labels in the formats of other programs: what is written, our own reader reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import make_image_folder, make_run, tiny_config

from tdctl import runner
from tdctl.dynamics import read_run
from tdctl.errors import ConfigError
from tdctl.inputs.label_formats import format_of
from tdctl.runner import CleanResult
from tdctl.scores import find_score
from tdctl.settings import load_config

KEEP = {"confidence_floor": 0.0, "below": "keep"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_image_folder(tmp_path_factory.mktemp("photos"), per_class=20) / "train"


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = tiny_config(**folder_of(photos) | {"noise__noise_ratio": 0.25})
    return runner.generate_td(config, tmp_path_factory.mktemp("runs") / "r").folder


def folder_of(photos: Path) -> dict[str, Any]:
    return {
        "data__dataset": "folder", "data__data_dir": photos, "data__limit": None,
        "noise__noise_ratio": 0.0, "train__epochs": 2,
    }  # fmt: skip


def cleaned(run: Path, out: Path, action: str = "relabel", **more: Any) -> CleanResult:
    config = load_config(None, {}, runner.settings_of_run(run))
    return runner.clean(config, run, find_score("aum"), 0.25, action, out, **more)


def test_a_list_of_labels_comes_back_from_our_own_reader(
    tmp_path: Path, run: Path, photos: Path
) -> None:
    result = cleaned(run, tmp_path / "l.json", **KEEP)
    numbers = json.loads((tmp_path / "l.json").read_text())
    assert len(numbers) == len(result.table) == 40 and result.format == "json"
    assert [["dark", "light"][number] for number in numbers] == result.table["label"].tolist()
    config = tiny_config(**folder_of(photos), data__labels=tmp_path / "l.json")
    prepared = runner.prepare(config)
    assert (prepared.labels.assigned == np.array(numbers)[prepared.labels.index]).all()
    ranked = result.detection.labels
    changed = ranked.index[ranked.assigned != np.array(numbers)[ranked.index]]
    assert len(changed) == result.relabelled > 0


def test_a_table_comes_back_with_what_was_dropped(tmp_path: Path, run: Path, photos: Path) -> None:
    result = cleaned(run, tmp_path / "t.csv", confidence_floor=0.6)
    assert result.dropped and result.relabelled
    config = tiny_config(**folder_of(photos), data__labels=tmp_path / "t.csv")
    labels = runner.prepare(config).labels
    table = result.table.set_index("index")["label"]
    names = np.array(["dark", "light"])[labels.assigned]
    assert (names == table[labels.index]).all()
    assert len(labels) == len(result.detection.labels) - result.dropped


def test_hugging_face_reads_the_metadata(tmp_path: Path, run: Path, photos: Path) -> None:
    result = cleaned(run, tmp_path / "metadata.csv", "drop")
    table = pd.read_csv(tmp_path / "metadata.csv")
    assert list(table.columns) == ["file_name", "label"] and result.format == "metadata"
    assert table["label"].tolist() == result.table["label"].tolist()
    assert all((photos / name).is_file() for name in table["file_name"])


def test_the_table_is_one_that_cleanlab_takes(tmp_path: Path, run: Path) -> None:
    count = pytest.importorskip("cleanlab.dataset")
    cleaned(run, tmp_path / "t.csv", "drop")
    table = pd.read_csv(tmp_path / "t.csv")
    codes, names = pd.factorize(table["label"], sort=True)
    sure = np.eye(len(names))[codes] * 0.8 + 0.1
    health = count.overall_label_health_score(codes, sure, verbose=False)
    assert health == 1.0


@pytest.mark.parametrize(
    ("name", "asked", "found"),
    [
        ("a.csv", None, "csv"), ("a", None, "csv"), ("a.json", None, "json"),
        ("metadata.csv", None, "metadata"), ("metadata.csv", "csv", "csv"),
    ],
)  # fmt: skip
def test_the_name_says_the_format(name: str, asked: str | None, found: str) -> None:
    assert format_of(Path(name), asked) == found


@pytest.mark.parametrize(
    ("name", "asked", "says"),
    [
        ("a.csv", "yaml", "format: 'yaml' is unknown; use one of csv, json, metadata"),
        ("a.csv", "json", "give --out a name with .json"),
        ("a.json", "csv", "give --out a name with .csv"),
        ("a.parquet", None, "give --out a name with .csv"),
        ("x/a.csv", "metadata", "imagefolder looks for metadata.csv; give --out x/metadata.csv"),
    ],
)
def test_a_name_of_another_format_is_refused(name: str, asked: str | None, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        format_of(Path(name), asked)


def test_what_a_format_cannot_hold_is_refused_before_it_is_written(
    tmp_path: Path, run: Path, digits_run: Path
) -> None:
    with pytest.raises(ConfigError, match=r"label for every image, and \d+ are dropped; use --act"):
        cleaned(run, tmp_path / "l.json", "drop")
    with pytest.raises(ConfigError, match="this run has 150 images with indices up to"):
        cleaned(digits_run, tmp_path / "l.json", **KEEP)
    with pytest.raises(ConfigError, match="these images have no file names"):
        cleaned(digits_run, tmp_path / "metadata.csv", "drop")
    assert not list(tmp_path.iterdir())


def test_a_run_of_other_code_is_written_by_class_number(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    labels = read_run(run)[1]
    out = tmp_path / "t.csv"
    result = runner.clean(None, run, find_score("aum"), 0.25, "relabel", out, relabel_by="truth")
    table = pd.read_csv(out).set_index("index")
    assert (table["label"][labels.index] == np.where(
        result.flagged.rows, labels.true, labels.assigned
    )).all()  # fmt: skip
    assert result.noise is not None and result.noise[1] < result.noise[0]
