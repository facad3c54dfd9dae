"""The names of a recording's samples and classes, in files next to it."""

from __future__ import annotations

import csv
import io
import os
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

from tdctl.cells import safe_cell
from tdctl.errors import DataError, RunError
from tdctl.files import write_text
from tdctl.labels import Labels
from tdctl.names import is_utf8

__all__ = [
    "CLASSES_FILE",
    "SAMPLES_FILE",
    "Names",
    "checked_names",
    "names_left",
    "refuse_stale_names",
    "write_names",
]

SAMPLES_FILE = "samples.csv"
CLASSES_FILE = "class_names.csv"

Names = Iterable[str | os.PathLike[str]]


def names_left(
    folder: Path,
    labels: Labels,
    num_classes: int,
    file_names: Names | None,
    class_names: Names | None,
    overwrite: bool,
) -> dict[Path, str]:
    """The name files that must still be written, with their content; writes nothing.

    Args:
        folder: the folder of the recording.
        labels: the n samples.
        num_classes: k.
        file_names: n different names, in the order of ``labels``; or None.
        class_names: k different names, class 0 first; or None.
        overwrite: whether existing files with other names may be replaced.

    Raises:
        DataError: the number of names is wrong, or a name is not a string, is empty, appears
            twice, or contains characters that a line of a UTF-8 table cannot contain.
        RunError: the existing files contain other names.
    """
    texts = {}
    if file_names is not None:
        names = checked_names(
            "file_names", file_names, len(labels), "samples, in the labels' order"
        )
        rows = zip(labels.index.tolist(), names, strict=True)
        texts[folder / SAMPLES_FILE] = _table(("index", "file_name"), rows)
    if class_names is not None:
        names = checked_names("class_names", class_names, num_classes, "classes, class 0 first")
        texts[folder / CLASSES_FILE] = _table(("class", "class_name"), enumerate(names))
    left = {}
    for path, text in texts.items():
        if path.exists():
            if path.read_bytes() == text.encode():
                continue
            if not overwrite:
                raise RunError(
                    f"{path}: holds other names than those given; give the same ones, give "
                    "another folder, or create the recording with overwrite=True"
                )
        left[path] = text
    return left


def refuse_stale_names(folder: Path, file_names: Names | None, class_names: Names | None) -> None:
    """Refuses old name files if a new recording replaces another and has no such names.

    Raises:
        RunError: there are such files.
    """
    given = {"file_names": (SAMPLES_FILE, file_names), "class_names": (CLASSES_FILE, class_names)}
    for what, (file, names) in given.items():
        if names is None and (folder / file).exists():
            raise RunError(
                f"{folder / file}: holds names of the recording that is to be replaced; give "
                f"{what} of the new one, or remove the file"
            )


def write_names(texts: Mapping[Path, str]) -> None:
    """Writes the name files, each completely or not at all."""
    for path, text in texts.items():
        write_text(path, text)


def checked_names(what: str, names: Names, count: int | None, of: str) -> list[str]:
    """The names as a list of strings.

    Args:
        what: the argument, for messages.
        names: the names.
        count: how many there must be; None for any number.
        of: what they name, for messages.

    Raises:
        DataError: as ``names_left``.
    """
    if isinstance(names, str | bytes | Mapping) or not isinstance(names, Iterable):
        raise DataError(
            f"recorder: {what} is {_kind(names)}; expected a list of "
            f"{'' if count is None else f'{count} '}names, one for each of the {of}"
        )
    given = list(names)
    if count is not None and len(given) != count:
        raise DataError(f"recorder: {what} holds {len(given)} names for {count} {of}")
    place: dict[str, int] = {}
    for number, item in enumerate(given):
        name = os.fspath(item) if isinstance(item, os.PathLike) else item
        problem = _problem(name)
        if problem is not None:
            raise DataError(f"recorder: {what}[{number}] {problem}; expected a name in UTF-8")
        name = str(name)
        first = place.setdefault(name, number)
        if first != number:
            raise DataError(
                f"recorder: {what}[{first}] and {what}[{number}] are both {name!r}; expected "
                "different names"
            )
    return list(place)


def _problem(name: object) -> str | None:
    if not isinstance(name, str):
        return f"is {name!r}, {_kind(name)}"
    if not name.strip():
        return "is empty"
    if not is_utf8(name):
        return f"is {name!a}, which UTF-8 cannot write"
    if any(unicodedata.category(letter) in {"Cc", "Zl", "Zp"} for letter in name):
        return f"is {name!a}, with a line break or another control character"
    return None


def _kind(item: object) -> str:
    kind = type(item).__name__
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _table(header: tuple[str, str], rows: Iterable[tuple[int, str]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows((number, safe_cell(name)) for number, name in rows)
    return text.getvalue()
