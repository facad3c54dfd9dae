"""Tables of the user's, as columns of strings: CSV, TSV and Parquet."""

from __future__ import annotations

import csv
import io
import itertools
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tdctl.errors import DataError

__all__ = ["Table", "read_table", "shown"]

# Line and paragraph separators too: a message that quotes a value stays one line.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
LONGEST = 80


@dataclass(frozen=True)
class Table:
    """Columns of a table; the first row below the header is row 0.

    Attributes:
        path: where it was read.
        header: the names of all its columns.
        columns: the values of those that were asked for and are there, as many strings each.
        lines: the line on which each row begins, from 1; None where the file has no lines.
    """

    path: Path
    header: list[str]
    columns: dict[str, list[str]]
    lines: Sequence[int] | None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, column: str) -> list[str]:
        """The values of a column.

        Raises:
            DataError: it is not there.
        """
        if column not in self.columns:
            raise DataError(f"{self.path}: no column {shown(column)}; it has {_list(self.header)}")
        return self.columns[column]

    def filled(self, column: str) -> bool:
        """Whether a column is there and holds at least one value."""
        return any(self.columns.get(column, ()))

    def at(self, row: int) -> str:
        """What a message calls a row."""
        return f"row {row} (from 0)" if self.lines is None else f"line {self.lines[row]}"

    def error(self, row: int, text: str) -> DataError:
        """An error that begins with the file and the row."""
        return DataError(f"{self.path}: {self.at(row)}{text}")

    def check_each_once(self, column: str, keys: Sequence[str | int]) -> None:
        """Refuse a column that names an image twice, going by ``keys``, one a row.

        Raises:
            DataError: names the row that repeats, and the one before.
        """
        if len(set(keys)) == len(keys):
            return
        seen: dict[str | int, int] = {}
        for row, key in enumerate(keys):
            if seen.setdefault(key, row) != row:
                raise self.error(
                    row,
                    f" names {shown(self[column][row])} a second time, after "
                    f"{self.at(seen[key])}; expected one row an image",
                )


def read_table(path: Path, columns: Iterable[str]) -> Table:
    """The named columns of a table, as far as it has them, every value as a string.

    ``.parquet`` and ``.pq`` are read as Parquet, ``.tsv`` and ``.tab`` as separated by tabs,
    everything else as CSV (by tabs where its first line has tabs and no comma), in UTF-8 with or
    without a byte-order mark. No value is read as missing: "NA" and "null" are fine names for a
    class. Blank lines are passed over.

    Raises:
        DataError: the file cannot be read, is no such table, has no rows or a column twice; a row
            has more or fewer values than the header; a value of the columns is missing or holds a
            control character.
    """
    wanted = list(dict.fromkeys(columns))
    parquet = path.suffix.lower() in {".parquet", ".pq"}
    try:
        table = _read_parquet(path, wanted) if parquet else _read_text(path, wanted)
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such label table; give an existing CSV, TSV or Parquet file"
        ) from None
    except OSError as error:
        why = _one_line(error.strerror or str(error))
        raise DataError(
            f"{path}: the table cannot be read ({why}); give a CSV, TSV or Parquet file"
        ) from None
    for name, values in table.columns.items():
        # One search of all: a million small ones take a second.
        if CONTROL.search("".join(values)):
            row = next(row for row, value in enumerate(values) if CONTROL.search(value))
            raise table.error(
                row,
                f", column {shown(name)}: {shown(values[row])} holds a line break or another "
                "control character; mend the value, or the quotes around it",
            )
    return table


def shown(value: str) -> str:
    """A value as a message quotes it: on one line, and not too long."""
    return repr(value if len(value) <= LONGEST else value[: LONGEST - 3] + "...")


def _one_line(message: str) -> str:
    """What another library says of a file, which may quote bytes of it."""
    line = " ".join(message.split())[:200]
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def _list(names: Sequence[str]) -> str:
    plain = [name if name.strip() == name and name.isprintable() else repr(name) for name in names]
    short = [name if len(name) <= LONGEST else name[: LONGEST - 3] + "..." for name in plain[:12]]
    return ", ".join(short) + (", ..." if len(names) > 12 else "")


def _check_header(path: Path, header: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in header:
        if name in seen:
            raise DataError(
                f"{path}: the header names the column {shown(name)} twice; expected each once"
            )
        seen.add(name)


def _read_text(path: Path, wanted: list[str]) -> Table:
    text = _decoded(path)
    first = text.lstrip("\r\n").partition("\n")[0]
    tabs = path.suffix.lower() in {".tsv", ".tab"} or ("\t" in first and "," not in first)
    rows = _rows(path, text, "\t" if tabs else ",")
    _, header = next(rows, (0, []))
    if not header:
        raise DataError(f"{path}: the table is empty; expected a header and one row an image")
    places = {name: header.index(name) for name in wanted if name in header}
    values: dict[str, list[str]] = {name: [] for name in places}
    lines = array("q")
    # By small blocks, which are gone before the garbage collector goes through them: with all rows
    # kept it takes four times as long, and several times the memory of the columns.
    while block := list(itertools.islice(rows, 1 << 8)):
        lines.extend([line for line, _ in block])
        for name, place in places.items():
            values[name].extend([row[place] for _, row in block])
    if not lines:
        raise DataError(f"{path}: the table has a header and no rows; expected one row an image")
    return Table(path, header, values, lines)


def _rows(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The header and the rows, each with the line it begins on, all of one length."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    start, header = 1, None
    try:
        for row in reader:
            if header is None and row:
                _check_header(path, row)
                header = row
            if header is not None and row:
                if len(row) != len(header):
                    raise DataError(
                        f"{path}: line {start} has {len(row)} values; expected {len(header)}, "
                        f"as many as the header ({_list(header)})"
                    )
                yield start, row
            start = reader.line_num + 1
    except csv.Error as error:
        why = _one_line(str(error))
        raise DataError(
            f"{path}: line {start} is no row of a table ({why}); mend it, or its quotes"
        ) from None


def _decoded(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path}: the table is UTF-16 text; save it as UTF-8")
    if content.startswith(b"PAR1"):
        raise DataError(f"{path}: the table is Parquet; name the file with .parquet at its end")
    nul = content.find(b"\0")
    if nul >= 0:
        line = content.count(b"\n", 0, nul) + 1
        raise DataError(
            f"{path}: line {line} holds a zero byte, so this is no text; "
            "give a CSV, TSV or Parquet file"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # A byte-order mark is cut off before positions are counted.
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}: line {line} is not UTF-8 text (byte 0x{error.object[error.start]:02x}); "
            "save the table as UTF-8"
        ) from None


def _read_parquet(path: Path, wanted: list[str]) -> Table:
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
            _check_header(path, header)
            found = file.read(columns=[name for name in wanted if name in header])
            found.validate(full=True)
    except pyarrow.ArrowException as error:
        why = _one_line(str(error))
        raise DataError(f"{path}: not a Parquet table ({why}); write it again") from None
    if not found.num_rows:
        raise DataError(f"{path}: the table has no rows; expected one row an image")
    values = {name: _strings(path, name, found.column(name)) for name in found.column_names}
    return Table(path, header, values, None)


def _strings(path: Path, name: str, column: Any) -> list[str]:
    from pyarrow import types

    plain = column.type.value_type if types.is_dictionary(column.type) else column.type
    text = types.is_string(plain) or types.is_large_string(plain) or types.is_string_view(plain)
    if not (text or types.is_integer(plain) or types.is_null(plain)):
        raise DataError(
            f"{path}: column {shown(name)} holds values of the type {plain}; expected strings or "
            "whole numbers"
        )
    values: list[str | None] = column.to_pylist()
    if all(value is None for value in values):
        return [""] * len(values)
    if None in values:
        raise DataError(
            f"{path}: row {values.index(None)} (from 0), column {shown(name)}, has no value; "
            "expected one in each row"
        )
    return [str(value) for value in values]
