"""Files of vectors: .npy, .safetensors and .parquet. Nothing is ever unpickled.

Shapes: n rows, d numbers.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.catalogue import VECTOR_SUFFIXES
from tdctl.errors import DataError
from tdctl.files import first_line

__all__ = ["VectorFile", "VectorRows", "read_vectors"]

FLOATS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
INDEX = "index"
# Floats are exact for whole numbers up to here.
LARGEST = 2**53
# A header of safetensors is small; a larger number is no header.
LONGEST_HEADER = 100_000_000


@dataclass(frozen=True)
class VectorFile:
    """The vectors of a file, and what names its rows.

    Attributes:
        path: the file.
        values: float16, float32 or float64 [n, d]. It stays in the file, except for Parquet.
        index: int64 [n], what the file itself has as index; None if it has none.
        names: n names of the rows; None if the file has none.
    """

    path: Path
    values: NDArray[Any]
    index: NDArray[np.int64] | None = None
    names: list[str] | None = None


@dataclass(frozen=True)
class VectorRows:
    """Some rows of a file of vectors.

    Attributes:
        values: float16, float32 or float64 [n, d], all rows of the file.
        rows: int64 [m], the rows that count.
        path: the file.
    """

    values: NDArray[Any]
    rows: NDArray[np.int64]
    path: Path

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, row: int) -> str:
        """The file and the row of a vector, for messages."""
        return f"{self.path.name}, row {self.rows[row]}"

    def take(self, rows: NDArray[np.int64]) -> VectorRows:
        """The vectors of the given rows, in that order."""
        return VectorRows(self.values, self.rows[rows], self.path)


def read_vectors(path: Path, name_column: str) -> VectorFile:
    """The vectors of a file; their values are not read yet.

    Args:
        path: the file.
        name_column: the column of a Parquet file with the name of each row.

    Raises:
        DataError: the file is missing, of another kind, or does not hold n rows of d floats.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise DataError(f"{path}: {what}; give --data-dir a file {_kinds()} of embeddings")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty; expected n rows of d floats")
    suffix = path.suffix.lower()
    if suffix == ".npz":
        raise DataError(
            f"{path}: is an .npz, which holds several arrays; save the one of the embeddings with "
            "numpy.save as .npy"
        )
    if suffix not in VECTOR_SUFFIXES:
        raise DataError(f"{path}: embeddings are read from {_kinds()}; save them as one of these")
    read = {".npy": _of_numpy, ".safetensors": _of_safetensors, ".parquet": _of_parquet}[suffix]
    found = read(path, name_column)
    _check(path, found)
    return found


def _kinds() -> str:
    return ", ".join(VECTOR_SUFFIXES[:-1]) + f" or {VECTOR_SUFFIXES[-1]}"


def _check(path: Path, found: VectorFile) -> None:
    values = found.values
    _check_floats(path, str(values.dtype), values.dtype.kind == "f")
    if values.ndim != 2 or 0 in values.shape:
        raise DataError(
            f"{path}: has the shape {values.shape}; expected [n, d], one row of d floats for each "
            "sample"
        )
    index = found.index
    if index is None:
        return
    if len(index) != len(values):
        raise DataError(
            f"{path}: {len(index)} values in '{INDEX}' for {len(values)} rows; expected one each"
        )
    sorted_ = np.sort(index)
    twice = sorted_[1:][sorted_[1:] == sorted_[:-1]]
    if len(twice):
        raise DataError(
            f"{path}: the index {twice[0]} stands in two rows; expected a different one in each"
        )
    if sorted_[0] < 0:
        raise DataError(f"{path}: the index {sorted_[0]} is below 0; expected whole numbers from 0")


def _check_floats(path: Path, kind: str, floats: bool) -> None:
    if not floats:
        raise DataError(
            f"{path}: holds values of the type {kind}; expected floats (float16, float32 or "
            "float64): convert them before they are saved"
        )


def _of_numpy(path: Path, name_column: str) -> VectorFile:
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            _, _, dtype = read(file)
        _check_floats(path, str(dtype), dtype.kind == "f")
        return VectorFile(path, np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, EOFError, OSError) as error:
        raise DataError(
            f"{path}: not a whole .npy file ({first_line(error)}); save it again with numpy.save"
        ) from None


def _of_safetensors(path: Path, name_column: str) -> VectorFile:
    try:
        tensors, start = _header(path)
    except (ValueError, struct.error, UnicodeDecodeError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: not a safetensors file ({first_line(error)}); save it again"
        ) from None
    vectors = [name for name, (_, shape, _) in tensors.items() if len(shape) == 2]
    if len(vectors) != 1:
        raise DataError(
            f"{path}: {len(vectors)} of its {len(tensors)} tensors have two axes "
            f"({', '.join(sorted(tensors)[:5]) or 'none'}); expected one, [n, d]"
        )
    kind, shape, offset = tensors[vectors[0]]
    _check_floats(path, kind, kind in FLOATS)
    values = np.memmap(path, FLOATS[kind], "r", start + offset, tuple(shape)) if shape[0] else None
    index = None
    if INDEX in tensors:
        kind, size, offset = tensors[INDEX]
        if kind != "I64" or len(size) != 1:
            raise DataError(f"{path}: '{INDEX}' is {kind} {size}; expected int64 [n]")
        index = np.fromfile(path, "<i8", size[0], offset=start + offset).astype(np.int64)
    return VectorFile(path, np.zeros(shape, np.float32) if values is None else values, index)


def _header(path: Path) -> tuple[dict[str, tuple[str, list[int], int]], int]:
    """Type, shape and offset of each tensor, and where the first one begins.

    Raises:
        ValueError: the header is malformed, or the file is shorter than it says.
    """
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > LONGEST_HEADER:
            raise ValueError("it has no header")
        tree = json.loads(file.read(length))
    found = {}
    for name, entry in tree.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        if 8 + length + end > path.stat().st_size:
            raise ValueError("it is cut off")
        found[name] = (entry["dtype"], entry["shape"], begin)
    return found, 8 + length


def _of_parquet(path: Path, name_column: str) -> VectorFile:
    try:
        import pyarrow
        from pyarrow import parquet, types
    except ImportError:
        raise DataError(
            f"{path}: Parquet needs pyarrow, which is not installed; pip install 'tdctl[parquet]'"
        ) from None
    try:
        table = parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a Parquet table ({first_line(error)}); write it again") from (
            None
        )
    lists = [
        field.name
        for field in table.schema
        if types.is_list(field.type)
        or types.is_large_list(field.type)
        or types.is_fixed_size_list(field.type)
    ]
    floats = [
        field.name
        for field in table.schema
        if types.is_floating(field.type) and field.name != INDEX
    ]
    if len(lists) > 1 or not (lists or floats):
        raise DataError(
            f"{path}: {len(lists)} columns of lists and {len(floats)} of floats "
            f"({', '.join(table.schema.names[:5])}); expected one column of lists of floats, or "
            "one column for each of the d floats"
        )
    values = _of_lists(path, table.column(lists[0])) if lists else _of_columns(table, floats)
    index = names = None
    if INDEX in table.schema.names:
        index = _whole_numbers(path, table.column(INDEX))
    if name_column in table.schema.names:
        names = [str(name) for name in table.column(name_column).to_pylist()]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"{path}: '{twice}' stands in two rows of column '{name_column}'")
    return VectorFile(path, values, index, names)


def _whole_numbers(path: Path, column: Any) -> NDArray[np.int64]:
    """The column of the index. Whole numbers that are kept as floats are taken as well."""
    from pyarrow import types

    if not (types.is_integer(column.type) or types.is_floating(column.type)):
        raise DataError(f"{path}: column '{INDEX}' is {column.type}; expected whole numbers")
    # An integer column with a gap becomes one of floats here, with NaN at the gap.
    values = column.to_numpy()
    wrong = ~(np.isfinite(values) & (values == np.floor(values)) & (np.abs(values) < LARGEST))
    if wrong.any():
        row = int(np.argmax(wrong))
        has = "no value" if np.isnan(values[row]) else f"{values[row]}"
        raise DataError(
            f"{path}: row {row} has {has} in column '{INDEX}'; expected a whole number from 0"
        )
    return np.asarray(values, dtype=np.int64)


def _of_lists(path: Path, column: Any) -> NDArray[Any]:
    column = column.combine_chunks()
    lengths = np.asarray(column.value_lengths().to_numpy(zero_copy_only=False), dtype=np.float64)
    if not len(lengths):
        raise DataError(f"{path}: the table has no rows; expected one for each sample")
    if not (lengths == lengths[0]).all():
        row = int(np.argmax(lengths != lengths[0]))
        raise DataError(
            f"{path}: row {row} has {'no list' if np.isnan(lengths[row]) else int(lengths[row])} "
            f"numbers and row 0 has {int(lengths[0])}; expected as many in each row"
        )
    flat = np.asarray(column.flatten().to_numpy(zero_copy_only=False))
    _check_floats(path, str(flat.dtype), flat.dtype.kind == "f")
    return flat.reshape(len(lengths), -1)


def _of_columns(table: Any, names: list[str]) -> NDArray[Any]:
    values = np.empty((table.num_rows, len(names)), dtype=np.float32)
    for place, name in enumerate(names):
        values[:, place] = table.column(name).to_numpy()
    return values
