from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import make_image_folder

from tdctl.config import DataConfig
from tdctl.data import DataSet, open_dataset
from tdctl.errors import DataError

NAMES = [
    f"train/{c}/{i:03}_{c}.{'png' if i % 2 else 'jpg'}" for c in ("dark", "light") for i in range(6)
]


def rows(swap: int = 0) -> list[str]:
    """One row a training image; the first `swap` dark ones are called light."""
    return [
        f"{name},{'light' if n < swap or n >= 6 else 'dark'},{'light' if n >= 6 else 'dark'}"
        for n, name in enumerate(NAMES)
    ]


def opened(
    tmp_path: Path, lines: list[str], true_column: str | None = "right", **more: int
) -> DataSet:
    root = make_image_folder(tmp_path / "images")
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["file_name,label,right", *lines]) + "\n")
    return open_dataset(
        DataConfig(dataset="folder", data_dir=root, labels=table, true_column=true_column, **more)
    )


@pytest.mark.parametrize("order", [1, -1])
def test_given_and_true_labels_follow_the_file_name(tmp_path: Path, order: int) -> None:
    data = opened(tmp_path, rows(swap=2)[::order])
    assert data.labels.flipped.tolist() == [True, True] + [False] * 10
    assert data.train.targets.tolist() == [1, 1, 0, 0, 0, 0] + [1] * 6
    assert data.labels.true.tolist() == [0] * 6 + [1] * 6


def test_without_a_true_column_no_label_is_known_to_be_wrong(tmp_path: Path) -> None:
    data = opened(tmp_path, rows(swap=2), true_column=None)
    assert data.train.targets[0] == 1 and not data.labels.flipped.any()


def test_a_limit_takes_the_labels_along(tmp_path: Path) -> None:
    data = opened(tmp_path, rows(swap=1), limit=4)
    assert np.flatnonzero(data.labels.flipped).tolist() == [0]
    assert data.train.index.tolist() == [0, 1, 6, 7]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([*rows(), "train/dark/nowhere.png,dark,dark"], r"line 14 names 'train/dark/nowhere\.png'"),
        (["train/dark/000_dark.jpg,grey,dark", *rows()[1:]], r"line 2, column 'label'.*'grey'"),
        (["train/dark/000_dark.jpg,dark,", *rows()[1:]], r"line 2, column 'right'"),
        (rows()[:-1], r"1 training images have no row, first 'train/light/005_light\.png'"),
        ([*rows(), rows()[0]], r"line 14 names .* a second time"),
        (['"unclosed', *rows()], r"labels\.csv"),
    ],
)
def test_bad_tables_are_refused_by_line(tmp_path: Path, lines: list[str], says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        opened(tmp_path, lines)
    assert "\n" not in str(caught.value)


def test_a_missing_column_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column 'truth'; it has file_name, label, right"):
        opened(tmp_path, rows(), true_column="truth")


@pytest.mark.parametrize("suffix", ["zip", "gz", "xz", "zst", "tar"])
def test_a_table_is_text_whatever_its_name(tmp_path: Path, suffix: str) -> None:
    root = make_image_folder(tmp_path / "images")
    table = tmp_path / f"labels.csv.{suffix}"
    table.write_text("\n".join(["file_name,label,right", *rows()]))
    data = open_dataset(DataConfig(dataset="folder", data_dir=root, labels=table))
    assert len(data.train) == 12


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00broken"])
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    root = make_image_folder(tmp_path / "images")
    table = tmp_path / "labels.csv"
    table.write_bytes(content)
    with pytest.raises(DataError, match=r"labels\.csv"):
        open_dataset(DataConfig(dataset="folder", data_dir=root, labels=table))
    table.unlink()
    with pytest.raises(DataError, match="no such label table"):
        open_dataset(DataConfig(dataset="folder", data_dir=root, labels=table))
