"""The data set ``embeddings``: vectors from a file, and labels from a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tdctl.config import DataConfig
from tdctl.errors import DataError
from tdctl.labels import Labels
from tdctl.sources.listing import Listing, Skipped, spread_over_classes
from tdctl.sources.tables.classes import classes_of
from tdctl.sources.tables.columns import Table, flags_of, read_table
from tdctl.sources.tables.listed import class_names_of
from tdctl.sources.tables.relabelling import INDEX, read_labels
from tdctl.sources.tables.rows import Sieve
from tdctl.sources.vector_files import VectorRows, read_vectors

__all__ = ["list_embeddings"]


def list_embeddings(config: DataConfig, split_seed: int = 0) -> Listing:
    """The vectors of ``config.data_dir``, with the labels of the table ``config.labels``.

    A row of the table belongs to a vector by its name, if a Parquet file of vectors has the column
    ``config.file_column``. Otherwise it belongs by the column ``index``: the position in the file
    of vectors, or what that file has as ``index``. A table without that column and without names
    has one row for each vector, in their order.

    Raises:
        DataError: a file is missing or malformed, or the table does not fit the vectors.
    """
    found = read_vectors(config.root, config.file_column)
    n, names = len(found.values), found.names
    index = np.arange(n, dtype=np.int64) if found.index is None else found.index
    columns = [config.label_column]
    columns += [config.true_column] if config.true_column is not None else []
    table = read_table(
        config.labels or Path(), [config.file_column, INDEX, *columns], flags_of(config)
    )
    classes = class_names_of({text for column in columns for text in table.labels(column) if text})
    joined = INDEX in table.columns or (names is not None and table.filled(config.file_column))
    if not joined and len(table) == n and names is None and found.index is None:
        labels = _in_order(table, columns, classes, index)
        kept = np.ones(n, dtype=np.bool_)
        notes: tuple[str, ...] = (
            f"{table.path.name}: its rows label the vectors of {found.path.name} in their order"
            + (
                f"; its column '{config.file_column}' is not used: the vectors have no names"
                if table.filled(config.file_column)
                else ""
            ),
        )
        skipped: tuple[Skipped, ...] = ()
    else:
        if not joined:
            named = names is not None
            what = f"the names of {found.path.name}" if named else f"{n} rows as {found.path.name}"
            column = config.file_column if named else INDEX
            raise DataError(
                f"{table.path}: {len(table)} rows and no column '{column}'; expected {what}"
                + ("" if named else f", or the column '{INDEX}' that says which row each labels")
            )
        if names is None and len(table) != n and not (config.limit or config.skip_unreadable):
            raise DataError(
                f"{table.path}: {len(table)} rows for the {n} of {found.path.name}; expected one "
                "each; --skip-unreadable leaves out vectors without a label"
            )
        got = read_labels(config, names, index, classes, None)
        labels, kept, notes, skipped = got.labels, got.kept, got.notes, got.skipped
    rows = np.flatnonzero(kept)
    return Listing(
        name="embeddings",
        class_names=classes,
        labels=labels,
        test_index=np.zeros(0, dtype=np.int64),
        test_targets=np.zeros(0, dtype=np.int64),
        names=None if names is None else [names[row] for row in rows],
        images=VectorRows(found.values, rows, found.path),
        first=spread_over_classes(labels.assigned),
        notes=notes,
        skipped=skipped,
    )


def _in_order(
    table: Table, columns: list[str], classes: list[str], index: NDArray[np.int64]
) -> Labels:
    """The labels of a table that has one row for each vector, in their order."""
    sieve = Sieve(table, False)
    codes = [classes_of(table, column, classes, sieve) for column in columns]
    return Labels(index, codes[0], codes[-1])
