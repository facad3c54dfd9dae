"""Writes CSV files that can be read back, whatever characters the names in them have."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal

import pandas as pd

from tdctl.files import atomic_path

__all__ = ["write_csv"]


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Writes a table without its row numbers, the whole file or nothing."""
    with atomic_path(path) as part:
        table.to_csv(part, index=False, quoting=_quoting(table))


def _quoting(table: pd.DataFrame) -> Literal[0, 2]:
    """The quoting for a table: all texts are quoted if one has a carriage return.

    A file name may contain one. Python 3.11 would write it without quotes, and a reader would take
    it for the end of the line.
    """
    texts = table.select_dtypes(exclude=["number", "bool"])
    for name in texts:
        column = texts[name]
        values = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
        if any("\r" in value for value in values if isinstance(value, str)):
            return csv.QUOTE_NONNUMERIC
    return csv.QUOTE_MINIMAL
