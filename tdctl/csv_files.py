"""CSV files that are read back, whatever the names in them hold."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal

import pandas as pd

from tdctl.files import atomic_path

__all__ = ["write_csv"]


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Writes a table without its row numbers, whole or not at all."""
    with atomic_path(path) as part:
        table.to_csv(part, index=False, quoting=_quoting(table))


def _quoting(table: pd.DataFrame) -> Literal[0, 2]:
    """All texts in quotes where one holds a carriage return: Python 3.11 leaves that one bare.

    A name of a file may hold one, and would end its line for whoever reads the table.
    """
    texts = table.select_dtypes(exclude=["number", "bool"])
    for name in texts:
        column = texts[name]
        values = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
        if any("\r" in value for value in values if isinstance(value, str)):
            return csv.QUOTE_NONNUMERIC
    return csv.QUOTE_MINIMAL
