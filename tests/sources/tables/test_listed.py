from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tdctl.config import DataConfig
from tdctl.errors import DataError
from tdctl.sources.listing import Listing
from tdctl.sources.tables.listed import list_table

COLOURS = {"red": (250, 0, 0), "green": (0, 250, 0), "bleu clair": (0, 0, 250), "黒": (0, 0, 0)}
HEADER = ["file_name", "label", "true_label", "split"]
SPLITS = ["train", "Train", "val", "test", "TEST", "validation", "train", "valid"]


def painted(root: Path, per_class: int = 8) -> list[list[str]]:
    """Images whose colour is their true class, and their rows: one of four is called the next."""
    body = []
    names = list(COLOURS)
    for label, (name, colour) in enumerate(COLOURS.items()):
        folder = root / f"{name}/photos"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            file = f"{name}/photos/{number:02}.png"
            Image.new("RGB", (4, 4), colour).save(root / file)
            assigned = names[(label + 1) % 4] if number % 4 == 0 else name
            body.append([file, assigned, name, SPLITS[number % 8]])
    return body


def written(path: Path, body: list[list[str]], header: list[str] | None = None) -> Path:
    columns = HEADER if header is None else header
    if path.suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="an extra")
        pd.DataFrame(body, columns=columns).to_parquet(path)
    else:
        mark = "\t" if path.suffix == ".tsv" else ","
        path.write_text("".join(mark.join(row) + "\n" for row in [columns, *body]))
    return path


def listed(path: Path, seed: int = 0, **more: Any) -> Listing:
    more = {"true_column": "true_label", **more}
    return list_table(DataConfig(dataset="table", labels=path, **more), seed)


def colour_of(listing: Listing, row: int) -> str:
    """The class whose colour an image has, by its pixels."""
    opened = listing.images.open(row)
    with Image.open(opened) as image:
        pixel = image.getpixel((0, 0))
    return next(name for name, colour in COLOURS.items() if colour == pixel)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 10**6))
def test_labels_belong_to_the_pixels_in_any_order_of_rows(
    tmp_path: Path, suffix: str, seed: int
) -> None:
    body = painted(tmp_path, 4)
    order = np.random.default_rng(seed).permutation(len(body))
    shuffled = [body[row] for row in order]
    listing = listed(written(tmp_path / f"t.{suffix}", shuffled))
    n = len(listing.labels)
    index = np.concatenate([listing.labels.index, listing.test_index])
    assert sorted(index) == list(range(16)), "the index is the row of the table"
    assert listing.names == [shuffled[row][0] for row in index]
    true = np.concatenate([listing.labels.true, listing.test_targets])
    assert [listing.class_names[label] for label in true] == [
        colour_of(listing, row) for row in range(16)
    ]
    given = [listing.class_names[label] for label in listing.labels.assigned]
    assert given == [shuffled[row][1] for row in listing.labels.index]
    assert (listing.labels.flipped == [shuffled[row][0][-6:-4] == "00" for row in index[:n]]).all()


def test_splits_are_as_the_table_says(tmp_path: Path) -> None:
    listing = listed(written(tmp_path / "t.csv", painted(tmp_path)))
    assert listing.name == "table" and listing.class_names == ["bleu clair", "green", "red", "黒"]
    kinds = [SPLITS[row % 8].lower()[:3] for row in range(32)]
    assert listing.labels.index.tolist() == [r for r in range(32) if kinds[r] != "tes"]
    assert listing.test_index.tolist() == [r for r in range(32) if kinds[r] == "tes"]
    assert listing.held is not None
    assert listing.held.tolist() == [kinds[r] == "val" for r in listing.labels.index]


def test_without_test_rows_those_of_val_are_the_test_set(tmp_path: Path) -> None:
    body = [row for row in painted(tmp_path) if row[3].lower() != "test"]
    listing = listed(written(tmp_path / "t.csv", body))
    assert listing.held is None and len(listing.test_index) == 12 and len(listing.labels) == 12
    assert {body[row][3][:3] for row in listing.test_index} == {"val"}
    assert any("those of val are the test set" in note for note in listing.notes)


def test_a_table_that_is_all_for_training_has_no_test_set(tmp_path: Path) -> None:
    body = [[*row[:3], "train"] for row in painted(tmp_path)]
    listing = listed(written(tmp_path / "t.csv", body))
    assert len(listing.labels) == 32 and not len(listing.test_index)
    assert any("no test set" in note for note in listing.notes)


def test_without_a_split_a_share_of_each_true_class_is_held_out(tmp_path: Path) -> None:
    body = [row[:3] for row in painted(tmp_path)]
    path = written(tmp_path / "t.csv", body, HEADER[:3])
    listing = listed(path, test_share=0.25)
    assert any("no column 'split': 8 images are held out" in note for note in listing.notes)
    truth = [listing.class_names[label] for label in listing.test_targets]
    assert truth == [body[row][2] for row in listing.test_index], "tested by the true labels"
    assert sorted(truth) == sorted([*COLOURS] * 2), "two of each"
    again, other = listed(path, test_share=0.25), listed(path, seed=1, test_share=0.25)
    assert again.test_index.tolist() == listing.test_index.tolist()
    assert other.test_index.tolist() != listing.test_index.tolist()
    assert not len(listed(path, test_share=0.0).test_index)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("sizes", [[1], [2], [1, 1, 1], [1, 4, 30], [2] * 10])
def test_no_class_loses_its_last_image_to_the_test_set(
    tmp_path: Path, sizes: list[int], share: float
) -> None:
    body = []
    for label, size in enumerate(sizes):
        for number in range(size):
            (tmp_path / f"{label}_{number}.png").write_bytes(b"x")
            body.append([f"{label}_{number}.png", f"class {label}"])
    path = written(tmp_path / "t.csv", body, HEADER[:2])
    listing = listed(path, true_column=None, test_share=share)
    assert set(listing.labels.assigned) == set(range(len(sizes)))
    assert len(listing.labels) + len(listing.test_index) == sum(sizes)
    if share >= 0.5 and max(sizes) > 1:
        assert len(listing.test_index)


def test_whole_numbers_are_sorted_by_value_and_other_names_as_text(tmp_path: Path) -> None:
    def names(*labels: str) -> list[str]:
        body = []
        for row, label in enumerate(labels):
            (tmp_path / f"{row}.png").write_bytes(b"x")
            body.append([f"{row}.png", label])
        path = written(tmp_path / "t.csv", body, HEADER[:2])
        return listed(path, true_column=None, test_share=0.0).class_names

    assert names("10", "2", "0", "1", "2") == ["0", "1", "2", "10"]
    assert names("10", "2", "x") == ["10", "2", "x"]
    assert names("1", "01", "9" * 5000) == ["01", "1", "9" * 5000]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_missing_values_of_other_tools_are_names_of_classes(tmp_path: Path, suffix: str) -> None:
    labels = ["NA", "null", "None", "nan", "-", "N/A"]
    for row in range(6):
        (tmp_path / f"{row}.png").write_bytes(b"x")
    body = [[f"{row}.png", label] for row, label in enumerate(labels)]
    path = written(tmp_path / f"t.{suffix}", body, HEADER[:2])
    listing = listed(path, true_column=None, test_share=0.0)
    assert [listing.class_names[label] for label in listing.labels.assigned] == labels


def test_classes_of_the_true_column_alone_are_classes(tmp_path: Path) -> None:
    body = [[row[0], "red", row[2], row[3]] for row in painted(tmp_path)]
    assert listed(written(tmp_path / "t.csv", body)).class_names == sorted(COLOURS)
    only = listed(tmp_path / "t.csv", true_column=None)
    assert only.class_names == ["red"] and not only.labels.flipped.any()


def test_images_lie_below_the_data_dir_or_beside_the_table(tmp_path: Path) -> None:
    body = painted(tmp_path / "images")
    elsewhere = written(tmp_path / "t.csv", body)
    beside = written(tmp_path / "images/t.csv", body)
    assert listed(elsewhere, data_dir=tmp_path / "images").names == listed(beside).names
    with pytest.raises(DataError, match=r"line 2 names 'red/photos/00\.png'.*32 of 32.*--data-dir"):
        listed(elsewhere)
    with pytest.raises(DataError, match=r"folder .*/nowhere: no such folder; expected the images"):
        listed(elsewhere, data_dir=tmp_path / "nowhere")


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", painted(tmp_path), ["path", "given", "right", "part"])
    columns = {"file_column": "path", "label_column": "given", "true_column": "right"}
    assert len(listed(path, **columns, split_column="part").test_index) == 8
    with pytest.raises(DataError, match="no column 'fold'; it has path, given, right, part"):
        listed(path, **columns, split_column="fold")


def test_the_first_are_those_by_file_name_whatever_their_class(tmp_path: Path) -> None:
    body = painted(tmp_path)
    listing = listed(written(tmp_path / "t.csv", body[::-1]))
    assert listing.first is not None and listing.names is not None
    n = len(listing.labels)
    ordered = sorted(listing.names[:n], key=lambda name: (name.rpartition("/")[2], name))
    assert [listing.names[row] for row in listing.first] == ordered
    assert len(set(listing.labels.true[listing.first[:4]])) == 4, "one of each class"


def test_links_and_names_with_blanks_commas_and_other_scripts_are_files(tmp_path: Path) -> None:
    names = [" a.png", "b .png ", "c,d.png", 'e"f.png', "ü/ß 猫.png", "...png", "~x/-.png"]
    for name in names:
        (tmp_path / "kept" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "kept" / name, format="png")
    (tmp_path / "kept/link.png").symlink_to(tmp_path / "kept/c,d.png")
    (tmp_path / "kept/folder").symlink_to(tmp_path / "kept/ü")
    names += ["link.png", "folder/ß 猫.png"]
    table = tmp_path / "t.csv"
    pd.DataFrame({"file_name": names, "label": "x"}).to_csv(table, index=False)
    root = tmp_path / "kept"
    listing = listed(table, data_dir=root, true_column=None, test_share=0.0)
    assert listing.names == names
    for row in range(len(names)):
        with Image.open(listing.images.open(row)) as image:
            assert image.size == (4, 4)


def change(row: int, column: str, value: str) -> Callable[[list[list[str]]], None]:
    def changed(body: list[list[str]]) -> None:
        body[row][HEADER.index(column)] = value

    return changed


def all_of(column: str, value: str) -> Callable[[list[list[str]]], None]:
    def changed(body: list[list[str]]) -> None:
        for row in body:
            row[HEADER.index(column)] = value

    return changed


DEFECTS: dict[str, tuple[Callable[[list[list[str]]], object], str]] = {
    "no rows": (list.clear, "a header and no rows"),
    "row too short": (lambda b: b[2].pop(), "line 4 has 3 values; expected 4"),
    "row too long": (lambda b: b[2].append("x"), "line 4 has 5 values; expected 4"),
    "row empty": (change(2, "file_name", ""), "line 4, column 'file_name', is empty"),
    "no label": (change(3, "label", ""), "line 5, column 'label', is empty; expected a class"),
    "no true label": (change(3, "true_label", ""), "line 5, column 'true_label', is empty"),
    "label of blanks": (change(3, "label", "  "), "line 5, column 'label', is empty"),
    "first of two": (
        lambda b: (change(9, "label", "")(b), change(4, "label", "")(b)), "line 6, column 'label'"
    ),
    "tab in a label": (change(3, "label", "re\td"), r"line 5, column 'label': 're\\td'"),
    "no split": (change(3, "split", ""), "line 5, column 'split', has ''; expected train, val or"),
    "unknown split": (change(3, "split", "kept"), "line 5, column 'split', has 'kept'"),
    "nothing to train on": (all_of("split", "test"), "column 'split' has 'train' in no row"),
    "nothing but val": (all_of("split", "val"), "column 'split' has 'train' in no row"),
    "missing file": (
        change(5, "file_name", "red/photos/x.png"),
        r"line 7 names 'red/photos/x\.png', which is no file in .* \(1 of 32 are not there\)",
    ),
    "missing folder": (change(5, "file_name", "blue/00.png"), r"line 7 names 'blue/00\.png'"),
    "a folder": (change(5, "file_name", "red/photos"), "line 7 names 'red/photos', which is no f"),
    "a file as folder": (change(5, "file_name", "red/photos/00.png/x"), "line 7.*00.png/x', which"),
    "name too long": (change(5, "file_name", "x" * 5000), r"line 7 names 'xxx.*\.\.\.', which is"),
    "folder too long": (change(5, "file_name", "x" * 5000 + "/a.png"), "line 7 names 'xxx"),
    "file twice": (change(5, "file_name", "red/photos/00.png"), "line 7.*second time, after"),
    "absolute": (change(5, "file_name", "/etc/passwd"), "line 7 names '/etc/passwd', which is no"),
    "above the root": (change(5, "file_name", "../x.png"), r"line 7, .*'\.\./x\.png', which leads"),
    "above by a detour": (change(5, "file_name", "red/../../x.png"), "line 7, .*which leads out"),
    "detour to a twin": (
        change(5, "file_name", "red/../red/photos/00.png"), "line 7, .*which leads out of a folder"
    ),
    "trailing slash": (change(5, "file_name", "red/photos/05.png/"), "line 7, .*a plain path"),
    "a dot alone": (change(5, "file_name", "."), r"line 7, .*has '\.'; expected a plain path"),
    "zero byte": (change(5, "file_name", "red\0"), "line 7 holds a zero byte"),
    "line break in a name": (change(5, "file_name", '"red\n"'), r"7 names 'red\\n'.*holds a line"),
    "quote not closed": (change(5, "label", '"red'), "line 7 is no row of a table"),
    "text after a quote": (change(5, "label", '"re"d'), "line 7 is no row of a table"),
}  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS)
def test_every_defect_is_one_line_with_file_and_line(tmp_path: Path, defect: str) -> None:
    damage, says = DEFECTS[defect]
    body = painted(tmp_path)
    damage(body)
    path = written(tmp_path / "t.csv", body)
    with pytest.raises(DataError, match=says) as caught:
        listed(path)
    message = str(caught.value).replace(str(tmp_path), "")
    assert message.startswith("/t.csv: ") and message.isprintable() and len(message) < 300


@pytest.mark.parametrize("column", ["file_name", "label", "true_label"])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    header = [name if name != column else "other" for name in HEADER]
    path = written(tmp_path / "t.csv", painted(tmp_path), header)
    with pytest.raises(DataError, match=rf"no column '{column}'; it has .*other"):
        listed(path)


def test_a_parquet_row_at_fault_is_named(tmp_path: Path) -> None:
    body = painted(tmp_path)
    body[4][1] = ""
    path = written(tmp_path / "t.parquet", body)
    with pytest.raises(DataError, match=r"row 4 \(from 0\), column 'label', is empty"):
        listed(path)


def test_a_link_to_nowhere_is_no_file(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", painted(tmp_path))
    gone = tmp_path / "red/photos/03.png"
    gone.unlink()
    gone.symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"line 5 names 'red/photos/03\.png', which is no file"):
        listed(path)


def test_a_folder_that_may_not_be_read_is_no_missing_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "t.csv", painted(tmp_path))

    def refuse(_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"photos: cannot be listed \(Permission denied\)"):
        listed(path)


@pytest.mark.slow
def test_many_files_of_many_classes_are_listed_in_seconds(tmp_path: Path) -> None:
    n, k = 40_000, 5_000
    rng = np.random.default_rng(0)
    labels = rng.integers(0, k, n)
    names = [f"{row % 200}/{row}.jpg" for row in range(n)]
    for folder in range(200):
        (tmp_path / str(folder)).mkdir()
    for name in names:
        os.close(os.open(tmp_path / name, os.O_CREAT))
    path = tmp_path / "t.csv"
    lines = (f"{name},class {label:05}\n" for name, label in zip(names, labels, strict=True))
    path.write_text("file_name,label\n" + "".join(lines))
    start = time.process_time()
    listing = listed(path, true_column=None, test_share=0.2)
    taken = time.process_time() - start
    assert len(listing.class_names) == k and len(listing.test_index) == 8_000
    index = listing.labels.index
    assert [listing.class_names[c] for c in listing.labels.assigned] == [
        f"class {label:05}" for label in labels[index]
    ]
    assert taken < 5, taken
