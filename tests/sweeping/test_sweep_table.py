"""The table of a sweep: means over the same seeds, and damaged results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tdctl.errors import RunError
from tdctl.files import write_json
from tdctl.sweeping import ROW_FILE, Row, read_rows
from tdctl.sweeping.sweep_table import OF_ROW


def a_row(labels: str, seed: int) -> Row:
    return Row("u", seed, labels, None, None, "ce", "epochs")


def write(folder: Path, row: Row, **figures: Any) -> Path:
    values = dict.fromkeys(OF_ROW, 1.0) | {"removed": 0, "relabelled": 0, "kept": 9}
    file = folder / row.name / ROW_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {**row.key(), "seed": row.seed, **values, **figures})
    return file


def test_a_mean_lacks_no_seed(tmp_path: Path) -> None:
    rows = [a_row("all", 0), a_row("all", 1)]
    write(tmp_path, rows[0], cpu_seconds=10.0, test_error_last=0.2)
    write(tmp_path, rows[1], cpu_seconds=None, test_error_last=0.4)
    one = read_rows(tmp_path, rows).summary.iloc[0]
    assert one["test_error_last"] == pytest.approx(0.3)
    # A training that was resumed has no time; the mean is not that of the other seed.
    assert one["cpu_seconds"] is None and one["cpu_seconds_in_all"] is None


def test_a_gap_is_one_of_the_same_seeds(tmp_path: Path) -> None:
    rows = [a_row("all", 0), a_row("clean", 1), a_row("random", 0)]
    for row, error in zip(rows, (0.5, 0.1, 0.3), strict=True):
        write(tmp_path, row, test_error_last=error)
    assert list(read_rows(tmp_path, rows).summary["gap_closed"]) == [None, None, None]
    clean = a_row("clean", 0)
    write(tmp_path, clean, test_error_last=0.1)
    found = read_rows(tmp_path, [rows[0], clean, rows[2]]).summary
    assert list(found["gap_closed"]) == pytest.approx([0, 1, 0.5])


def test_without_a_test_set_there_is_no_gap(tmp_path: Path) -> None:
    rows = [a_row("all", 0), a_row("clean", 0)]
    for row in rows:
        write(tmp_path, row, test_error_last=None)
    assert list(read_rows(tmp_path, rows).summary["gap_closed"]) == [None, None]


@pytest.mark.parametrize(
    "figures",
    [
        {"test_error_last": "x"},
        {"removed": None},
        {"seed": 7},
        {"labels": "prune"},
        {"cpu_seconds": True},
    ],
)
def test_a_damaged_result_is_refused(tmp_path: Path, figures: dict[str, Any]) -> None:
    row = a_row("all", 0)
    write(tmp_path, row, **figures)
    with pytest.raises(RunError, match=r"row\.json: is not the result of .* made again"):
        read_rows(tmp_path, [row])


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"failed": "x"}', '{"a":'])
def test_a_damaged_file_says_what_to_do(tmp_path: Path, text: str) -> None:
    row = a_row("all", 0)
    write(tmp_path, row).write_text(text)
    with pytest.raises(RunError, match="remove it, and the row is made again"):
        read_rows(tmp_path, [row])
