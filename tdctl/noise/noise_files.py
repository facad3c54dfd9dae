"""Reads small text tables with commas or tabs, row by row with line numbers."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from tdctl.errors import DataError
from tdctl.names import normal

__all__ = ["Row", "read_rows"]

Row = tuple[int, list[str]]


def read_rows(path: Path, setting: str) -> list[Row]:
    """The rows of a table that are not empty, each with its line number, counted from 1.

    Tabs separate the values if the first line has a tab, and commas otherwise. Quotes work as in
    CSV. Values are kept as they are, in Unicode's normal form C.

    Args:
        path: the file.
        setting: the option that names the file, for messages.

    Raises:
        DataError: the file is missing, is not UTF-8 text, or is not such a table.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise DataError(f"{path}: {reason}; give --{setting} an existing table") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.start + 1} is not UTF-8; save the table as UTF-8 text"
        ) from None
    first = next((line for line in io.StringIO(text) if line.strip()), "")
    if not first:
        raise DataError(f"{path}: is empty; expected a table for --{setting}")
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter="\t" if "\t" in first else ",", strict=True
    )
    rows: list[Row] = []
    try:
        for values in reader:
            if any(value.strip() for value in values):
                rows.append((reader.line_num, [normal(value) for value in values]))
    except csv.Error as error:
        raise DataError(
            f"{path}: line {reader.line_num} is no line of a table ({error}); expected values "
            "separated by commas or tabs"
        ) from None
    return rows
