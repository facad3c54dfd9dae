"""Matrix noise: reads a transition matrix from a file.

Shapes: k classes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tdctl.errors import DataError
from tdctl.files import first_line
from tdctl.noise.draws import Floats
from tdctl.noise.noise_files import Row, read_rows

__all__ = ["read_matrix"]

TOLERANCE = 1e-6


def read_matrix(path: Path, class_names: list[str]) -> Floats:
    """The transition matrix of a file.

    The file is one of these: a table (CSV or TSV) with class names in its first line and first
    column, in any order; a table of k x k numbers in the order of the classes; or a ``.npy`` file
    with such an array. Each row is scaled to a sum of exactly 1.

    Args:
        path: the file.
        class_names: k names.

    Returns:
        float64 [k, k]: row c has the probability of each given label for the true label c.

    Raises:
        DataError: the file is not readable, has another size, names an unknown class, or has a row
            that is not a distribution. The message names the line or the row.
    """
    k = len(class_names)
    if path.suffix.lower() == ".npy":
        rows = _array(path, k)
        places = [f"row {row + 1} ('{name}')" for row, name in enumerate(class_names)]
    else:
        table = read_rows(path, "matrix")
        read = _plain if all(_is_number(value) for value in table[0][1]) else _named
        rows, places = read(path, table, class_names)
    _check(path, rows, places)
    scaled: Floats = rows / rows.sum(axis=1, keepdims=True)
    return scaled


def _array(path: Path, k: int) -> Floats:
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path}: No such file; give --matrix an existing file") from None
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise DataError(f"{path}: not an array of numbers ({first_line(error)})") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise DataError(f"{path}: not an array of real numbers; expected {k} x {k} of them")
    if array.shape != (k, k):
        shape = " x ".join(map(str, array.shape)) or "a single value"
        raise DataError(f"{path}: is {shape}; expected {k} x {k}, one row for each class")
    return array.astype(np.float64)


def _plain(path: Path, table: list[Row], class_names: list[str]) -> tuple[Floats, list[str]]:
    k = len(class_names)
    for line, values in table:
        if len(values) != k:
            raise DataError(
                f"{path}: line {line} has {len(values)} values; expected {k}, one for each class"
            )
    if len(table) != k:
        raise DataError(
            f"{path}: ends with line {table[-1][0]} after {len(table)} rows; expected {k}, one for "
            "each class"
        )
    numbers = [
        [_number(path, line, name, value) for value in values]
        for (line, values), name in zip(table, class_names, strict=True)
    ]
    places = [f"line {line} ('{name}')" for (line, _), name in zip(table, class_names, strict=True)]
    return np.array(numbers, dtype=np.float64), places


def _named(path: Path, table: list[Row], class_names: list[str]) -> tuple[Floats, list[str]]:
    label_of, k = {name: label for label, name in enumerate(class_names)}, len(class_names)
    (head, header), *lines = table
    columns: list[int] = []
    for name in header[1:]:
        columns.append(_label(path, head, name, label_of))
        if columns.count(columns[-1]) > 1:
            raise DataError(f"{path}: line {head} names the class '{name}' a second time")
    if len(columns) != k:
        absent = next(name for name in class_names if label_of[name] not in set(columns))
        raise DataError(
            f"{path}: line {head} names {len(columns)} classes; expected {k}, '{absent}' is missing"
        )
    rows, places = np.empty((k, k)), [""] * k
    for line, (name, *values) in lines:
        label = _label(path, line, name, label_of)
        if places[label]:
            raise DataError(f"{path}: line {line} is a second row of the class '{name}'")
        if len(values) != k:
            raise DataError(
                f"{path}: line {line} ('{name}') has {len(values)} probabilities; expected {k}"
            )
        rows[label, columns] = [_number(path, line, name, value) for value in values]
        places[label] = f"line {line} ('{name}')"
    if "" in places:
        absent = class_names[places.index("")]
        raise DataError(
            f"{path}: ends with line {table[-1][0]} and has no row of the class '{absent}'; "
            "expected one for each class"
        )
    return rows, places


def _label(path: Path, line: int, name: str, label_of: dict[str, int]) -> int:
    if name not in label_of:
        known = [*label_of][:12]
        raise DataError(
            f"{path}: line {line} names the class '{name}'; expected one of {', '.join(known)}"
            f"{', ...' if len(label_of) > len(known) else ''}"
        )
    return label_of[name]


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _number(path: Path, line: int, name: str, value: str) -> float:
    if not _is_number(value):
        raise DataError(
            f"{path}: line {line} ('{name}') holds '{value}'; expected a probability, such as 0.1"
        )
    return float(value)


def _check(path: Path, rows: Floats, places: list[str]) -> None:
    for row, place in zip(rows, places, strict=True):
        if not np.isfinite(row).all() or (row < 0).any():
            value = row[~(np.isfinite(row) & (row >= 0))][0]
            raise DataError(f"{path}: {place} holds {value:g}; expected probabilities in [0, 1]")
        if abs(row.sum() - 1) > TOLERANCE:
            raise DataError(f"{path}: {place} sums to {row.sum():.8g}; expected 1")
