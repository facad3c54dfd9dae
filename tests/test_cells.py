"""Tables that a spreadsheet opens hold no formula, and every text in them is read back."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tdctl.cells import is_own, plain_cell, safe_cell
from tdctl.csv_files import read_csv, write_csv
from tdctl.labels import Labels
from tdctl.recorder.naming import names_left, write_names
from tdctl.run.class_and_file_names import class_names, file_names
from tdctl.sources.tables.columns import read_table

FORMULAS = ["=HYPERLINK(1)", "+1", "-1+2", "@SUM(A1)", "\tx", "\rx"]
MARKED = ["'=x", "''", "'''=x", "'-", "'x", "'", "", "x=1", "-", "="]
# Most of what matters is at the beginning of a text.
TEXTS = st.text("=+-@\t\r\n'\",;x ", max_size=5) | st.text(max_size=8)


@given(TEXTS)
def test_a_cell_is_no_formula_and_is_read_back(text: str) -> None:
    cell = safe_cell(text)
    assert cell[:1] not in set("=+-@\t\r") or not cell
    assert plain_cell(cell) == text


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_gets_one_apostrophe(text: str) -> None:
    assert safe_cell(text) == f"'{text}"
    assert safe_cell(f"'{text}") == f"''{text}"


def test_other_texts_stay_as_they_are() -> None:
    for text in ("a=b", "'quoted'", "", "x", "'", "1-2"):
        assert safe_cell(text) == text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(TEXTS.filter(lambda text: "\0" not in text), min_size=1, max_size=6))
@example(FORMULAS + MARKED)
def test_tables_are_read_back_by_both_readers(tmp_path: Path, texts: list[str]) -> None:
    # Halves of letters, as in file names that are not UTF-8, are no text of a file.
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    path = tmp_path / "t.csv"
    numbers = -np.arange(len(texts)) - 0.5
    labels = pd.Categorical(texts)
    table = pd.DataFrame(
        {
            "index": range(len(texts)),
            "file_name": texts,
            "suspicion": numbers,
            "given_label": labels,
        }
    )
    write_csv(path, table)
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert [float(row[2]) for row in rows] == numbers.tolist()
    for row in rows:
        assert not row[1].startswith(("=", "+", "-", "@", "\t", "\r")), row
        assert row[1] == row[3]
    read = read_csv(path, ["file_name", "given_label"])
    assert read["file_name"].tolist() == read["given_label"].tolist() == texts
    assert read["suspicion"].tolist() == numbers.tolist()
    again = read_table(path, header)
    assert again["file_name"] == again["given_label"] == texts


def test_a_table_of_the_users_own_is_read_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("file_name,label\n'=a.png,'-\n")
    assert not is_own(["file_name", "label"])
    table = read_table(path, ["file_name", "label"])
    assert table["file_name"] == ["'=a.png"] and table["label"] == ["'-"]


def test_names_of_a_recording_are_safe_and_read_back(tmp_path: Path) -> None:
    names = ["=1+1.png", "'=1.png", "-.png", "plain.png"]
    labels = Labels(np.arange(4), np.arange(4), np.arange(4))
    write_names(names_left(tmp_path, labels, 4, names, names, False))
    text = (tmp_path / "samples.csv").read_text()
    assert text.splitlines()[1:] == ["0,'=1+1.png", "1,''=1.png", "2,'-.png", "3,plain.png"]
    assert list(file_names(tmp_path, np.arange(4))) == names
    assert list(class_names(tmp_path, 4)) == names
