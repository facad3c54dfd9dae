"""The list files of archives: text with one record on each line. Errors name the line."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tdctl.errors import DataError

__all__ = ["ListFile", "read_list"]

# A part of a path that is empty, "." or "..".
NO_PLAIN_PART = re.compile(r"(?:^|/)\.{0,2}(?:/|$)")
# Control characters, and characters that end a line only for some programs.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029]")


@dataclass(frozen=True)
class ListFile:
    """The lines of a list file; ``lines[i]`` is line i + 1.

    Attributes:
        path: the path of the file.
        lines: the lines without line ends; at least one, and the last is not blank.
    """

    path: Path
    lines: list[str]

    def __len__(self) -> int:
        return len(self.lines)

    def wrong(self, number: int, what: str) -> DataError:
        """An error that names this file and a line, counted from 1."""
        return DataError(f"{self.path}: line {number} {what}")

    def records(self, *fields: str, separator: str | None = None) -> Iterator[list[str]]:
        """The fields of each line, in turn. The first field must be different in each line.

        Args:
            fields: the names of the fields, for messages.
            separator: the text between fields; None for any white space.

        Raises:
            DataError: a line has more or fewer fields, or repeats the first field of another line.
        """
        seen: set[str] = set()
        for number, line in enumerate(self.lines, start=1):
            record = line.split(separator)
            if len(record) != len(fields):
                held = f"has {len(record)} fields" if line.strip() else "is blank"
                raise self.wrong(number, f"{held}; expected {len(fields)}: {', '.join(fields)}")
            if record[0] in seen:
                raise self.wrong(
                    number, f"has the {fields[0]} {_quoted(record[0])}, as an earlier line has"
                )
            seen.add(record[0])
            yield record

    def whole(self, number: int, text: str, what: str, low: int, high: int | None = None) -> int:
        """The whole number in a field of a line.

        Raises:
            DataError: the field is not a whole number, or the number is not in [low, high].
        """
        if text.isascii() and text.isdigit() and len(text) < 19:
            value = int(text)
            if value >= low and (high is None or value <= high) and str(value) == text:
                return value
        upper = "on" if high is None else f"to {high}"
        raise self.wrong(
            number, f"has {_quoted(text)} as {what}; expected a whole number from {low} {upper}"
        )

    def below(self, number: int, text: str) -> str:
        """The relative path in a field of a line.

        Raises:
            DataError: the path leads out of the folder, or has an empty part, ``.`` or ``..``.
        """
        if NO_PLAIN_PART.search(text):
            raise self.wrong(
                number, f"names {_quoted(text)}; expected a path below the folder, such as a/b.jpg"
            )
        return text


def read_list(path: Path, *, or_latin: bool = False) -> ListFile:
    """The lines of a UTF-8 text file; blank lines at its end are dropped.

    Args:
        path: the path of the file. Lines end with LF or CRLF.
        or_latin: read a file that is not UTF-8 as Latin-1.

    Raises:
        DataError: the file is missing, empty, not UTF-8, or holds control characters.
    """
    try:
        data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); unpack the archive anew"
        ) from None
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        if not or_latin:
            number = data.count(b"\n", 0, error.start) + 1
            raise DataError(
                f"{path}: line {number} is not UTF-8; unpack the archive anew"
            ) from None
        text = data.decode("latin-1")
    text = text.replace("\r\n", "\n")
    control = CONTROL.search(text)
    if control is not None:
        number = text.count("\n", 0, control.start()) + 1
        raise DataError(
            f"{path}: line {number} holds the control character {control[0]!r}; "
            "unpack the archive anew"
        )
    lines = text.split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise DataError(f"{path}: empty; unpack the archive anew")
    return ListFile(path, lines)


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
