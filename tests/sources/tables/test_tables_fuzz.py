"""Malformed inputs by the hundred: a clear error, or exactly what the intact rows say."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mutations import (
    MUTATIONS,
    Mutation,
    of_lines,
    saved_as,
    shuffle_rows,
)

from tdctl.config import DataConfig
from tdctl.errors import ConfigError, DataError
from tdctl.sources.tables.listed import list_table
from tdctl.sources.tables.relabelling import labels_from_table

# What is read as if nothing had happened.
HARMLESS: dict[str, Mutation] = {
    "rows shuffled": of_lines(shuffle_rows),
    "mark": saved_as("utf-8-sig"),
    "line ends of Windows": lambda _, content: content.replace(b"\n", b"\r\n"),
    "blank lines": lambda _, content: b"\n" + content.replace(b"\n", b"\n\n"),
    "no last line end": lambda _, content: content.rstrip(b"\n"),
    "utf-16 with a mark": saved_as("utf-16"),
    "empty rows at the end": lambda _, content: (
        content + 2 * ((content.count(b"\t") > 5 and b"\t\t\n") or b",,,\n")
    ),
}


def mutants(intact: bytes, kind: str, count: int) -> Iterator[bytes]:
    """So many malformed copies of any input, the same ones in every run."""
    mutation = (MUTATIONS | HARMLESS)[kind]
    for number in range(count):
        yield mutation(np.random.default_rng([number, *kind.encode()]), intact)


def complaint(error: Exception) -> str:
    """The message, which must be for people: one line of moderate length."""
    message = str(error)
    assert type(error) in (DataError, ConfigError), repr(error)
    assert message.isprintable() and len(message) < 600, message
    return message


CLASSES = ["cat", "dog", "ель", "1st floor"]
N = 24
TRUE = np.arange(N) % 4
GIVEN = np.where(np.arange(N) % 5 == 0, (TRUE + 1) % 4, TRUE)
FILES = [f"{CLASSES[label]}/{row:02}.png" for row, label in enumerate(TRUE)]


@dataclass(frozen=True)
class Case:
    """A table, and how it is read: by the labels of a data set's images, or as a data set.

    Attributes:
        columns: of the table, in order.
        own: whether the data set's own labels are known.
        named: whether its images have names; None for a table that is the data set.
        numbers: whether classes are numbers.
        suffix: of the file.
    """

    columns: tuple[str, ...]
    own: bool = False
    named: bool | None = True
    numbers: bool = False
    suffix: str = "csv"

    def content(self) -> bytes:
        names = [str(label) for label in range(4)] if self.numbers else CLASSES
        values = {
            "index": [str(row) for row in range(N)],
            "file_name": FILES,
            "label": [names[label] for label in GIVEN],
            "true_label": [names[label] for label in TRUE],
            "split": ["test" if row % 6 == 5 else "train" for row in range(N)],
        }
        mark = "\t" if self.suffix == "tsv" else ","
        lines = [self.columns, *zip(*(values[column] for column in self.columns), strict=True)]
        return "".join(mark.join(line) + "\n" for line in lines).encode()

    def read(self, path: Path) -> dict[int | str, tuple[str, str]]:
        """By each image's name, or index where it has none: a column, and the class read of it."""
        true = "true_label" if "true_label" in self.columns else None
        config = DataConfig(
            dataset="table" if self.named is None else "folder",
            data_dir=path.parent,
            labels=path,
            true_column=true,
        )
        found: dict[int | str, tuple[str, str]] = {}
        if self.named is None:
            listing = list_table(config, 0)
            names, train = listing.names or [], len(listing.labels)
            assert len(set(names)) == len(names)
            for name, label in zip(names[:train], listing.labels.assigned, strict=True):
                found[name] = "label", listing.class_names[label]
            for name, label in zip(names[train:], listing.test_targets, strict=True):
                found[name] = true or "label", listing.class_names[label]
            return found
        own = TRUE if self.own else None
        labels = labels_from_table(
            config, FILES if self.named else None, np.arange(N), CLASSES, own
        )
        assert labels.index.tolist() == list(range(N))
        assert labels.true.tolist() == (TRUE if self.own else labels.assigned).tolist()
        for row, label in enumerate(labels.assigned):
            found[FILES[row] if self.named else row] = "label", CLASSES[label]
        return found


CASES = {
    "labels by name": Case(("index", "file_name", "label", "true_label"), own=True),
    "labels by index": Case(("true_label", "index", "label"), own=True, named=False, numbers=True),
    "labels alone": Case(("file_name", "label")),
    "a data set": Case(("file_name", "label", "true_label", "split"), named=None),
    "a data set by tabs": Case(("label", "file_name"), named=None, suffix="tsv"),
}


def decoded(content: bytes) -> str:
    marks = {b"\xff\xfe\0\0": "utf-32", b"\xff\xfe": "utf-16"}
    found = next((name for mark, name in marks.items() if content.startswith(mark)), "utf-8-sig")
    return content.decode(found)


def spoken(case: Case, content: bytes) -> list[dict[str, str]]:
    """The rows as a plain split finds them, by the header that is there."""
    lines = [line for line in re.split("[\r\n]", decoded(content)) if line.strip()]

    def cells(mark: str, line: str) -> list[str]:
        return [cell.strip(' "\u00a0\t') for cell in line.split(mark)]

    mark = max(",;\t|", key=lambda m: len(set(case.columns) & set(cells(m, lines[0]))))
    header = cells(mark, lines[0])
    return [
        dict(zip(header, cells(mark, line), strict=False))
        for line in lines[1:]
        if set(line) - set(",\t")
    ]


def plain(name: str) -> str:
    """A name without what a table may write otherwise."""
    text = re.sub("/+", "/", name.replace("\\", "/")).casefold()
    return re.sub(r"\.png$", "", text)


def check(case: Case, content: bytes, found: dict[int | str, tuple[str, str]]) -> None:
    """Each label that was read stands in the row of its image."""
    rows = spoken(case, content)
    by_name = {plain(row["file_name"]): row for row in rows if "file_name" in row}
    by_index = {int(row["index"]): row for row in rows if "index" in row}
    for key, (column, label) in found.items():
        if isinstance(key, str) and by_name:
            row = by_name[plain(key)]
        else:
            row = by_index[FILES.index(key) if isinstance(key, str) else key]
        said = CLASSES[int(row[column])] if case.numbers else row[column]
        assert label == said, (key, label, row)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", MUTATIONS)
def test_a_malformed_table_is_refused_or_read_rightly(root: Path, case: str, kind: str) -> None:
    table = CASES[case]
    path = root / f"t.{table.suffix}"
    for content in mutants(table.content(), kind, 6):
        path.write_bytes(content)
        try:
            found = table.read(path)
        except (DataError, ConfigError) as error:
            assert complaint(error).startswith(str(path)), error
        else:
            check(table, content, found)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", HARMLESS)
def test_what_does_no_harm_is_read_whole(root: Path, case: str, kind: str) -> None:
    table = CASES[case]
    path = root / f"t.{table.suffix}"
    path.write_bytes(table.content())
    expected = table.read(path)
    assert len(set(expected.values())) >= 4
    for content in mutants(table.content(), kind, 2):
        path.write_bytes(content)
        found = table.read(path)
        check(table, content, found)
        # Which rows are held out without a split follows the rows' order.
        if table.named is not None or "split" in table.columns:
            assert found == expected


@pytest.mark.parametrize("kind", ["bits flipped", "bytes overwritten", "cut short", "cut within",
                                  "a part twice", "zero bytes", "nothing"])  # fmt: skip
def test_malformed_parquet_is_refused_or_read_whole(root: Path, kind: str) -> None:
    """With checksums, as written here, nothing that was altered is read."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="an extra")
    case, path = CASES["labels by name"], root / "t.parquet"
    table = pd.read_csv(io.BytesIO(case.content()), dtype=str)
    arrow = pytest.importorskip("pyarrow").Table.from_pandas(table)
    parquet.write_table(arrow, path, write_page_checksum=True)
    intact, expected = path.read_bytes(), case.read(path)
    for content in mutants(intact, kind, 10):
        path.write_bytes(content)
        try:
            found = case.read(path)
        except DataError as error:
            assert complaint(error).startswith(str(path)), error
        else:
            assert found == expected


def test_the_malformed_tables_are_many_and_the_same_in_every_run() -> None:
    seen = set()
    for case in CASES.values():
        for kind in MUTATIONS:
            contents = list(mutants(case.content(), kind, 6))
            assert contents == list(mutants(case.content(), kind, 6))
            seen |= set(contents) - {case.content()}
    assert len(seen) > 600
