"""Tables with as many classes as images, up to a hundred thousand."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import hand_made_detector, tdctl
from PIL import Image

from tdctl import runner
from tdctl.config import DataConfig
from tdctl.detector import Card, Detector, save_detector
from tdctl.dynamics import read_run, store
from tdctl.files import read_json
from tdctl.settings import load_config
from tdctl.sources.tables.listed import list_table

# More than the recorder keeps every class's probability of on its way.
TRAINED = store.MANY + 104
LISTED = 100_000


def class_of(row: int, k: int) -> str:
    """Each row's own class, in another order than that of the rows."""
    return f"класс {row * 7919 % k:06}"


def write_table(path: Path, k: int, flipped: int) -> pd.DataFrame:
    """One row a class, the first so many of which have the label of the row after."""
    right = [class_of(row, k) for row in range(k)]
    given = [class_of(row + 1, k) if row < flipped else right[row] for row in range(k)]
    names = [f"{row % 100:02}/{row:06}.png" for row in range(k)]
    table = pd.DataFrame({"file_name": names, "label": given, "right": right})
    table.to_csv(path, index=False)
    return table


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("classes")
    for name in write_table(root / "t.csv", TRAINED, 900)["file_name"]:
        path = root / name
        path.parent.mkdir(exist_ok=True)
        number = int(path.stem)
        Image.new("RGB", (8, 8), (number % 256, number // 256, 9)).save(path, compress_level=0)
    return root


def test_as_many_classes_as_images_are_recorded_ranked_and_pruned(
    tmp_path: Path, root: Path
) -> None:
    run, table = tmp_path / "run", pd.read_csv(root / "t.csv")
    result = tdctl(
        "generate-td", "--dataset", "table", "--labels", root / "t.csv", "--true-column", "right",
        "--store", "given", "--recipe", "paper",
        "--depth", 8, "--epochs", 1, "--no-amp", "--quiet", "--out", run,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    dynamics, labels, _ = read_run(run)
    names = read_json(run / "manifest.json")["dataset"]["class_names"]
    assert names == sorted(table["right"]) and len(names) == TRAINED
    assert labels.index.tolist() == list(range(TRAINED)), "no class lost its one image to the test"
    assert [names[label] for label in labels.assigned] == table["label"].tolist()
    assert [names[label] for label in labels.true] == table["right"].tolist()
    assert labels.flipped.sum() == 900 and dynamics.td.shape == (TRAINED, 1, 1)
    assert sum(path.stat().st_size for path in run.iterdir()) < 20e6

    hand = Detector(hand_made_detector(), Card([], {}, {}, "0"))
    detector = save_detector(tmp_path / "h.pth.tar", hand)[0]
    out = tmp_path / "ranking.csv"
    result = tdctl("detect", "--td", run, "--detector", detector, "--out", out)
    assert result.exit_code == 0, result.output
    ranked = pd.read_csv(out).sort_values("index")
    for column, expected in (("given_label", "label"), ("true_label", "right")):
        assert ranked[column].tolist() == table[expected].tolist()
    assert ranked["file_name"].tolist() == table["file_name"].tolist()
    assert set(ranked["suggested_label"]) <= set(names)

    result = tdctl(
        "denoise", "--td", run, "--detector", detector, "--remove-ratio", 0.25, "--baselines",
        "--dry-run",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert f"{TRAINED - round(0.25 * TRAINED)}" in result.stdout.replace(",", "")


@pytest.mark.slow
def test_a_hundred_thousand_classes_are_listed_and_corrupted(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", LISTED, 20_000)
    for folder in range(100):
        (tmp_path / f"{folder:02}").mkdir()
    for name in table["file_name"]:
        (tmp_path / name).touch()
    start = time.perf_counter()
    config = DataConfig(dataset="table", labels=tmp_path / "t.csv", true_column="right")
    listing = list_table(config, 0)
    assert time.perf_counter() - start < 15
    assert listing.class_names == sorted(table["right"]) and len(listing) == LISTED
    names = np.asarray(listing.class_names, dtype=object)
    assert (names[listing.labels.assigned] == table["label"]).all()
    assert (names[listing.labels.true] == table["right"]).all()
    assert listing.names == table["file_name"].tolist() and listing.labels.flipped.sum() == 20_000

    table["label"] = table["right"]
    table[["file_name", "label"]].to_csv(tmp_path / "clean.csv", index=False)
    settings = {
        "data.dataset": "table", "data.labels": tmp_path / "clean.csv", "noise.noise_ratio": 0.2,
    }  # fmt: skip
    start = time.perf_counter()
    drawn = runner.corrupt_labels(load_config(None, settings), tmp_path / "n.csv").given.labels
    assert time.perf_counter() - start < 30
    assert abs(drawn.flipped.mean() - 0.2) < 0.01
    config = DataConfig(dataset="table", labels=tmp_path / "n.csv", true_column="true_label")
    again = list_table(config, 0)
    assert again.class_names == listing.class_names
    for name in ("index", "assigned", "true"):
        assert (getattr(again.labels, name) == getattr(drawn, name)).all()
