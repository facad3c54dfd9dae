"""Label tables: given and true labels of a data set's images, by file name or by index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tdctl.config import DataConfig
from tdctl.errors import DataError
from tdctl.labels import Labels
from tdctl.sources.tables.columns import Table, read_table, shown

__all__ = ["labels_from_table"]

Ints = NDArray[np.int64]
INDEX = "index"


def labels_from_table(
    config: DataConfig,
    names: list[str] | None,
    index: Ints,
    class_names: list[str],
    own: Ints | None,
) -> Labels:
    """Labels of the n training images in their order, from the table ``config.labels``.

    Rows are joined to images by ``config.file_column`` where the images have names and that
    column is filled, else by the column ``index``; where both are, they must agree. Each image
    has exactly one row; rows of other images are passed over only with ``limit`` or
    ``skip_unreadable``. A column of labels holds class names, or, where none of its values is one,
    class numbers in [0, k).

    Args:
        config: names the table, its columns, and whether other images may have rows.
        names: n file names relative to the data folder with ``/``, or None.
        index: int64 [n], the images' positions in the source data set.
        class_names: k different names.
        own: int64 [n] in [0, k), the data set's own labels, where they are known to be right.

    Returns:
        ``assigned`` from ``config.label_column``. ``true`` is ``own`` where that is given, which
        ``config.true_column`` must then repeat; else that column; else ``assigned``.

    Raises:
        DataError: the table is not readable, a column is missing, a row names an unknown image or
            class, or an image twice; an image has no row; the true column is not ``own``.
    """
    wanted = [config.file_column, INDEX, config.label_column]
    wanted += [config.true_column] if config.true_column is not None else []
    table = read_table(config.labels or Path(), wanted)
    given = _classes(table, config.label_column, class_names)
    true = None
    if config.true_column is not None:
        true = _classes(table, config.true_column, class_names)
    rows = _rows_of_images(config, table, names, index)
    if own is None:
        return Labels(index, given[rows], (given if true is None else true)[rows])
    if true is not None:
        _check_own(table, config.true_column or "", class_names, true, own, rows)
    return Labels(index, given[rows], own)


def _rows_of_images(config: DataConfig, table: Table, names: list[str] | None, index: Ints) -> Ints:
    """Int64 [n], the row of each image."""
    keys: Sequence[str | int]
    if names is not None and table.filled(config.file_column):
        column, keys = config.file_column, table[config.file_column]
        images = _looked_up(table[column], {name: row for row, name in enumerate(names)})
        what = f"names such as {shown(names[0])}" if names else "none"
    else:
        # Without an index, the column of names is what the user most likely meant to give.
        column = INDEX if names is None or INDEX in table.columns else config.file_column
        numbers = _numbers(table, column)
        keys = numbers.tolist()
        order = np.argsort(index, kind="stable")
        at = order[np.minimum(np.searchsorted(index, numbers, sorter=order), len(order) - 1)]
        images = np.where(index[at] == numbers, at, -1)
        what = f"an index from {index.min()} to {index.max()}"
    table.check_each_once(column, keys)
    others = np.flatnonzero(images < 0)
    if len(others) and not (config.limit or config.skip_unreadable):
        raise table.error(
            int(others[0]),
            f" names {shown(table[column][others[0]])}, which is not a training image of the data "
            f"set; expected {what}",
        )
    if column != INDEX and table.filled(INDEX):
        _check_index(table, column, images, index)
    rows = np.full(len(index), -1, dtype=np.int64)
    ours = np.flatnonzero(images >= 0)
    rows[images[ours]] = ours
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        first = str(index[missing[0]]) if column == INDEX else shown((names or [])[missing[0]])
        raise DataError(
            f"{table.path}: {len(missing)} training images have no row, first {first}; "
            "expected one row for each"
        )
    return rows


def _check_index(table: Table, column: str, images: Ints, index: Ints) -> None:
    numbers = _numbers(table, INDEX)
    wrong = np.flatnonzero((images >= 0) & (index[images] != numbers))
    if len(wrong):
        row = int(wrong[0])
        raise table.error(
            row,
            f" gives the index {numbers[row]} to {shown(table[column][row])}, which is image "
            f"{index[images[row]]} of the data set; leave out the column 'index', or give the data "
            "set that the table is of",
        )


def _numbers(table: Table, column: str) -> Ints:
    """Int64, the values of a column of whole numbers."""
    values = table[column]
    for row, value in enumerate(values):
        # More digits than an int64 is sure to hold are no index.
        if not (value.isascii() and value.isdigit() and len(value) < 19):
            raise table.error(
                row, f", column '{column}', has {shown(value)}; expected a whole number from 0"
            )
    return np.fromiter(map(int, values), np.int64, len(values))


def _looked_up(values: Sequence[str], places: Mapping[str, int]) -> Ints:
    """Int64, the place of each value; -1 where it has none."""
    return np.fromiter((places.get(value, -1) for value in values), np.int64, len(values))


def _classes(table: Table, column: str, class_names: list[str]) -> Ints:
    """Int64, the classes that a column names, in the order of its rows."""
    values = table[column]
    labels = _looked_up(values, {name: label for label, name in enumerate(class_names)})
    if (labels < 0).all():
        numbers = {str(label): label for label in range(len(class_names))}
        numbered = _looked_up(values, numbers)
        # The row at fault is that which is no number where most are.
        labels = numbered if (numbered >= 0).any() else labels
    unknown = np.flatnonzero(labels < 0)
    if len(unknown):
        row = int(unknown[0])
        some = ", ".join(map(shown, class_names[:12])) + (", ..." if len(class_names) > 12 else "")
        raise table.error(
            row,
            f", column {shown(column)}, names the class {shown(values[row])}; expected one of "
            f"{some}, or in all rows a class number from 0 to {len(class_names) - 1}",
        )
    return labels


def _check_own(
    table: Table, column: str, class_names: list[str], true: Ints, own: Ints, rows: Ints
) -> None:
    wrong = np.flatnonzero(true[rows] != own)
    if not len(wrong):
        return
    image = wrong[np.argmin(rows[wrong])]
    row = int(rows[image])
    raise table.error(
        row,
        f" has {shown(table[column][row])} in column {shown(column)}, where the data set itself "
        f"has {shown(class_names[own[image]])}; {len(wrong)} of {len(rows)} rows differ so: the "
        "table is of another order of the images, or of another data set",
    )
