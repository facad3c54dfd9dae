"""Label tables: given and true labels of a data set's images, by file name or by index."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tdctl.catalogue import samples_of
from tdctl.config import DataConfig
from tdctl.errors import DataError
from tdctl.labels import Labels
from tdctl.names import trimmed
from tdctl.sources.listing import Skipped
from tdctl.sources.tables.classes import classes_of, looked_up
from tdctl.sources.tables.columns import BROKEN, CONTROL, Table, flags_of, read_table, shown
from tdctl.sources.tables.paths import Known, locate
from tdctl.sources.tables.rows import Sieve

__all__ = ["ACTION", "ACTIONS", "TableLabels", "labels_from_table", "read_labels"]

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
INDEX = "index"
# A table of ``tdctl clean`` has this column. Images without a row there were dropped.
ACTION, ACTIONS = "action", frozenset({"keep", "relabel"})
# The end of a whole number in a column that is kept as floats, as pandas does with gaps.
WHOLE = re.compile(r"(?<=\d)\.0*$")
# A table with these columns is a ranking.
RANKING = {"suspicion", "rank"}


@dataclass(frozen=True)
class TableLabels:
    """The labels that a table gives to the n images of a data set.

    Attributes:
        labels: the labels of the images that have a row with a label, in the order of the images.
        kept: bool [n], True for these images. The others are left out.
        skipped: the rows and images that were left out at the user's request.
        notes: what the user should know, one line each.
    """

    labels: Labels
    kept: Bools
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()


def labels_from_table(
    config: DataConfig,
    names: list[str] | None,
    index: Ints,
    class_names: list[str],
    own: Ints | None,
) -> Labels:
    """The labels of all n images. As ``read_labels``, but every image must have a label.

    Raises:
        DataError: as ``read_labels``; or an image has no row or no label.
    """
    return read_labels(config, names, index, class_names, own, every=True).labels


def read_labels(
    config: DataConfig,
    names: list[str] | None,
    index: Ints,
    class_names: list[str],
    own: Ints | None,
    *,
    tested: int = 0,
    every: bool = False,
) -> TableLabels:
    """The labels of the n images, in their order, from the table ``config.labels``.

    If the images have names and the column ``config.file_column`` is filled, rows are joined to
    images by name; ``locate`` says which forms are understood. Otherwise they are joined by the
    column ``index``. If both columns exist, they must agree. Each image has one row. Rows for other
    images are ignored with ``limit`` or ``skip_unreadable``; without these they are an error. A
    label column holds class names. If none of its values is a class name, it holds class numbers
    in [0, k).

    Images without a row are left out if the table has a column ``action`` of ``keep`` and
    ``relabel``, as ``tdctl clean`` writes it. With ``skip_unreadable``, images without a row or
    without a label are left out as well, and listed.

    Args:
        config: names the table, its columns, and what may be left out.
        names: n file names relative to the data folder, with ``/``; or None.
        index: int64 [n], the images' positions in the source data set.
        class_names: k different names.
        own: int64 [n] in [0, k), the data set's own labels, if they are known to be right.
        tested: the number of images at the end of the list that were held out as the test set.
        every: leave out no image, whatever the settings say.

    Returns:
        Labels whose ``assigned`` is the column ``config.label_column``. ``true`` is ``own``, if it
        is given; then ``config.true_column`` must have the same labels. Without ``own``, ``true``
        is ``config.true_column``, or ``assigned`` if there is no such column.

    Raises:
        DataError: the table is not readable, a column is missing, a row names an unknown image or
            class, two rows of one image differ, an image has no row, or the column of true labels
            differs from ``own``.
    """
    columns = [config.label_column]
    columns += [config.true_column] if config.true_column is not None else []
    wanted = [config.file_column, INDEX, *columns, ACTION]
    table = read_table(config.labels or Path(), wanted, flags_of(config))
    skip, kind = config.skip_unreadable and not every, samples_of(config.dataset)
    sieve = Sieve(table, skip)
    codes = [classes_of(table, column, class_names, sieve) for column in columns]
    images, called, notes = _images(config, table, names, index, sieve)
    sieve.merge(images.tolist(), called, [*columns, INDEX])
    if called is not table.columns.get(INDEX) and table.filled(INDEX):
        _check_index(table, called, images, index)
    rows = _row_of_each(images, sieve.kept, len(index))
    missing = np.flatnonzero(rows < 0)
    listed = sieve.skipped(called, None, np.where(images < 0, -1, index[images]).tolist())
    notes += sieve.note(listed)
    if len(missing) and not every and _says_what_became(table):
        notes += (f"{table.path}: {len(missing)} {kind} have no row there and are left out",)
    elif len(missing) and skip:
        listed += _without_row(table, missing, listed, names, index, tested)
        notes += (f"{table.path}: {len(missing)} {kind} have no label there and are left out",)
    elif len(missing):
        raise _missing(table, missing, names, index, tested, kind)
    kept = rows >= 0
    if not kept.any():
        raise DataError(
            f"{table.path}: no {kind[:-1]} has a label there; expected one row for each"
        )
    rows, given = rows[kept], codes[0]
    if own is None:
        labels = Labels(index[kept], given[rows], codes[-1][rows])
    else:
        if config.true_column is not None:
            _check_own(table, config.true_column, class_names, codes[1], own[kept], rows)
        labels = Labels(index[kept], given[rows], own[kept])
    return TableLabels(labels, kept, listed, notes)


def _images(
    config: DataConfig, table: Table, names: list[str] | None, index: Ints, sieve: Sieve
) -> tuple[Ints, list[str], tuple[str, ...]]:
    """The image of each row, or -1; the name of each row in the table; and notes."""
    notes: tuple[str, ...] = ()
    if names is not None and table.filled(config.file_column):
        column = config.file_column
        called = table[column]
        found = locate(called, Known(names).find, config.root, column)
        sieve.refuse(found.wrong)
        images = looked_up(found.names, {name: row for row, name in enumerate(names)})
        what = f"names such as {shown(names[0])}" if names else "none"
        if found.otherwise:
            first = found.otherwise[0]
            notes = (
                f"{table.path}: {len(found.otherwise)} names are written otherwise than the images "
                f"are named, first {shown(called[first])}, read as {shown(found.names[first])}",
            )
    else:
        # If there is no index column either, the error should be about the column of names.
        column = INDEX if names is None or INDEX in table.columns else config.file_column
        numbers = _numbers(table, column)
        called = table[column]
        order = np.argsort(index, kind="stable")
        at = order[np.minimum(np.searchsorted(index, numbers, sorter=order), len(order) - 1)]
        images = np.where(index[at] == numbers, at, -1)
        what = f"an index from {index.min()} to {index.max()}"
    others = np.flatnonzero((images < 0) & sieve.kept)
    if len(others) and not (config.limit or config.skip_unreadable):
        row = int(others[0])
        broken = f"; it {BROKEN}" if CONTROL.search(called[row]) else f"; expected {what}"
        many = f" ({len(others)} of {len(called)} rows)" if len(others) > 1 else ""
        raise table.error(
            row,
            f" names {shown(called[row])}, which is not a training "
            f"{samples_of(config.dataset)[:-1]} of the data set"
            f"{many}{broken}",
        )
    # Rows for other images are ignored; they are not errors here.
    sieve.kept[others] = False
    return images, called, notes


def _row_of_each(images: Ints, kept: Bools, count: int) -> Ints:
    """The row of each image, int64 [n]; -1 for an image without a row."""
    rows = np.full(count, -1, dtype=np.int64)
    ours = np.flatnonzero((images >= 0) & kept)
    rows[images[ours]] = ours
    return rows


def _says_what_became(table: Table) -> bool:
    """Whether ``tdctl clean`` wrote the table. Then dropped images have no row."""
    return ACTION in table.columns and set(table.columns[ACTION]) <= ACTIONS


def _without_row(
    table: Table,
    missing: Ints,
    listed: Sequence[Skipped],
    names: list[str] | None,
    index: Ints,
    tested: int,
) -> tuple[Skipped, ...]:
    """The images without any row. Images with a faulty row are listed already."""
    told = {one.index for one in listed}
    return tuple(
        Skipped(
            index=int(index[row]),
            file_name="" if names is None else names[row],
            split="train" if row < len(index) - tested else "test",
            reason=f"no row in {table.path.name}",
        )
        for row in missing.tolist()
        if int(index[row]) not in told
    )


def _missing(
    table: Table,
    missing: Ints,
    names: list[str] | None,
    index: Ints,
    tested: int,
    samples: str,
) -> DataError:
    """The error for images, or vectors, without a row."""
    first = missing[0]
    name = str(index[first]) if names is None else shown(names[first])
    held = int((missing >= len(index) - tested).sum())
    kind = "held out as test set" if held == len(missing) else "training"
    many = f"{len(missing)} {'training ' if kind == 'training' else ''}{samples} have no row"
    then = "expected one row for each; --skip-unreadable leaves them out"
    if set(map(trimmed, table.header)) >= RANKING:
        then = (
            "a ranking has no row of images that were held out as test set; tdctl clean --out "
            "writes a table of all images, or give the labels of all"
        )
    elif kind != "training":
        then = "they are held out as test set; give them rows, or leave them out with " + (
            "--skip-unreadable"
        )
    return DataError(f"{table.path}: {many}, first {name}; {then}")


def _check_index(table: Table, called: Sequence[str], images: Ints, index: Ints) -> None:
    numbers = _numbers(table, INDEX)
    wrong = np.flatnonzero((images >= 0) & (index[images] != numbers))
    if len(wrong):
        row = int(wrong[0])
        raise table.error(
            row,
            f" gives the index {numbers[row]} to {shown(called[row])}, which is image "
            f"{index[images[row]]} of the data set; leave out the column 'index', or give the data "
            "set that the table is of",
        )


def _numbers(table: Table, column: str) -> Ints:
    """The values of a column of whole numbers, int64 [n]."""
    values = table[column]
    whole = [WHOLE.sub("", value) for value in values]
    for row, value in enumerate(whole):
        # An int64 may not hold 19 digits or more, so such a value is not an index.
        if not (value.isascii() and value.isdigit() and len(value) < 19):
            raise table.error(
                row,
                f", column '{column}', has {shown(values[row])}; expected a whole number from 0",
            )
    return np.fromiter(map(int, whole), np.int64, len(whole))


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
