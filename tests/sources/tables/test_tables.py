from __future__ import annotations

import builtins
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import make_image_folder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tdctl.config import DataConfig
from tdctl.data import DataSet, open_dataset
from tdctl.errors import DataError
from tdctl.labels import Labels
from tdctl.sources.tables.columns import read_table
from tdctl.sources.tables.relabelling import labels_from_table

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
        ([*rows(), rows(1)[0]], r"line 14 names .* a second time"),
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


CLASSES = ["cat", "dog", "NA", "鳥"]
OWN = np.array([0, 1, 2, 3, 0, 1])
GIVEN = np.array([1, 1, 2, 3, 0, 2])
INDEX = np.array([10, 11, 12, 13, 14, 17])
FILES = [f"{CLASSES[own]}/{row}.png" for row, own in enumerate(OWN)]


def entries() -> list[list[str]]:
    """index, file_name, label, true_label of six images, a third of them wrong."""
    parts = zip(INDEX, FILES, GIVEN, OWN, strict=True)
    return [[str(i), f, CLASSES[g], CLASSES[o]] for i, f, g, o in parts]


HEADER = ["index", "file_name", "label", "true_label"]


def written(path: Path, body: list[list[str]], header: list[str] | None = None) -> Path:
    """A table as CSV, TSV or Parquet, by its suffix."""
    header = HEADER if header is None else header
    if path.suffix == ".parquet":
        return to_parquet(path, pd.DataFrame(body, columns=header))
    mark = "\t" if path.suffix == ".tsv" else ","
    path.write_text("".join(mark.join(row) + "\n" for row in [header, *body]))
    return path


def to_parquet(path: Path, table: pd.DataFrame) -> Path:
    pytest.importorskip("pyarrow", reason="an extra")
    table.to_parquet(path)
    return path


def labelled(
    path: Path,
    names: list[str] | None = FILES,
    own: np.ndarray[Any, Any] | None = OWN,
    classes: list[str] = CLASSES,
    **more: Any,
) -> Labels:
    settings = {"true_column": "true_label", "data_dir": path.parent, **more}
    config = DataConfig(dataset="folder", labels=path, **settings)
    return labels_from_table(config, names, INDEX, classes, own)


def without(*columns: str) -> tuple[list[list[str]], list[str]]:
    keep = [place for place, name in enumerate(HEADER) if name not in columns]
    return [[row[place] for place in keep] for row in entries()], [HEADER[k] for k in keep]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    order=st.permutations(range(6)),
    dropped=st.sampled_from([(), ("index",), ("file_name",)]),
    named=st.booleans(),
)
def test_both_joins_find_each_label_in_any_order_and_format(
    tmp_path: Path, suffix: str, order: list[int], dropped: tuple[str, ...], named: bool
) -> None:
    body, header = without(*dropped)
    path = written(tmp_path / f"t.{suffix}", [body[row] for row in order], header)
    if not named and "index" in dropped:
        with pytest.raises(DataError, match="no column 'index'; it has file_name, label"):
            labelled(path, None)
        return
    labels = labelled(path, FILES if named else None)
    assert labels.assigned.tolist() == GIVEN.tolist()
    assert labels.true.tolist() == OWN.tolist()
    assert labels.index.tolist() == INDEX.tolist()


def unfilled() -> list[list[str]]:
    return [[index, "", label, true] for index, _, label, true in entries()[::-1]]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_an_unfilled_column_of_names_leaves_the_join_to_the_index(
    tmp_path: Path, suffix: str
) -> None:
    """As ``corrupt`` writes it for images that are not files."""
    path = written(tmp_path / f"t.{suffix}", unfilled())
    assert labelled(path).assigned.tolist() == GIVEN.tolist()


def test_a_column_of_nulls_is_unfilled(tmp_path: Path) -> None:
    nulls = pd.DataFrame(unfilled(), columns=HEADER).assign(file_name=None)
    path = to_parquet(tmp_path / "t.parquet", nulls)
    assert labelled(path).assigned.tolist() == GIVEN.tolist()


def test_the_truth_is_the_data_sets_own_then_the_tables_then_the_given(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", entries())
    assert labelled(path, true_column=None).true.tolist() == OWN.tolist()
    assert labelled(path, own=None).true.tolist() == OWN.tolist()
    assert labelled(path, own=None, true_column=None).true.tolist() == GIVEN.tolist()


def test_a_true_column_that_is_not_the_data_sets_own_is_refused(tmp_path: Path) -> None:
    body = entries()
    body[4][3], body[2][3] = "dog", "cat"
    path = written(tmp_path / "t.csv", body[::-1])
    says = r"line 3 has 'dog' in column 'true_label'.* has 'cat'; 2 of 6 rows.*another order"
    with pytest.raises(DataError, match=says):
        labelled(path)


def test_class_numbers_are_read_where_no_value_is_a_name(tmp_path: Path) -> None:
    """Each column is judged for itself: numbers of the given, names of the true labels."""
    body = [[*row[:2], str(CLASSES.index(row[2])), row[3]] for row in entries()]
    assert labelled(written(tmp_path / "t.csv", body)).assigned.tolist() == GIVEN.tolist()


def test_whole_numbers_and_categories_of_parquet_are_read_as_strings(tmp_path: Path) -> None:
    table = frame(label=GIVEN.astype("uint8"), index=INDEX).astype({"true_label": "category"})
    path = to_parquet(tmp_path / "t.pq", table)
    assert labelled(path).assigned.tolist() == GIVEN.tolist()
    assert read_table(path, ["index"])["index"] == [str(index) for index in INDEX]


def test_classes_that_are_called_by_numbers_are_names_first(tmp_path: Path) -> None:
    """'1' is the second class of 0, 1, 10, 2 as of any other; '2' is the last, not the third."""
    classes = ["0", "1", "10", "2"]
    body = [[*row[:2], classes[GIVEN[n]], classes[OWN[n]]] for n, row in enumerate(entries())]
    labels = labelled(written(tmp_path / "t.csv", body), classes=classes)
    assert labels.assigned.tolist() == GIVEN.tolist() and labels.true.tolist() == OWN.tolist()
    body[1][2] = "3"
    with pytest.raises(DataError, match="line 3, column 'label', names the class '3'"):
        labelled(written(tmp_path / "t.csv", body), classes=classes)


@pytest.mark.parametrize("more", [{"limit": 3}, {"skip_unreadable": True}])
def test_rows_of_other_images_are_passed_over_where_images_are_left_out(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    body = [["99", "cat/99.png", "dog", "cat"], *entries()]
    path = written(tmp_path / "t.csv", body)
    assert labelled(path, **more).assigned.tolist() == GIVEN.tolist()
    assert labelled(path, None, **more).assigned.tolist() == GIVEN.tolist()
    with pytest.raises(DataError, match=r"line 2 names 'cat/99\.png', which is not a training"):
        labelled(path)
    with pytest.raises(DataError, match=r"line 2 names '99'.* an index from 10 to 17"):
        labelled(path, None)


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.rstrip("\n").encode(),
        lambda text: text.replace("\n", "\n\n").encode() + b"\n\n",
        lambda text: "\n".join(
            ",".join(f'"{value}"' for value in line.split(",")) for line in text.splitlines()
        ).encode(),
        lambda text: text.replace(",", "\t").encode(),
    ],
    ids=["mark", "crlf", "cr", "no last line end", "blank lines", "quoted", "tabs"],
)
def test_a_table_is_read_however_it_was_saved(
    tmp_path: Path, encode: Callable[[str], bytes]
) -> None:
    path = written(tmp_path / "t.csv", entries())
    path.write_bytes(encode(path.read_text()))
    assert labelled(path).assigned.tolist() == GIVEN.tolist()


def test_lines_are_counted_as_an_editor_shows_them(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('\nfile_name,label,note\na,x,"two\nlines"\n\nb,y,"say ""so"""\n')
    table = read_table(path, ["file_name", "label"])
    assert table["label"] == ["x", "y"] and list(table.lines or ()) == [3, 6]
    assert table.header == ["file_name", "label", "note"]


def cell(row: int, column: str, value: str) -> Callable[[], bytes]:
    def damaged() -> bytes:
        body = entries()
        body[row][HEADER.index(column)] = value
        return "".join(",".join(line) + "\n" for line in [HEADER, *body]).encode()

    return damaged


def text(change: Callable[[str], str]) -> Callable[[], bytes]:
    return lambda: change(cell(0, "index", "10")().decode()).encode()


DEFECTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty file": (lambda: b"", "the table is empty"),
    "blank lines only": (lambda: b"\r\n\n", "the table is empty"),
    "header only": (text(lambda t: t.partition("\n")[0]), "a header and no rows"),
    "no header": (text(lambda t: t.partition("\n")[2]), "no column 'label'; it has 10, cat"),
    "column twice": (text(lambda t: t.replace("index", "label", 1)), "the column 'label' twice"),
    "column in another case": (
        text(lambda t: t.replace(",true_l", ",True L", 1)), "give --true-column 'True Label'$",
    ),
    "no separator": (text(lambda t: t.replace(",", "_")), "no column 'label'; it has index_file"),
    "row too long": (cell(2, "label", "a,b"), "line 4 has 5 values; expected 4"),
    "row too short": (text(lambda t: t.replace("dog,dog", "dog")), "line 3 has 3 values"),
    "cut in a row": (text(lambda t: t[:-8]), "line 7 has 2 values"),
    "quote not closed": (cell(3, "label", '"dog'), r"line 5 is no row of a table \(unexpected end"),
    "quote over two rows": (
        text(lambda t: t.replace("dog,dog", 'dog,"dog').replace("NA,NA", 'NA,NA"')),
        "line 3 has 4 values|line 3.*line break",
    ),
    "text after a quote": (cell(3, "label", '"dog"s'), "line 5 is no row of a table"),
    "line break in a label": (cell(3, "label", '"do\ng"'), r"line 5.*'do\\ng'.*line break"),
    "tab in a label": (cell(3, "label", "do\tg"), r"line 5.*'do\\tg'.*control character"),
    "huge field": (cell(3, "label", "x" * 200_000), r"line 5.*field larger than field limit"),
    "long label": (cell(3, "label", "x" * 9000), r"line 5, column 'label', names the class 'xxx"),
    "zero byte": (cell(3, "label", "do\0g"), "line 5 holds a zero byte"),
    "binary": (lambda: bytes(range(254, 0, -1)), r"line 1 is not UTF-8 text \(byte 0xfe\)"),
    "latin 1": (lambda: cell(4, "label", "é")().decode().encode("latin-1", "replace"), "line 6 is"),
    "half of utf 16": (lambda: cell(3, "label", "x")().decode().encode("utf-16")[:-1], "as UTF-16"),
    "workbook": (lambda: b"PK\x03\x04", "a workbook or an archive; save its sheet as CSV"),
    "parquet by another name": (lambda: b"PAR1 and more", r"Parquet.*\.parquet"),
    "unknown class": (cell(1, "label", "bird"), "line 3, column 'label', names the class 'bird'"),
    "class in another case": (cell(1, "label", "Dog"), "line 3, column.*'Dog'; expected 'dog'"),
    "no class": (cell(1, "label", " "), "line 3, column 'label', is empty.*--skip-unreadable"),
    "no true class": (cell(5, "true_label", ""), "line 7, column 'true_label', is empty"),
    "a number among names": (cell(1, "label", "1"), "line 3, column 'label'.*'1'.*in all rows"),
    "unknown file": (cell(1, "file_name", "dog/9.png"), r"line 3 names 'dog/9\.png'"),
    "no file name": (cell(1, "file_name", ""), "line 3, column 'file_name', is empty"),
    "file twice": (cell(1, "file_name", "cat/0.png"), r"line 3 names 'cat/0\.png' a second"),
    "row missing": (
        text(lambda t: "".join(t.splitlines(True)[:3] + t.splitlines(True)[4:])),
        r"1 training images have no row, first 'NA/2\.png'",
    ),
    "index of another": (cell(1, "index", "12"), r"line 3 gives the index 12 to 'dog/1\.png'"),
    "index not whole": (cell(1, "index", "11.5"), r"line 3, column 'index', has '11\.5'"),
    "index below 0": (cell(1, "index", "-1"), "line 3, column 'index', has '-1'"),
    "index of other digits": (cell(1, "index", "\u0661"), "line 3, column 'index', has"),
    "index too large": (cell(1, "index", "1" * 30), "line 3, column 'index', has '111"),
    "index empty": (cell(1, "index", ""), "line 3, column 'index', has ''"),
}  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS)
def test_every_defect_of_a_table_is_one_line_that_names_it(tmp_path: Path, defect: str) -> None:
    damage, says = DEFECTS[defect]
    path = tmp_path / "t.csv"
    path.write_bytes(damage())
    with pytest.raises(DataError, match=says) as caught:
        labelled(path)
    message = str(caught.value).removeprefix(str(path))
    assert message.startswith(": ") and message.isprintable() and len(message) < 300


@pytest.mark.parametrize(
    ("row", "value", "says"),
    [
        (1, "10", "line 3 names '10' a second time, after line 2"),
        (1, "010", "line 3 names '010' a second time, after line 2"),
        (1, "16", "line 3 names '16', which is not a training image"),
        (1, "", "line 3, column 'index', has ''"),
    ],
)
def test_a_join_by_index_is_as_strict(tmp_path: Path, row: int, value: str, says: str) -> None:
    body = entries()
    body[row][0] = value
    with pytest.raises(DataError, match=says):
        labelled(written(tmp_path / "t.csv", body), None)
    with pytest.raises(DataError, match="1 training images have no row, first 17"):
        labelled(written(tmp_path / "t.csv", entries()[:-1]), None)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (["0", "1", "2", "9", "0", "1"], "line 5, column 'label', names the class '9'"),
        (["0", "1", "2", "x", "0", "1"], "line 5, column 'label', names the class 'x'"),
        (["0", "1", "02", "3", "0", "1"], "line 4, column 'label', names the class '02'"),
        (["0", "cat", "2", "3", "0", "1"], "line 2, column 'label', names the class '0'"),
    ],
)
def test_class_numbers_that_are_not_all_such_are_refused(
    tmp_path: Path, values: list[str], says: str
) -> None:
    body = [[*row[:2], value, row[3]] for row, value in zip(entries(), values, strict=True)]
    with pytest.raises(DataError, match=says):
        labelled(written(tmp_path / "t.csv", body))


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(entries(), columns=HEADER).assign(**columns)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (frame(label=["cat", None, *["dog"] * 4]), r"row 1 \(from 0\), column 'label'"),
        (frame(file_name=[*FILES[:5], None]), r"row 5 \(from 0\), column 'file_name'"),
        (frame(label=np.arange(6.0) + 0.5), "column 'label' holds values of the type double"),
        (frame(label=[b"cat"] * 6), "column 'label' holds values of the type binary"),
        (frame(label=[["cat"]] * 6), "column 'label' holds values of the type list"),
        (frame(label=[True] * 6), "column 'label' holds values of the type bool"),
        (frame(label=["c\nt"] * 6), r"row 0 \(from 0\), column 'label': 'c\\nt'"),
        (frame(label=["bird"] * 6), r"row 0 \(from 0\), column 'label', names the class 'bird'"),
        (frame().iloc[:0], "the table has no rows"),
        (frame().drop(columns="label"), "no column 'label'; it has index, file_name, true_label"),
    ],
)
def test_defects_of_parquet_name_the_row(tmp_path: Path, table: pd.DataFrame, says: str) -> None:
    path = to_parquet(tmp_path / "t.parquet", table)
    with pytest.raises(DataError, match=says) as caught:
        labelled(path)
    assert str(caught.value).startswith(str(path)) and str(caught.value).isprintable()


@pytest.mark.parametrize("content", [b"", b"PAR1", b"index,label\n1,2\n", b"PAR1" * 20])
def test_what_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("pyarrow", reason="an extra")
    path = tmp_path / "t.parquet"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"t\.parquet: .*") as caught:
        labelled(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_folder_is_no_table(tmp_path: Path, suffix: str) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow", reason="an extra")
    (tmp_path / f"t.{suffix}").mkdir()
    with pytest.raises(DataError, match="the table cannot be read"):
        labelled(tmp_path / f"t.{suffix}")


def test_without_pyarrow_parquet_names_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1")
    real = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "pyarrow":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(DataError, match=r"pip install 'tdctl\[parquet\]'"):
        labelled(path)


def test_many_rows_of_many_classes_take_seconds(tmp_path: Path) -> None:
    n, k = 200_000, 10_000
    rng = np.random.default_rng(0)
    classes = [f"class {label:05}" for label in range(k)]
    own, order = rng.integers(0, k, n), rng.permutation(n)
    names = [f"{label:05}/{row}.jpg" for row, label in enumerate(own)]
    path = tmp_path / "t.csv"
    path.write_text(
        "index,file_name,label\n"
        + "".join(f"{row},{names[row]},{classes[own[row]]}\n" for row in order)
    )
    config = DataConfig(dataset="folder", data_dir=tmp_path, labels=path, true_column="label")
    start = time.process_time()
    labels = labels_from_table(config, names, np.arange(n), classes, own)
    taken = time.process_time() - start
    assert (labels.assigned == own).all()
    assert taken < 8, taken
