"""The header of a table: which column is meant, and what to say where it is not there."""

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
# What other tools call the columns, as ``_folded`` gives it; the surest first.
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
    """What was read of a file.

    Attributes:
        header: the names of all its columns.
        first: the first row, all its values.
        columns: the values of those that were asked for and are there, as many strings each.
        lines: the line on which each row begins, from 1; None where the file has no lines.
    """

    header: list[str]
    first: list[str]
    columns: dict[str, list[str]]
    lines: Sequence[int] | None


def shown(value: str) -> str:
    """A value as a message quotes it: on one line, and not too long."""
    return repr(value if len(value) <= LONGEST else value[: LONGEST - 3] + "...")


def one_line(message: str) -> str:
    """What another library says of a file, which may quote bytes of it."""
    line = " ".join(message.split())[:200]
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def quoted_names(names: Sequence[str]) -> str:
    """Names of columns as a message lists them, in quotes where that shows what is meant."""
    plain = [name if name.strip() == name and name.isprintable() else repr(name) for name in names]
    short = [name if len(name) <= LONGEST else name[: LONGEST - 3] + "..." for name in plain[:12]]
    return ", ".join(short) + (", ..." if len(names) > 12 else "")


def places_of(path: Path, header: Sequence[str], wanted: Sequence[str]) -> dict[str, int]:
    """The place of each wanted column that is there: by its name, or but for outer blanks.

    Raises:
        DataError: a wanted column is there twice.
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
    """What follows ``it has ...`` where a column is not there; empty where nothing is known.

    Args:
        flags: by the name of each column that was asked for, the option that names it.
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
    """The column that is meant by one that is not there: alike in name, or by a usual name."""
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
    """The columns of which the first row holds one 1, and else 0."""
    cells = dict(zip(map(trimmed, read.header), map(trimmed, read.first), strict=False))
    marked = {name: value for name, value in cells.items() if value in {"0", "1", "0.0", "1.0"}}
    ones = sum(value.startswith("1") for value in marked.values())
    return list(marked) if ones == 1 else []
