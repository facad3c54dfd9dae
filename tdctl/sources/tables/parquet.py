"""Reads tables in Parquet files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tdctl.errors import DataError
from tdctl.sources.tables.headers import Read, one_line, places_of, shown

__all__ = ["read_parquet"]


def read_parquet(path: Path, wanted: Sequence[str]) -> Read:
    """The wanted columns that exist. A missing value becomes an empty string.

    Raises:
        DataError: pyarrow is not installed, the file is not a Parquet table or has no rows, or a
            wanted column holds other values than strings and whole numbers.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise DataError(
            f"{path}: Parquet needs pyarrow, which is not installed; pip install 'tdctl[parquet]'"
        ) from None
    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            header = list(file.schema_arrow.names)
            places = places_of(path, header, wanted)
            found = file.read(columns=[header[place] for place in places.values()])
            found.validate(full=True)
    except pyarrow.ArrowException as error:
        raise DataError(
            f"{path}: not a Parquet table ({one_line(str(error))}); write it again"
        ) from None
    if not found.num_rows:
        raise DataError(f"{path}: the table has no rows; expected one row an image")
    columns = {
        name: _strings(path, name, found.column(header[place])) for name, place in places.items()
    }
    return Read(header, [], columns, None)


def _strings(path: Path, name: str, column: Any) -> list[str]:
    from pyarrow import types

    plain = column.type.value_type if types.is_dictionary(column.type) else column.type
    text = types.is_string(plain) or types.is_large_string(plain) or types.is_string_view(plain)
    values = column.to_pylist()
    if types.is_floating(plain) and (whole := _whole(values)) is not None:
        return whole
    if not (text or types.is_integer(plain) or types.is_null(plain)):
        raise DataError(
            f"{path}: column {shown(name)} holds values of the type {plain}; expected strings or "
            "whole numbers: write the column as strings"
        )
    return ["" if value is None else str(value) for value in values]


def _whole(values: list[float | None]) -> list[str] | None:
    """Floating-point values as whole numbers; None if one of them is no whole number.

    pandas turns whole numbers into floating-point numbers if one value is missing.
    """
    found = []
    for value in values:
        if value is None or math.isnan(value):
            found.append("")
        elif float(value).is_integer():
            found.append(str(int(value)))
        else:
            return None
    return found
