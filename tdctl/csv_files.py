"""Writes CSV files that can be read back, whatever characters the names in them have."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from tdctl.cells import plain_cell, safe_cell
from tdctl.files import atomic_path

__all__ = ["read_csv", "write_csv"]


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Writes a table without its row numbers, the whole file or nothing.

    Texts are written as ``tdctl.cells.safe_cell`` has them; numbers stay numbers.
    """
    safe = _safe(table)
    with atomic_path(path) as part:
        safe.to_csv(part, index=False, quoting=_quoting(safe))


def read_csv(path: Path, texts: list[str]) -> pd.DataFrame:
    """A table that ``write_csv`` wrote, of which the columns ``texts`` are read as texts.

    Raises:
        OSError, ValueError: it cannot be read; pandas says why.
    """
    table = pd.read_csv(path, dtype=dict.fromkeys(texts, str), keep_default_na=False)
    there = [name for name in texts if name in table]
    return table.assign(**{name: table[name].map(plain_cell) for name in there})


def _safe(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its texts as safe cells."""
    changed: dict[str, Any] = {}
    for name in table.select_dtypes(exclude=["number", "bool"]):
        column = table[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            changed[str(name)] = column.cat.rename_categories(_cell)
        else:
            changed[str(name)] = column.map(_cell)
    return table.assign(**changed)


def _cell(value: object) -> object:
    return safe_cell(value) if isinstance(value, str) else value


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
