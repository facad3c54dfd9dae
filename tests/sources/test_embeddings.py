"""Embeddings as a data set: how rows and labels come together, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tdctl.config import DataConfig
from tdctl.data import open_dataset
from tdctl.errors import DataError
from tests.vectors_made import cloud, write_table

MADE = cloud(n=24, d=5)


def opened(file: Path, table: Path, **more: Any) -> Any:
    return open_dataset(DataConfig(dataset="embeddings", data_dir=file, labels=table, **more))


def saved(path: Path, values: Any) -> Path:
    np.save(path, values)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_table(tmp_path / "labels.csv", MADE)


def of_parquet(path: Path, columns: dict[str, Any]) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table(columns), path)
    return path


def test_a_table_that_is_joined_by_its_order_is_told(tmp_path: Path) -> None:
    file, table = saved(tmp_path / "a.npy", MADE.values), tmp_path / "l.csv"
    rows = "".join(f"x{row}.png,c{label}\n" for row, label in enumerate(MADE.given))
    table.write_text("file_name,label\n" + rows)
    data = opened(file, table)
    assert np.array_equal(data.labels.assigned, MADE.given)
    (note,) = (note for note in data.notes if "in their order" in note)
    assert "its column 'file_name' is not used: the vectors have no names" in note


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rows_are_joined_by_the_position_in_the_file(
    tmp_path: Path, table: Path, dtype: Any
) -> None:
    data = opened(saved(tmp_path / "a.npy", MADE.values.astype(dtype)), table, true_column="true")
    assert data.class_names == ["c0", "c1", "c2", "c3"]
    assert data.train.shape == (5,) and data.train.are_vectors
    assert np.array_equal(data.labels.assigned, MADE.given)
    assert np.array_equal(data.labels.true, MADE.true)
    (batch,) = data.train.batches([np.array([3, 1])])
    assert batch.dtype == torch.float32
    assert np.allclose(batch.numpy(), MADE.values[[3, 1]], atol=2e-3)


def test_a_table_without_an_index_is_in_the_order_of_the_vectors(tmp_path: Path) -> None:
    table = write_table(tmp_path / "plain.csv", MADE, index=False)
    data = opened(saved(tmp_path / "a.npy", MADE.values), table)
    assert np.array_equal(data.labels.assigned, MADE.given)


def test_safetensors_may_have_an_index_of_its_own(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    order = np.arange(24)[::-1].astype(np.int64).copy()
    file = tmp_path / "a.safetensors"
    save_file({"x": MADE.values, "index": order}, file)
    data = opened(file, write_table(tmp_path / "labels.csv", MADE))
    assert np.array_equal(data.train.index, order)
    assert np.array_equal(data.labels.assigned, MADE.given[order])


def test_parquet_is_joined_by_name(tmp_path: Path) -> None:
    names = [f"clip{i}.wav" for i in range(24)]
    file = of_parquet(tmp_path / "a.parquet", {"file_name": names, "vector": MADE.values.tolist()})
    order = np.arange(24)[::-1]
    rows = [f"{names[i]},c{MADE.given[i]}" for i in order]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["file_name,label", *rows]) + "\n", encoding="utf-8")
    data = opened(file, table)
    assert data.file_names == names
    assert np.array_equal(data.labels.assigned, MADE.given)


def test_parquet_may_have_a_column_for_each_number(tmp_path: Path, table: Path) -> None:
    columns = {f"x{i}": MADE.values[:, i] for i in range(5)}
    data = opened(of_parquet(tmp_path / "a.parquet", columns), table)
    (batch,) = data.train.batches([np.arange(24)])
    assert np.allclose(batch.numpy(), MADE.values)


def with_value(row: int, value: float) -> Any:
    values = MADE.values.copy()
    values[row, 2] = value
    return values


BAD: dict[str, tuple[Any, tuple[str, ...]]] = {
    "nan_in_the_first_row": (with_value(0, np.nan), ("row 0", "NaN", "place 2")),
    "inf_in_the_last_row": (with_value(23, np.inf), ("row 23", "infinite")),
    "one_large_value": (with_value(4, 1e30), ("row 4", "above 1e+15", "place 2", "divide all")),
    "tiny": (MADE.values * np.float32(1e-30), ("no value is above", "divide all vectors")),
    "zeros": (MADE.values * 0, ("all 24 vectors are the same",)),
    "constant": (MADE.values * 0 + np.float32(0.1), ("all 24 vectors are the same",)),
    "one_axis": (MADE.values[:, 0], ("shape (24,)", "[n, d]")),
    "three_axes": (MADE.values[:, None], ("shape (24, 1, 5)", "[n, d]")),
    "integers": (MADE.given[:, None], ("int64", "floats")),
    "no_rows": (MADE.values[:0], ("shape (0, 5)",)),
    "fewer_rows": (MADE.values[:20], ("24 rows for the 20",)),
}


@pytest.mark.parametrize("name", BAD)
def test_arrays_that_are_no_embeddings_are_refused(tmp_path: Path, table: Path, name: str) -> None:
    values, says = BAD[name]
    file = saved(tmp_path / "bad.npy", values)
    with pytest.raises(DataError) as caught:
        opened(file, table)
    message = str(caught.value)
    assert "\n" not in message
    for text in says:
        assert text in message


def test_an_object_array_is_never_unpickled(tmp_path: Path, table: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    np.save(tmp_path / "bad.npy", np.array([[Trap()]], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="object"):
        opened(tmp_path / "bad.npy", table)
    assert not (tmp_path / "ran").exists()


def test_other_files_are_refused(tmp_path: Path, table: Path) -> None:
    np.savez(tmp_path / "a.npz", x=MADE.values)
    (tmp_path / "empty.npy").touch()
    (tmp_path / "text.npy").write_text("not an array")
    whole = saved(tmp_path / "whole.npy", MADE.values).read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-30])
    (tmp_path / "cut.safetensors").write_bytes(b"\x40\0\0\0\0\0\0\0{")
    (tmp_path / "a.txt").write_text("1 2 3")
    for name, says in {
        "a.npz": "numpy.save",
        "empty.npy": "empty",
        "text.npy": "not a whole .npy",
        "cut.npy": "not a whole .npy",
        "cut.safetensors": "not a safetensors",
        "a.txt": ".npy, .safetensors or .parquet",
        "none.npy": "no such file",
    }.items():
        with pytest.raises(DataError, match=says):
            opened(tmp_path / name, table)


def test_a_duplicate_index_is_refused(tmp_path: Path, table: Path) -> None:
    from safetensors.numpy import save_file

    file = tmp_path / "a.safetensors"
    save_file({"x": MADE.values, "index": np.zeros(24, np.int64)}, file)
    with pytest.raises(DataError, match="index 0 stands in two rows"):
        opened(file, table)


def test_a_table_with_two_labels_of_one_row_is_refused(tmp_path: Path, table: Path) -> None:
    table.write_text(table.read_text().replace("\n5,", "\n4,"), encoding="utf-8")
    with pytest.raises(DataError, match="4"):
        opened(saved(tmp_path / "a.npy", MADE.values), table)


def test_names_that_do_not_join_are_refused(tmp_path: Path) -> None:
    names = [f"clip{i}.wav" for i in range(24)]
    file = of_parquet(tmp_path / "a.parquet", {"file_name": names, "vector": MADE.values.tolist()})
    rows = [f"other{i}.wav,c{label}" for i, label in enumerate(MADE.given)]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["file_name,label", *rows]) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"other0\.wav"):
        opened(file, table)


def test_one_class_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("index,label\n" + "".join(f"{i},c0\n" for i in range(24)), encoding="utf-8")
    with pytest.raises(DataError, match="at least two classes"):
        opened(saved(tmp_path / "a.npy", MADE.values), table)


def test_vectors_without_a_label_are_left_out_when_asked(tmp_path: Path, table: Path) -> None:
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:21]) + "\n", encoding="utf-8")
    data = opened(saved(tmp_path / "a.npy", MADE.values), table, skip_unreadable=True)
    assert np.array_equal(data.train.index, np.arange(20))
    assert len(data.skipped) == 4


def test_an_index_that_is_kept_as_floats_is_taken_where_it_is_whole(tmp_path: Path) -> None:
    file, table = saved(tmp_path / "a.npy", MADE.values), tmp_path / "labels.csv"
    rows = [f"{i}.0,c{label}" for i, label in enumerate(MADE.given)]
    table.write_text("\n".join(["index,label", *rows[::-1]]) + "\n", encoding="utf-8")
    assert np.array_equal(opened(file, table).labels.assigned, MADE.given)
    for wrong in ("5.5", "5.", "1e1", "nan", "-5.0", ".0"):
        text = "\n".join(["index,label", *rows]).replace("\n5.0,", f"\n{wrong},")
        table.write_text(text + "\n", encoding="utf-8")
        if wrong == "5.":
            assert np.array_equal(opened(file, table).labels.assigned, MADE.given)
            continue
        with pytest.raises(DataError, match="expected a whole number from 0"):
            opened(file, table)


def test_parquet_may_keep_its_index_as_floats(tmp_path: Path, table: Path) -> None:
    order = np.arange(24)[::-1]
    columns: dict[str, Any] = {"vector": MADE.values.tolist(), "index": order.astype(float)}
    data = opened(of_parquet(tmp_path / "a.parquet", columns), table)
    assert np.array_equal(data.train.index, order) and data.train.shape == (5,)
    # The index is no number of a vector, where each number has a column.
    columns = {f"x{i}": MADE.values[:, i] for i in range(5)} | {"index": order.astype(float)}
    assert opened(of_parquet(tmp_path / "b.parquet", columns), table).train.shape == (5,)
    for value, says in ((2.5, "row 3 has 2.5"), (None, "row 3 has no value"), (1e300, "row 3")):
        wrong = [value if row == 3 else float(row) for row in range(24)]
        file = of_parquet(tmp_path / "c.parquet", {**columns, "index": wrong})
        with pytest.raises(DataError, match=says):
            opened(file, table)
    gap = [None if row == 3 else row for row in range(24)]
    file = of_parquet(tmp_path / "d.parquet", {**columns, "index": gap})
    with pytest.raises(DataError, match="row 3 has no value"):
        opened(file, table)


def test_notes_and_errors_speak_of_vectors(tmp_path: Path, table: Path) -> None:
    lines = table.read_text().splitlines()
    file = saved(tmp_path / "a.npy", MADE.values)
    table.write_text("\n".join(lines[:21]) + "\n", encoding="utf-8")
    notes = opened(file, table, skip_unreadable=True).notes
    assert any("4 vectors have no label there" in note for note in notes)
    table.write_text("\n".join([*lines[:21], "99,c0,c0", "98,c0,c0", "97,c0,c0", "96,c0,c0"]))
    with pytest.raises(DataError, match="not a training vector of the data set"):
        opened(file, table)
    table.write_text("index,label\n" + "".join(f"{i},a\n" for i in range(24)))
    with pytest.raises(DataError, match="all 24 training vectors have the class 'a'"):
        opened(file, table)
    assert not any("image" in note for note in notes)
