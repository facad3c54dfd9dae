"""Reads tables in text files: CSV and similar formats of spreadsheets and other tools."""

from __future__ import annotations

import csv
import io
import itertools
import re
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

from tdctl.cells import is_own, plain_cell
from tdctl.errors import DataError
from tdctl.names import trimmed
from tdctl.sources.tables.headers import Read, one_line, places_of, quoted_names

__all__ = ["read_text"]

SEPARATORS = ",\t;|"
# Longer marks come first, because a mark of UTF-32 begins with a mark of UTF-16.
MARKS = {
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
# The separator is guessed from this many characters and rows.
SAMPLE, ROWS = 1 << 16, 50
# The first line with which a spreadsheet may state its separator.
STATED = re.compile(r'(?:"?sep=(?P<mark>[,;|\t])"?)\r?\n', re.IGNORECASE)


def read_text(path: Path, wanted: Sequence[str]) -> Read:
    """The wanted columns that exist, and the line on which each row begins.

    The separator is one of ``, tab ; |``: the one with which the header has the most wanted
    columns. Among equals it is the one with which the most rows are as long as the header. Columns
    without a name, rows without a value, and empty values after the last column are left out.
    In a table that tdctl wrote, the apostrophes that protect texts from spreadsheets are removed.

    Raises:
        DataError: the file is not such a text, is empty, or has a row with another number of
            values than the header.
    """
    text = _decoded(path)
    stated = STATED.match(text)
    mark = stated["mark"] if stated else _separator(path, text, wanted)
    spaced = _is_spaced(text, mark)
    rows = _rows(path, text, mark, spaced, after=1 if stated else 0)
    _, header = next(rows, (0, []))
    if not header:
        raise DataError(f"{path}: the table is empty; expected a header and one row an image")
    places = places_of(path, header, wanted)
    values: dict[str, list[str]] = {name: [] for name in places}
    lines, first = array("q"), list[str]()
    # Rows are read in small blocks and dropped before the garbage collector visits them. Keeping
    # all rows takes four times as long, and several times the memory of the columns.
    while block := list(itertools.islice(rows, 1 << 8)):
        first = first or block[0][1]
        lines.extend([line for line, _ in block])
        for name, place in places.items():
            values[name].extend([row[place] for _, row in block])
    if not lines:
        raise DataError(f"{path}: the table has a header and no rows; expected one row an image")
    if is_own(header):
        values = {name: list(map(plain_cell, column)) for name, column in values.items()}
    return Read(header, first, values, lines)


def _rows(
    path: Path, text: str, mark: str, spaced: bool, after: int
) -> Iterator[tuple[int, list[str]]]:
    """The header and then the rows, each with the line on which it begins."""
    stream = io.StringIO(text, newline="")
    reader = csv.reader(stream, delimiter=mark, strict=True, skipinitialspace=spaced)
    start, header, named = 1, list[str](), 0
    try:
        for number, row in enumerate(reader):
            if any(map(str.strip, row)) and number >= after:
                if not header:
                    header = row
                    named = max(place for place, name in enumerate(row) if name.strip()) + 1
                elif len(row) != len(header) and (
                    len(row) < named or any(map(str.strip, row[len(header) :]))
                ):
                    raise DataError(
                        f"{path}: line {start} has {len(row)} values; expected {len(header)}, "
                        f"as many as the header ({quoted_names(header)})"
                    )
                yield start, row
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{path}: line {start} is no row of a table ({one_line(str(error))}); mend it, or its "
            "quotes"
        ) from None


def _separator(path: Path, text: str, wanted: Sequence[str]) -> str:
    tabs = path.suffix.lower() in {".tsv", ".tab"}
    marks = "\t" + SEPARATORS.replace("\t", "") if tabs else SEPARATORS
    return max(marks, key=lambda mark: _fit(text, mark, wanted))


def _fit(text: str, mark: str, wanted: Sequence[str]) -> tuple[int, float, int]:
    """How well a separator fits; larger is better."""
    rows = _sample(text, mark)
    if not rows or len(rows[0]) < 2:
        return 0, 0.0, 0
    header = {trimmed(name) for name in rows[0]}
    named = sum(trimmed(name) in header for name in wanted)
    even = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
    return named, even, len(rows[0])


def _sample(text: str, mark: str) -> list[list[str]]:
    part, rows = text[:SAMPLE], list[list[str]]()
    try:
        for row in csv.reader(io.StringIO(part, newline=""), delimiter=mark, strict=True):
            if any(row):
                rows.append(row)
            if len(rows) == ROWS:
                return rows
    except csv.Error:
        return rows  # reading the whole file reports what is wrong
    # The last row may be cut off.
    return rows[:-1] if len(part) < len(text) and len(rows) > 1 else rows


def _is_spaced(text: str, mark: str) -> bool:
    """Whether a blank follows each separator in the header. Then it is not part of the values."""
    rows = _sample(text, mark)
    names = rows[0] if rows else []
    return len(names) > 1 and all(name.startswith(" ") for name in names[1:])


def _decoded(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith(b"PAR1"):
        raise DataError(f"{path}: the table is Parquet; name the file with .parquet at its end")
    if content.startswith(b"PK\x03\x04"):
        raise DataError(
            f"{path}: the table is a workbook or an archive; save its sheet as CSV (UTF-8)"
        )
    if content[:8192].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in {b"{", b"["}:
        raise DataError(
            f"{path}: looks like JSON; expected a table: write it as CSV, with a header such as "
            "file_name,label and one row an image"
        )
    for mark, encoding in MARKS.items():
        if content.startswith(mark):
            return _checked(path, _wide(path, content, encoding))
    if unmarked := _unmarked(content):
        return _checked(path, _wide(path, content, unmarked))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # error.object is the content without the byte-order mark; positions refer to it.
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}: line {line} is not UTF-8 text (byte 0x{error.object[error.start]:02x}); "
            "save the table as UTF-8"
        ) from None
    return _checked(path, text)


def _unmarked(content: bytes) -> str | None:
    """UTF-16 without a mark, which some tools write: every other byte of its first line is zero."""
    first = content[:64]
    if len(first) < 8 or len(content) % 2:
        return None
    for encoding, zeros, others in (
        ("utf-16-le", first[1::2], first[::2]),
        ("utf-16-be", first[::2], first[1::2]),
    ):
        if not any(zeros) and all(others):
            return encoding
    return None


def _wide(path: Path, content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise DataError(
            f"{path}: begins as {encoding.upper()} text and is none; save the table as UTF-8"
        ) from None


def _checked(path: Path, text: str) -> str:
    zero = text.find("\0")
    if zero >= 0:
        line = text.count("\n", 0, zero) + 1
        raise DataError(
            f"{path}: line {line} holds a zero byte, so this is no text; "
            "give a CSV, TSV or Parquet file"
        )
    # A file that was saved twice may have a second byte-order mark.
    return text.lstrip("\ufeff")
