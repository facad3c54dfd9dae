"""Data sets that are given as a table of file names, labels and splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tdctl.config import DataConfig
from tdctl.errors import DataError
from tdctl.labels import Labels, held_out_for_test
from tdctl.names import split_of
from tdctl.sources.encoded import Files
from tdctl.sources.listing import Listing
from tdctl.sources.tables.advice import advice
from tdctl.sources.tables.columns import BROKEN, CONTROL, Table, flags_of, read_table, shown
from tdctl.sources.tables.headers import SPLIT_FLAG, alike
from tdctl.sources.tables.paths import Disk, MatchedFiles, locate
from tdctl.sources.tables.rows import SKIPS, Sieve

__all__ = ["class_names_of", "list_table"]

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def list_table(config: DataConfig, split_seed: int) -> Listing:
    """The images, labels and splits of the table ``config.labels``.

    The columns of the table are:

    - ``config.file_column``: the path of the image, relative to ``config.data_dir``, or to the
      table's own folder if ``data_dir`` is not set. ``locate`` says which forms are understood.
    - ``config.label_column``: the given label, a class name.
    - ``config.true_column``: the true label, if it is known.
    - ``config.split_column``: train, val or test. If no row is test, the val rows are the test
      set. Otherwise the val rows are held out for validation.

    Without a split column, the share ``config.test_share`` becomes the test set. It is stratified
    by true label if this is known. So two tables that differ only in their given labels have the
    same split. No class loses its last training image.

    ``index`` is the position in the table, for training and test images alike. Rows that are left
    out leave a gap: those that ``config.skip_unreadable`` skips, and those that repeat another row.
    Classes are sorted by name, or by value if all are whole numbers. ``limit`` takes images by
    file name.

    Args:
        config: names the table, its columns and the folder of the images.
        split_seed: seed of the held-out test set.

    Returns:
        The listing of the training and test images.

    Raises:
        DataError: the table is not readable or lacks a column; or a row has no class or no valid
            split, repeats a file, or names no file or a missing one.
    """
    path, root = config.labels or Path(), config.root
    label_columns = [config.label_column]
    label_columns += [config.true_column] if config.true_column is not None else []
    wanted = [config.file_column, *label_columns, config.split_column]
    table = read_table(path, wanted, flags_of(config))
    written = table[config.file_column]
    texts = [table.labels(column) for column in label_columns]
    sieve = Sieve(table, config.skip_unreadable)
    found = _located(config, table, sieve)
    for column, values in zip(label_columns, texts, strict=True):
        empty = f", column {shown(column)}, is empty; expected a class name"
        sieve.refuse({row: empty for row, value in enumerate(values) if not value})
        table.check_readable(column, values)
    splits = _splits(config, table, sieve)
    sieve.merge(found.names, written, [*label_columns, config.split_column])
    rows = np.flatnonzero(sieve.kept)
    class_names = class_names_of({value for values in texts for value in _at(values, rows)})
    label_of = {name: label for label, name in enumerate(class_names)}
    codes = [
        np.fromiter(map(label_of.__getitem__, _at(values, rows)), np.int64, len(rows))
        for values in texts
    ]
    labels = Labels(rows, codes[0], codes[-1])
    names = _at(found.names, rows)
    tested, held, notes = _split(config, table, splits, labels, split_seed)
    train, test = np.flatnonzero(~tested), np.flatnonzero(tested)
    ordered = [names[row] for row in np.concatenate([train, test])]
    skipped = sieve.skipped(written, table.columns.get(config.split_column))
    return Listing(
        name="table",
        class_names=class_names,
        labels=labels.take(train),
        test_index=rows[test],
        test_targets=labels.true[test],
        names=ordered,
        images=Files(root, ordered),
        first=_by_file_name([names[row] for row in train]),
        held=None if held is None else held[train],
        one_list=config.split_column not in table.columns,
        notes=(*notes, *_written_otherwise(table, written, found, sieve), *sieve.note(skipped)),
        skipped=skipped,
    )


def _at(values: Sequence[str], rows: Ints) -> list[str]:
    return [values[row] for row in rows.tolist()]


def _located(config: DataConfig, table: Table, sieve: Sieve) -> MatchedFiles:
    """The file of each row. Rows without a file are left out or refused."""
    root, names = config.root, table[config.file_column]
    if not root.is_dir():
        raise DataError(f"folder {root}: no such folder; expected the images of {table.path} in it")
    disk = Disk(root)
    found = locate(names, disk.find, root, config.file_column)
    sieve.refuse(found.wrong)
    missing = found.missing
    if not missing:
        return found
    skip = config.skip_unreadable
    if not skip or len(missing) + len(found.wrong) == len(names):
        first = missing[0]
        count = f"({len(missing)} of {len(names)} are not there)"
        hint = advice(names, missing, disk, root, "" if skip else SKIPS.replace("; ", ", or "))
        if CONTROL.search(names[first]):
            hint = f"it {BROKEN}"
        raise table.error(
            first, f" names {shown(names[first])}, which is no file in {root} {count}; {hint}"
        )
    sieve.refuse({row: f" names {shown(names[row])}, which is no file" for row in missing})
    return found


def _written_otherwise(
    table: Table, written: Sequence[str], found: MatchedFiles, sieve: Sieve
) -> tuple[str, ...]:
    rows = [row for row in found.otherwise if sieve.kept[row]]
    if not rows:
        return ()
    first = rows[0]
    return (
        f"{table.path}: {len(rows)} names are written otherwise than their files are named, first "
        f"{shown(written[first])}, read as {shown(found.names[first])}",
    )


def class_names_of(found: set[str]) -> list[str]:
    """The classes in order: by name, or by value if all are whole numbers."""
    if all(name.isascii() and name.isdigit() for name in found):
        # Sort by value, so that 2 comes before 10. This works for any number of digits.
        return sorted(found, key=lambda name: (len(name.lstrip("0")), name.lstrip("0"), name))
    return sorted(found)


def _splits(config: DataConfig, table: Table, sieve: Sieve) -> list[str | None] | None:
    """The split of each row; None if the table has no split column."""
    column = config.split_column
    if column not in table.columns and column == type(config).model_fields["split_column"].default:
        return None
    values = table[column]
    kinds = {value: split_of(value) for value in set(values)}
    said = "expected train, val or test"
    unknown = {
        row: f", column {shown(column)}, has {shown(value)}; {said}"
        for row, value in enumerate(values)
        if kinds[value] is None
    }
    empty = {row: why for row, why in unknown.items() if not values[row].strip()}
    sieve.refuse({row: why for row, why in unknown.items() if row not in empty}, skippable=False)
    sieve.refuse(empty)
    return [kinds[value] for value in values]


def _split(
    config: DataConfig, table: Table, splits: Sequence[str | None] | None, labels: Labels, seed: int
) -> tuple[Bools, Bools | None, tuple[str, ...]]:
    """The rows of the test set, the rows held out for validation, and notes about the split."""
    column = shown(config.split_column)
    if splits is None:
        tested = held_out_for_test(labels.true, config.test_share, seed)
        meant = alike(table.header, SPLIT_FLAG, config.split_column)
        perhaps = f", --split-column {meant} takes that of the table" if meant else ""
        if tested.any():
            note = (
                f"no column {column}: {tested.sum()} images are held out as test set with the "
                f"labels they have, and are not ranked; --test-share 0 ranks all{perhaps}"
            )
            return tested, None, (note,)
        return tested, None, (f"no column {column}{perhaps}",) if perhaps else ()
    kind = np.array([splits[row] for row in labels.index.tolist()], dtype=object)
    trained, tested, held = (kind == name for name in ("train", "test", "val"))
    if not trained.any():
        raise DataError(
            f"{table.path}: column {column} has 'train' in no row; expected training images"
        )
    if tested.any():
        return tested, held if held.any() else None, ()
    notes = ("no row is of the split test: those of val are the test set",)
    if not held.any():
        notes = (f"column {column} has no row of test or val: there is no test set",)
    return held, None, notes


def _by_file_name(names: list[str]) -> Ints:
    # Strings compare faster than pairs. No file name contains a zero byte.
    keys = [f"{name.rpartition('/')[2]}\0{name}" for name in names]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
