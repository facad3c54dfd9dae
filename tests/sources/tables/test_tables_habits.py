"""Tables as spreadsheets and label tools write them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import pytest

from tdctl.config import DataConfig
from tdctl.errors import DataError
from tdctl.sources.listing import Listing
from tdctl.sources.open_listing import list_dataset

FILES = [f"{'cat' if row % 2 else 'dog'}s/{row:02}.png" for row in range(12)]
LABELS = ["cat" if row % 2 else "dog" for row in range(12)]
ROWS = list(zip(FILES, LABELS, strict=True))
Rows = list[tuple[str, ...]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder ``i`` of twelve files in two folders."""
    for name in FILES:
        (tmp_path / "i" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "i" / name).write_bytes(b"")
    return tmp_path / "i"


def saved(root: Path, rows: Any, head: str = "file_name,label", mark: str = ",") -> Path:
    path = root.parent / "t.csv"
    lines = [head.replace(",", mark), *(mark.join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def listed(root: Path, path: Path, **more: Any) -> Listing:
    settings = {"data_dir": root, "test_share": 0.0, **more}
    return list_dataset(DataConfig(dataset="table", labels=path, **settings))


def read(root: Path, path: Path, **more: Any) -> dict[str, str]:
    """The class of each training image by its file's name."""
    found = listed(root, path, **more)
    classes = [found.class_names[label] for label in found.labels.assigned]
    return dict(zip(found.names or [], classes, strict=False))


SAVED: dict[str, Callable[[str], bytes]] = {
    "semicolons": lambda text: text.replace(",", ";").encode(),
    "tabs": lambda text: text.replace(",", "\t").encode(),
    "bars": lambda text: text.replace(",", "|").encode(),
    "a stated separator": lambda text: ("sep=;\r\n" + text.replace(",", ";")).encode("utf-8-sig"),
    "blanks after commas": lambda text: text.replace(",", ", ").encode(),
    "quotes": lambda text: re.sub("[^,\n]+", r'"\g<0>"', text).encode(),
    "a mark": lambda text: text.encode("utf-8-sig"),
    "two marks": lambda text: ("\ufeff" + text).encode("utf-8-sig"),
    "utf-16": lambda text: text.replace("\n", "\r\n").encode("utf-16"),
    "utf-16, the other way": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "utf-32": lambda text: text.encode("utf-32"),
    "utf-16 without a mark": lambda text: text.encode("utf-16-le"),
    "utf-16 without a mark, the other way": lambda text: text.encode("utf-16-be"),
    "empty columns": lambda text: text.replace("\n", ",,\n").encode(),
    "an empty column first": lambda text: ("," + text.replace("\n", "\n,")).encode()[:-1],
    "row numbers of pandas": lambda text: ("," + text.replace("\n", "\n7,")).encode()[:-2],
    "empty rows": lambda text: (text + ",\n , \n,\n").encode(),
    "commas after some rows": lambda text: text.replace("cat\n", "cat,,\n").encode(),
    "blanks around labels": lambda text: text.replace("cat\n", " cat \n").encode(),
    "blanks in the header": lambda text: text.replace("e,l", "e , l", 1).encode(),
}  # fmt: skip


@pytest.mark.parametrize("how", SAVED)
def test_a_table_is_read_however_a_spreadsheet_saved_it(root: Path, how: str) -> None:
    path = saved(root, ROWS)
    path.write_bytes(SAVED[how](path.read_text()))
    assert read(root, path) == dict(ROWS), path.read_bytes()[:90]


@pytest.mark.parametrize(
    "text", ["[]", '\ufeff {"images": []}', '[{"file_name": "a", "label": 1}]']
)
def test_json_is_no_table(root: Path, text: str) -> None:
    path = saved(root, ROWS)
    path.write_text(text)
    with pytest.raises(DataError, match=r"looks like JSON; expected a table: write it as CSV"):
        read(root, path)


def test_numbers_that_a_missing_label_made_floating_point(root: Path) -> None:
    """As pandas does; in Parquet the column is then of that type."""
    path = root.parent / "t.parquet"
    labels = [None, *(float(row % 2) for row in range(1, 12))]
    pd.DataFrame({"file_name": FILES, "label": labels}).to_parquet(path)
    assert set(read(root, path, skip_unreadable=True).values()) == {"0", "1"}
    pd.DataFrame({"file_name": FILES, "label": [0.5, *labels[1:]]}).to_parquet(path)
    with pytest.raises(DataError, match=r"of the type double; .*: write the column as strings"):
        read(root, path)


def test_a_comma_in_a_class_is_no_separator(root: Path) -> None:
    path = saved(root, [(name, f"{label}, big; or|so") for name, label in ROWS], mark="\t")
    assert set(read(root, path).values()) == {"cat, big; or|so", "dog, big; or|so"}


WRITTEN: dict[str, Callable[[str, Path], str]] = {
    "backslashes": lambda name, _: name.replace("/", "\\"),
    "dot": lambda name, _: f"./{name}",
    "dot and backslash": lambda name, _: ".\\" + name.replace("/", "\\"),
    "two slashes": lambda name, _: name.replace("/", "//"),
    "absolute": lambda name, root: str(root / name),
    "from the folder above": lambda name, _: f"i/{name}",
    "no suffix": lambda name, _: name.removesuffix(".png"),
    "suffix in capitals": lambda name, _: name.replace("png", "PNG"),
    "folder in another case": lambda name, _: name.title().replace("Png", "png"),
    "url of a file": lambda name, root: "file://" + quote(str(root / name)),
    "quoted as a url": lambda name, _: quote(name, safe="").replace("s", "%73"),
    "upload of Label Studio": lambda name, _: f"/data/upload/1/0a1b2c3d-{name}",
    "local file of Label Studio": lambda name, _: f"/data/local-files/?d=i/{quote(name)}",
    "blanks": lambda name, _: f" {name} ",
}


@pytest.mark.parametrize("how", WRITTEN)
@pytest.mark.parametrize("dataset", ["table", "folder"])
def test_a_file_is_found_however_a_tool_wrote_its_name(root: Path, how: str, dataset: str) -> None:
    path = saved(root, [(WRITTEN[how](name, root), label) for name, label in ROWS])
    found = listed(root, path) if dataset == "table" else relabelled(root, path)
    classes = [found.class_names[label].removesuffix("s") for label in found.labels.assigned]
    assert dict(zip(found.names or [], classes, strict=True)) == dict(ROWS)
    assert any("12 names are written otherwise than" in note for note in found.notes), found.notes
    assert found.notes[-1].endswith(f"read as {FILES[0]!r}")


def relabelled(root: Path, path: Path) -> Listing:
    """The folder's labels, ``cats`` and ``dogs``, in the table's order of names."""
    path.write_text(path.read_text().replace(",cat\n", ",cats\n").replace(",dog\n", ",dogs\n"))
    config = DataConfig(dataset="folder", data_dir=root, labels=path, test_share=0.0)
    return list_dataset(config)


def test_what_is_written_may_mean_two_files(root: Path) -> None:
    (root / "dogs/00.jpg").write_bytes(b"")
    path = saved(root, [(name.removesuffix(".png"), label) for name, label in ROWS])
    with pytest.raises(DataError, match=r"line 2, .*which may be 'dogs/00\.\w+' or 'dogs/00\.\w+'"):
        read(root, path)
    assert len(read(root, saved(root, ROWS))) == 12, "the whole name is clear"


def test_letters_in_two_parts_are_the_same_letters(root: Path) -> None:
    def apart(text: str) -> str:
        return unicodedata.normalize("NFD", text)

    for number in range(4):
        (root / apart(f"é{number}.png")).write_bytes(b"")
    labels = ["café", "niño", apart("café"), apart("niño")]
    path = saved(root, [(f"é{number}.png", label) for number, label in enumerate(labels)])
    found = listed(root, path)
    assert found.class_names == ["café", "niño"]
    assert found.labels.assigned.tolist() == [0, 1, 0, 1]
    assert found.names == [apart(f"é{number}.png") for number in range(4)], "as they are named"
    assert not found.notes


def test_labels_in_two_parts_are_the_classes_of_the_folders(tmp_path: Path) -> None:
    for name in ("café/a.png", "über/b.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    table = pd.DataFrame({"file_name": ["café/a.png", "über/b.png"], "label": ["über", "café "]})
    apart = table.map(lambda text: unicodedata.normalize("NFD", text))
    apart.to_csv(tmp_path / "t.csv", index=False)
    config = DataConfig(
        dataset="folder", data_dir=tmp_path, labels=tmp_path / "t.csv", test_share=0.0
    )
    assert list_dataset(config).labels.assigned.tolist() == [1, 0]


HEADERS = {
    "Filename,Label": "give --file-column Filename --label-column Label$",
    "image_path,class": "give --file-column image_path --label-column class$",
    "FILE NAME,Target": "give --file-column 'FILE NAME' --label-column Target$",
    "img,category": "give --file-column img --label-column category$",
    "file_name,what": "no column 'label'; it has file_name, what$",
    "0.png,cat": "the first line looks like a row: add a header such as file_name,label$",
    "a/b.JPG,3": "the first line looks like a row",
}


@pytest.mark.parametrize("head", HEADERS)
def test_a_column_of_another_name_tells_the_way_out(root: Path, head: str) -> None:
    with pytest.raises(DataError, match=HEADERS[head]) as caught:
        read(root, saved(root, ROWS, head))
    assert head.partition(",")[0] in str(caught.value)


def test_a_list_with_blanks_is_told_to_have_commas(root: Path) -> None:
    path = saved(root, [f"{name} {label}" for name, label in []], "0.png 0")
    path.write_text("".join(f"{name} {label}\n" for name, label in ROWS))
    with pytest.raises(DataError, match=r"write commas between its values, and add a header: file"):
        read(root, path)


def test_one_column_a_class_is_told_apart(root: Path) -> None:
    rows = [(name, str(int(label == "cat")), str(int(label == "dog"))) for name, label in ROWS]
    with pytest.raises(DataError, match=r"columns cat, dog hold 0 and 1, one column a class"):
        read(root, saved(root, rows, "filename, cat, dog"))


def at_fault(*changes: tuple[int, str, str]) -> Rows:
    rows: Rows = list(ROWS)
    for row, name, label in changes:
        rows[row] = (name, label)
    return rows


FAULTS: dict[str, tuple[Rows, list[int], str]] = {
    "no label": (at_fault((2, FILES[2], ""), (3, FILES[3], " ")), [2, 3], "is empty; expected a c"),
    "no file": (at_fault((5, "dogs/99.png", "dog")), [5], "'dogs/99.png', which is no file"),
    "no name": (at_fault((5, "", "dog")), [5], "'file_name', is empty"),
    "elsewhere": (at_fault((5, "/x/y.png", "dog")), [5], "'/x/y.png', which is no file"),
    "two labels": ([*ROWS, (FILES[4], "cat")], [4, 12], "contradicted by line 14"),
    "all at once": (
        [*at_fault((2, FILES[2], ""), (3, "gone.png", "cat")), (FILES[4], "cat"), ROWS[4]],
        [2, 3, 4, 12, 13],
        "line 4, column 'label', is empty",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_rows_at_fault_are_left_out_and_listed_where_asked_for(root: Path, fault: str) -> None:
    rows, out, says = FAULTS[fault]
    path = saved(root, rows)
    with pytest.raises(DataError, match=r"--skip-unreadable leaves|second time|no file"):
        read(root, path)
    found = listed(root, path, skip_unreadable=True)
    assert [one.index for one in found.skipped] == out
    assert any(says in one.reason for one in found.skipped), found.skipped
    assert all(one.reason.startswith(f"line {one.index + 2}") for one in found.skipped)
    kept = [row for row in range(12) if row not in out]
    assert found.labels.index.tolist() == kept, "the others keep their index"
    assert found.names == [FILES[row] for row in kept]
    assert any("left out, first line" in note for note in found.notes)


def test_a_row_that_repeats_another_counts_once(root: Path) -> None:
    path = saved(root, [*ROWS, ROWS[3], (f"./{FILES[5]}", LABELS[5])])
    found = listed(root, path)
    assert found.names == FILES and not found.skipped
    assert any("2 rows repeat others in everything and count once, first line 14" in note
               for note in found.notes)  # fmt: skip


def test_where_every_row_is_at_fault_nothing_is_left_out(root: Path) -> None:
    path = saved(root, [(f"away/{name}", label) for name, label in ROWS])
    for skip in (False, True):
        with pytest.raises(DataError, match=r"12 of 12 are not there\); 'dogs/00.png' is there: c"):
            read(root, path, skip_unreadable=skip)
    path = saved(root, [(name, "") for name in FILES])
    with pytest.raises(DataError, match=r"is empty; .*every row was left out"):
        read(root, path, skip_unreadable=True)


ADVICE: dict[str, tuple[Rows, str]] = {
    "one": (at_fault((3, "cats/x.png", "cat")), r"\(1 of 12.*mend or remove the row, or --skip-"),
    "a few": (at_fault((3, "x.png", "a"), (4, "y.png", "b")), r"2 of 12.*or remove these rows, or"),
    "cut": ([(f"away/{n}", "a") for n in FILES], r"'dogs/00.png' is there: cut 'away/' off"),
    "another machine": (
        [(f"C:\\my\\{n}", "a") for n in FILES], "'dogs/00.png' is there: cut 'C:/my/' off"
    ),
    "another suffix": (
        [(n.replace("png", "jpg"), "a") for n in FILES], "'dogs/00.png' is there: mend the suffix"
    ),
    "quotes": ([(f"'{n}'", "a") for n in FILES], "'dogs/00.png' is there: take the quotes off"),
    "a query": (
        [(f"https://x.org/{n}?v=1", "a") for n in FILES], "'dogs/00.png' is there: write that name"
    ),
    "nothing near": ([(f"{n}x.png", "a") for n in FILES], r"12 of 12 .*relative to as --data-dir$"),
}  # fmt: skip


@pytest.mark.parametrize("case", ADVICE)
def test_the_advice_follows_the_share_that_fails_and_an_example(root: Path, case: str) -> None:
    rows, says = ADVICE[case]
    with pytest.raises(DataError, match=says):
        read(root, saved(root, rows))


def test_a_folder_nearby_that_has_the_files_is_named(root: Path) -> None:
    path = saved(root, ROWS)
    with pytest.raises(DataError, match=rf"it is in {root}: give that folder as --data-dir"):
        read(root.parent, path)
    (root / "empty").mkdir()
    with pytest.raises(DataError, match=rf"it is in {root}: give that folder as --data-dir"):
        read(root / "empty", path)


def test_splits_are_read_by_any_usual_word(root: Path) -> None:
    words = ["TRAIN", "Training", "VALIDATE", "dev", "testing", " Test"]
    rows = [(name, label, words[row % 6]) for row, (name, label) in enumerate(ROWS)]
    found = listed(root, saved(root, rows, "file_name,label,split"))
    assert found.held is not None
    assert found.labels.index[~found.held].tolist() == [0, 1, 6, 7]
    assert found.labels.index[found.held].tolist() == [2, 3, 8, 9]
    assert found.test_index.tolist() == [4, 5, 10, 11]


def test_test_rows_without_a_label_can_be_left_out(root: Path) -> None:
    rows = [(n, "" if r > 9 else c, "test" if r > 7 else "train") for r, (n, c) in enumerate(ROWS)]
    found = listed(root, saved(root, rows, "file_name,label,split"), skip_unreadable=True)
    assert len(found.labels) == 8 and found.test_index.tolist() == [8, 9]
    assert [one.split for one in found.skipped] == ["test", "test"]


def test_a_split_by_another_name_is_pointed_out(root: Path) -> None:
    rows = [(name, label, "train") for name, label in ROWS]
    found = listed(root, saved(root, rows, "file_name,label,Set"), test_share=0.2)
    assert "--split-column Set takes that of the table" in found.notes[0]
