"""Tables of the user's, as columns of strings: CSV, TSV and Parquet."""

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
from tdctl.sources.tables.parquet import read_parquet
from tdctl.sources.tables.text_tables import read_text

__all__ = ["CONTROL", "Table", "flags_of", "read_table", "shown"]

# Line and paragraph separators too: a message that quotes a value stays one line.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True)
class Table:
    """Columns of a table; the first row below the header is row 0.

    Attributes:
        path: where it was read.
        read: its header and its columns.
        flags: by the name of each column that was asked for, the option that names it.
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
        """The values of the columns that were asked for and are there."""
        return self.read.columns

    @property
    def lines(self) -> Sequence[int] | None:
        """The line on which each row begins, from 1; None where the file has no lines."""
        return self.read.lines

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, column: str) -> list[str]:
        """The values of a column.

        Raises:
            DataError: it is not there; says which may be meant.
        """
        if column not in self.columns:
            raise DataError(
                f"{self.path}: no column {shown(column)}; it has {quoted_names(self.header)}"
                f"{way_out(self.read, self.flags)}"
            )
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

    def labels(self, column: str) -> list[str]:
        """The values of a column as names of classes: in one normal form, without outer blanks.

        Raises:
            DataError: the column is not there.
        """
        values = self[column]
        plain = {value: trimmed(value) for value in set(values)}
        return [plain[value] for value in values]

    def check_readable(self, column: str, values: Sequence[str]) -> None:
        """Refuse values that hold a control character: names of classes are shown and written.

        Raises:
            DataError: names the first.
        """
        # One search of all: a million small ones take a second.
        if CONTROL.search("".join(values)):
            row = next(row for row, value in enumerate(values) if CONTROL.search(value))
            raise self.error(row, f", column {shown(column)}: {shown(values[row])} {BROKEN}")


BROKEN = "holds a line break or another control character; mend the value, or the quotes around it"


def flags_of(config: DataConfig) -> dict[str, str]:
    """The options that name the columns of a label table, by the columns' names."""
    flags = {config.file_column: FILE_FLAG, config.label_column: LABEL_FLAG}
    if config.true_column is not None:
        flags.setdefault(config.true_column, TRUE_FLAG)
    if config.dataset == "table":
        flags.setdefault(config.split_column, SPLIT_FLAG)
    return flags


def read_table(path: Path, columns: Iterable[str], flags: Mapping[str, str] | None = None) -> Table:
    """The named columns of a table, as far as it has them, every value as a string.

    ``.parquet`` and ``.pq`` are read as Parquet, everything else as text: CSV with commas, tabs,
    semicolons or ``|``, in UTF-8, or in UTF-16 or UTF-32 with a byte-order mark. No value is read
    as missing: "NA" and "null" are fine names for a class. Columns without a name, blank lines
    and rows of empty values are passed over.

    Args:
        flags: by the name of a column, the option that names it: what a message advises.

    Raises:
        DataError: the file cannot be read, is no such table, has no rows or a wanted column twice;
            or a row has more or fewer values than the header.
    """
    wanted = list(dict.fromkeys(columns))
    parquet = path.suffix.lower() in {".parquet", ".pq"}
    try:
        read = read_parquet(path, wanted) if parquet else read_text(path, wanted)
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such label table; give an existing CSV, TSV or Parquet file"
        ) from None
    except OSError as error:
        why = one_line(error.strerror or str(error))
        raise DataError(
            f"{path}: the table cannot be read ({why}); give a CSV, TSV or Parquet file"
        ) from None
    return Table(path, read, flags or {})
