"""The header of a table: finds the wanted columns, and gives advice if one is missing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tdctl.errors import DataError
from tdctl.names import trimmed

__all__ = [
    "FILE_FLAG",
    "LABEL_FLAG",
    "SPLIT_FLAG",
    "TRUE_FLAG",
    "Read",
    "alike",
    "one_line",
    "places_of",
    "quoted_names",
    "shown",
    "way_out",
]

FILE_FLAG, LABEL_FLAG = "--file-column", "--label-column"
TRUE_FLAG, SPLIT_FLAG = "--true-column", "--split-column"
# The names that other tools give the columns, in the form of ``_folded``; the most certain first.
USUAL = {
    FILE_FLAG: (
        "filename", "file", "filepath", "imagename", "imagefile", "imagefilename", "imagepath",
        "image", "img", "imgname", "imgpath", "imgfile", "path", "picture", "photo", "images",
        "files", "paths", "relpath", "imageid", "imgid", "fname", "url", "name", "id",
    ),
    LABEL_FLAG: (
        "label", "labels", "labelname", "class", "classname", "classlabel", "category",
        "categoryname", "target", "targets", "givenlabel", "choice", "tag", "annotation", "species",
        "breed", "diagnosis", "labelid", "classid", "classes", "y",
    ),
    TRUE_FLAG: (
        "truelabel", "true", "truth", "groundtruth", "gt", "gtlabel", "cleanlabel", "clean",
        "correctlabel", "reallabel",
    ),
    SPLIT_FLAG: (
        "split", "set", "subset", "partition", "dataset", "datasplit", "usage", "phase", "fold",
        "mode",
    ),
}  # fmt: skip
IMAGE_NAME = re.compile(
    r"\.(?:bmp|gif|jpe?g|jfif|png|p[gnp]m|tiff?|webp|heic|avif)\b", re.IGNORECASE
)
LONGEST = 80


@dataclass(frozen=True)
class Read:
    """The header and some columns of a table file.

    Attributes:
        header: the names of all columns.
        first: all values of the first row.
        columns: the values of the wanted columns that exist, n strings each.
        lines: the line on which each row begins, from 1; None if the file has no lines.
        numbered: whether the labels are class numbers, also if a class has such a name.
    """

    header: list[str]
    first: list[str]
    columns: dict[str, list[str]]
    lines: Sequence[int] | None
    numbered: bool = False


def shown(value: str) -> str:
    """A value in quotes for a message: on one line and not too long."""
    return repr(value if len(value) <= LONGEST else value[: LONGEST - 3] + "...")


def one_line(message: str) -> str:
    """Another library's message about a file, made safe to print on one line."""
    line = " ".join(message.split())[:200]
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def quoted_names(names: Sequence[str]) -> str:
    """The names of columns for a message; those with unusual characters are in quotes."""
    plain = [name if name.strip() == name and name.isprintable() else repr(name) for name in names]
    short = [name if len(name) <= LONGEST else name[: LONGEST - 3] + "..." for name in plain[:12]]
    return ", ".join(short) + (", ..." if len(names) > 12 else "")


def places_of(path: Path, header: Sequence[str], wanted: Sequence[str]) -> dict[str, int]:
    """The place of each wanted column that exists: by exact name, or else without outer blanks.

    Raises:
        DataError: the header has a wanted column twice.
    """
    places: dict[str, int] = {}
    plain = [trimmed(name) for name in header]
    for name in wanted:
        exact = [place for place, own in enumerate(header) if own == name]
        found = exact or [place for place, own in enumerate(plain) if own == trimmed(name)]
        if len(found) > 1:
            raise DataError(
                f"{path}: the header names the column {shown(name)} twice; expected each once"
            )
        if found and plain[found[0]]:
            places[name] = found[0]
    return places


def way_out(read: Read, flags: Mapping[str, str]) -> str:
    """Advice about missing columns, for the end of a message; ``""`` if there is none.

    Args:
        read: the table.
        flags: for each requested column, the option that names it.
    """
    missing = {flag: name for name, flag in flags.items() if name not in read.columns}
    found = {flag: alike(read.header, flag, name) for flag, name in missing.items()}
    given = [f"{flag} {shlex.quote(trimmed(name))}" for flag, name in found.items() if name]
    one_hot = _one_hot(read)
    if LABEL_FLAG in missing and found[LABEL_FLAG] is None and len(one_hot) > 1:
        return (
            f"; the columns {quoted_names(one_hot)} hold 0 and 1, one column a class: write the "
            "name of the class into one column 'label'"
            + (f", and give {' '.join(given)}" if given else "")
        )
    if given and any(name is not None and name.isprintable() for name in found.values()):
        return f"; give {' '.join(given)}"
    if any(map(IMAGE_NAME.search, read.header)):
        row = "; the first line looks like a row: "
        if len(read.header) == 1:
            return f"{row}write commas between its values, and add a header: file_name,label"
        return f"{row}add a header such as file_name,label"
    return ""


def alike(header: Sequence[str], flag: str, asked: str) -> str | None:
    """The column that a missing one probably means: with a similar name or with a usual name."""
    folded: dict[str, str] = {}
    for name in header:
        folded.setdefault(_folded(name), name)
    for name in (_folded(asked), *USUAL.get(flag, ())):
        if name and name in folded:
            return folded[name]
    return None


def _folded(name: str) -> str:
    return re.sub(r"[\W_]+", "", trimmed(name).casefold())


def _one_hot(read: Read) -> list[str]:
    """The columns of 0 and 1 if the first row has exactly one 1 among them; else empty."""
    cells = dict(zip(map(trimmed, read.header), map(trimmed, read.first), strict=False))
    marked = {name: value for name, value in cells.items() if value in {"0", "1", "0.0", "1.0"}}
    ones = sum(value.startswith("1") for value in marked.values())
    return list(marked) if ones == 1 else []
