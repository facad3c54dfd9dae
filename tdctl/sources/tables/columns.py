"""The user's tables as columns of strings: CSV, TSV, Parquet, and lists of labels in JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tdctl.config import DataConfig
from tdctl.errors import DataError
from tdctl.names import trimmed
from tdctl.sources.tables.headers import (
    FILE_FLAG,
    LABEL_FLAG,
    SPLIT_FLAG,
    TRUE_FLAG,
    Read,
    one_line,
    quoted_names,
    shown,
    way_out,
)
from tdctl.sources.tables.label_list import read_label_list
from tdctl.sources.tables.parquet import read_parquet
from tdctl.sources.tables.text_tables import read_text

__all__ = ["CONTROL", "Table", "flags_of", "read_table", "shown"]

# Line and paragraph separators are included, so that a message that quotes a value is one line.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True)
class Table:
    """Some columns of a table. The first row below the header is row 0.

    Attributes:
        path: the path of the file.
        read: the header and the columns.
        flags: for each requested column, the option that names it.
    """

    path: Path
    read: Read
    flags: Mapping[str, str] = field(default_factory=dict)

    @property
    def header(self) -> list[str]:
        """The names of all its columns."""
        return self.read.header

    @property
    def columns(self) -> dict[str, list[str]]:
        """The values of the requested columns that exist."""
        return self.read.columns

    @property
    def lines(self) -> Sequence[int] | None:
        """The line on which each row begins, from 1; None if the file has no lines."""
        return self.read.lines

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, column: str) -> list[str]:
        """The values of a column.

        Raises:
            DataError: the column does not exist. The message says which column may be meant.
        """
        if column not in self.columns:
            raise DataError(
                f"{self.path}: no column {shown(column)}; it has {quoted_names(self.header)}"
                f"{way_out(self.read, self.flags)}"
            )
        return self.columns[column]

    def filled(self, column: str) -> bool:
        """Whether a column exists and has at least one value that is not empty."""
        return any(self.columns.get(column, ()))

    def at(self, row: int) -> str:
        """The name of a row in messages."""
        if self.read.numbered:
            return f"label {row} (from 0)"
        return f"row {row} (from 0)" if self.lines is None else f"line {self.lines[row]}"

    def error(self, row: int, text: str) -> DataError:
        """An error whose message begins with the file and the row."""
        return DataError(f"{self.path}: {self.at(row)}{text}")

    def labels(self, column: str) -> list[str]:
        """The values of a column as class names: in normal form C, without outer blanks.

        Raises:
            DataError: the column does not exist.
        """
        values = self[column]
        plain = {value: trimmed(value) for value in set(values)}
        return [plain[value] for value in values]

    def check_readable(self, column: str, values: Sequence[str]) -> None:
        """Refuses class names with a control character, which messages and files could not show.

        Raises:
            DataError: a value has one. The message names the first such row.
        """
        # A single search in all values: a million small searches take a second.
        if CONTROL.search("".join(values)):
            row = next(row for row, value in enumerate(values) if CONTROL.search(value))
            raise self.error(row, f", column {shown(column)}: {shown(values[row])} {BROKEN}")


READERS = {".parquet": read_parquet, ".pq": read_parquet, ".json": read_label_list}
BROKEN = "holds a line break or another control character; mend the value, or the quotes around it"


def flags_of(config: DataConfig) -> dict[str, str]:
    """For each column of a label table, the option that names it."""
    flags = {config.file_column: FILE_FLAG, config.label_column: LABEL_FLAG}
    if config.true_column is not None:
        flags.setdefault(config.true_column, TRUE_FLAG)
    if config.dataset == "table":
        flags.setdefault(config.split_column, SPLIT_FLAG)
    return flags


def read_table(path: Path, columns: Iterable[str], flags: Mapping[str, str] | None = None) -> Table:
    """The named columns of a table, if it has them. Every value is a string.

    ``.parquet`` and ``.pq`` files are read as Parquet, ``.json`` files as a flat list of labels
    (see ``read_label_list``), all others as text: CSV with commas, tabs, semicolons or ``|``, in
    UTF-8, or in UTF-16 or UTF-32 with a byte-order mark. No value is read
    as missing: "NA" and "null" are valid class names. Columns without a name, blank lines and rows
    of empty values are left out.

    Args:
        path: the file.
        columns: the names of the wanted columns.
        flags: for each column, the option that names it, for the advice in messages.

    Raises:
        DataError: the file cannot be read, is not such a table, has no rows, or has a wanted
            column twice; or a row has more or fewer values than the header.
    """
    wanted = list(dict.fromkeys(columns))
    read_as = READERS.get(path.suffix.lower(), read_text)
    try:
        read = read_as(path, wanted)
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such label table; give an existing CSV, TSV, Parquet or JSON file"
        ) from None
    except OSError as error:
        why = one_line(error.strerror or str(error))
        raise DataError(
            f"{path}: the table cannot be read ({why}); give a CSV, TSV, Parquet or JSON file"
        ) from None
    return Table(path, read, flags or {})
