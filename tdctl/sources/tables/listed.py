"""Data sets that are a table: of file names, labels and splits."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tdctl.config import DataConfig
from tdctl.errors import DataError
from tdctl.labels import Labels, held_out_for_test
from tdctl.sources.encoded import Files
from tdctl.sources.listing import Listing
from tdctl.sources.tables.columns import Table, read_table, shown

__all__ = ["list_table"]

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
SPLITS = {"train": 0, "val": 1, "valid": 1, "validation": 1, "test": 2}
TRAIN, VAL, TEST = range(3)
# An empty, '.' or '..' part, as in /a, a//b, ./a and ../a; or a backslash.
NO_PATH = re.compile(r"(?:^|/)\.{0,2}(?:/|$)|\\")


def list_table(config: DataConfig, split_seed: int) -> Listing:
    """The images, labels and splits that the table ``config.labels`` names.

    ``config.file_column`` has paths with ``/`` below ``config.data_dir`` (below the table's own
    folder where that is not set), ``config.label_column`` class names, ``config.true_column`` the
    right ones where they are known, ``config.split_column`` train, val or test. Without rows of
    test, those of val are the test set; with them, those of val are held out for validation.
    Without that column ``config.test_share`` is held out as test set, stratified by true label
    where it is known, so that a table of other given labels is split alike; no class loses its
    last image so.

    ``index`` is the position in the table, for training and test images alike. Classes are sorted
    by name, or by value where all are whole numbers. ``limit`` takes images by file name.

    Args:
        config: names the table, its columns and the folder of the images.
        split_seed: of the test set that is held out.

    Raises:
        DataError: the table is not readable, lacks a column, or has a row that names no class, no
            split, a file twice, none, or one that is not there.
    """
    path, root = config.labels or Path(), config.root
    label_columns = [config.label_column]
    label_columns += [config.true_column] if config.true_column is not None else []
    table = read_table(path, [config.file_column, *label_columns, config.split_column])
    names = _file_names(table, config.file_column, root)
    class_names = _class_names(table, label_columns)
    label_of = {name: label for label, name in enumerate(class_names)}
    codes = [
        np.fromiter(map(label_of.__getitem__, table[column]), np.int64, len(table))
        for column in label_columns
    ]
    labels = Labels(np.arange(len(table), dtype=np.int64), codes[0], codes[-1])
    tested, held, notes = _split(config, table, labels.true, split_seed)
    train, test = np.flatnonzero(~tested), np.flatnonzero(tested)
    return Listing(
        name="table",
        class_names=class_names,
        labels=labels.take(train),
        test_index=test,
        test_targets=labels.true[test],
        names=[names[row] for row in np.concatenate([train, test])],
        images=Files(root, [names[row] for row in np.concatenate([train, test])]),
        first=_by_file_name([names[row] for row in train]),
        held=None if held is None else held[train],
        one_list=config.split_column not in table.columns,
        notes=notes,
    )


def _file_names(table: Table, column: str, root: Path) -> list[str]:
    names = table[column]
    for row, name in enumerate(names):
        if NO_PATH.search(name):
            raise table.error(row, f", column {shown(column)}, {_no_path(name, root)}")
    table.check_each_once(column, names)
    if not root.is_dir():
        raise DataError(f"folder {root}: no such folder; expected the images of {table.path} in it")
    missing = _without_file(root, names)
    if missing:
        name = names[missing[0]]
        hint = "give the folder that the names are relative to as --data-dir"
        if name != name.strip():
            hint = "the name has a blank at an end, which counts; remove it if it is too much"
        raise table.error(
            missing[0],
            f" names {shown(name)}, which is no file in {root} ({len(missing)} of {len(names)} "
            f"are not there); {hint}",
        )
    return names


def _no_path(name: str, root: Path) -> str:
    if not name:
        return "is empty; expected the name of an image"
    if "\\" in name:
        return f"has a backslash in {shown(name)}; write '/' between folders and file"
    if name.startswith("/"):
        return f"has the absolute path {shown(name)}; expected a path relative to {root}"
    if ".." in name.split("/"):
        return f"has {shown(name)}, which leads out of a folder; expected a path below {root}"
    return f"has {shown(name)}; expected a plain path such as 'folder/image.jpg', without './'"


def _without_file(root: Path, names: list[str]) -> list[int]:
    """The positions of names that are no file below a folder, each folder listed once."""
    folders: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        folders.setdefault(name.rpartition("/")[0], []).append(row)
    missing: list[int] = []
    for folder, rows in folders.items():
        there = _files_in(root / folder)
        missing += [row for row in rows if names[row].rpartition("/")[2] not in there]
    return sorted(missing)


def _files_in(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {
                entry.name
                for entry in entries
                # A link costs a look at what it leads to, other entries cost none.
                if entry.is_file(follow_symlinks=False)
                or (entry.is_symlink() and Path(entry.path).is_file())
            }
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}:
            return set()
        raise DataError(
            f"folder {folder}: cannot be listed ({error.strerror}); the table names images in it"
        ) from None


def _class_names(table: Table, columns: Iterable[str]) -> list[str]:
    found: set[str] = set()
    for column in columns:
        names = set(table[column])
        wrong = [name for name in names if not name or name != name.strip()]
        if wrong:
            row = min(table[column].index(name) for name in wrong)
            label = table[column][row]
            what = f"has a blank at an end of {shown(label)}; remove it" if label else "is empty"
            raise table.error(row, f", column {shown(column)}, {what}; expected a class name")
        found |= names
    if all(name.isascii() and name.isdigit() for name in found):
        # By value, without a limit to its digits: 2 before 10.
        return sorted(found, key=lambda name: (len(name.lstrip("0")), name.lstrip("0"), name))
    return sorted(found)


def _split(
    config: DataConfig, table: Table, true: Ints, seed: int
) -> tuple[Bools, Bools | None, tuple[str, ...]]:
    """Which rows are the test set, which are held out for validation, and what to say of it."""
    column = config.split_column
    if column not in table.columns and column == type(config).model_fields["split_column"].default:
        tested = held_out_for_test(true, config.test_share, seed)
        note = (
            f"no column {shown(column)}: {tested.sum()} images are held out as test set with the "
            "labels they have, and are not ranked; --test-share 0 ranks all"
        )
        return tested, None, (note,) if tested.any() else ()
    values = table[column]
    kinds = {value: SPLITS.get(value.lower(), -1) for value in set(values)}
    kind = np.fromiter(map(kinds.__getitem__, values), np.int64, len(values))
    unknown = np.flatnonzero(kind < 0)
    if len(unknown):
        row = int(unknown[0])
        raise table.error(
            row, f", column {shown(column)}, has {shown(values[row])}; expected train, val or test"
        )
    if not (kind == TRAIN).any():
        raise DataError(
            f"{table.path}: column {shown(column)} has 'train' in no row; expected training images"
        )
    if (kind == TEST).any():
        return kind == TEST, kind == VAL if (kind == VAL).any() else None, ()
    notes = ("no row is of the split test: those of val are the test set",)
    if not (kind == VAL).any():
        notes = (f"column {shown(column)} has no row of test or val: there is no test set",)
    return kind == VAL, None, notes


def _by_file_name(names: list[str]) -> Ints:
    # One string a name, which compares faster than a pair; no name holds a zero byte.
    keys = [f"{name.rpartition('/')[2]}\0{name}" for name in names]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
