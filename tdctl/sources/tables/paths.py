"""Finds the files that a table means, from names as spreadsheets and label tools write them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tdctl.errors import DataError
from tdctl.folders.entries import files_and_folders
from tdctl.names import normal
from tdctl.sources.tables.headers import shown

__all__ = ["Disk", "MatchedFiles", "Known", "locate"]

# An empty, '.' or '..' part, as in /a, a//b, ./a and ../a.
UNPLAIN = re.compile(r"(?:^|/)\.{0,2}(?:/|$)")
SUFFIX = re.compile(r"(?<=[^./])\.[A-Za-z0-9]{1,5}$")
# Label Studio's names: of an uploaded file, which gets a prefix, and of a local file.
UPLOAD = re.compile(r"^(?:.*/)?data/upload/(?:\d+/)?(?P<name>.+)$")
PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")
LOCAL = re.compile(r"^(?:.*/)?data/local-files/\?d=(?P<name>.+)$")

Find = Callable[[str], tuple[str, ...]]


class Known:
    """A set of known names that also finds a name written in a slightly different way.

    It tries, in this order: the exact name, the same Unicode normal form, another case, and the
    name without its suffix.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = dict.fromkeys(names)
        self._levels: list[dict[str, list[str]]] = []

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def find(self, name: str) -> tuple[str, ...]:
        """The known names that fit; more than one if the name is ambiguous."""
        if name in self._names:
            return (name,)
        plain = normal(name)
        for level, key in zip(
            self._made(), (plain, plain.casefold(), plain.casefold()), strict=True
        ):
            if key in level:
                return tuple(level[key])
        return ()

    def same_but_suffix(self, name: str) -> str | None:
        """A known name that differs only in its suffix; None if there is none."""
        stem = SUFFIX.sub("", normal(name).casefold())
        found = self._made()[2].get(stem)
        return found[0] if found else None

    def _made(self) -> list[dict[str, list[str]]]:
        if not self._levels:
            self._levels = [{}, {}, {}]
            for name in self._names:
                plain = normal(name)
                lower = plain.casefold()
                for level, key in zip(
                    self._levels, (plain, lower, SUFFIX.sub("", lower)), strict=True
                ):
                    level.setdefault(key, []).append(name)
        return self._levels


class Disk:
    """The files below a folder. Each folder is listed once, when a name in it is looked up."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listed: dict[str, tuple[Known, Known] | None] = {}

    def find(self, path: str) -> tuple[str, ...]:
        """The files that fit a path with ``/``, relative to the root; see ``Known``."""
        folder, _, name = path.rpartition("/")
        exact = self._of(folder)
        if exact is not None and name in exact[0]:
            return (path,)
        found: list[str] = []
        for there in self._folders(folder):
            listed = self._of(there)
            files = () if listed is None else listed[0].find(name)
            found += [f"{there}/{file}" if there else file for file in files]
        return tuple(found)

    def same_but_suffix(self, path: str) -> str | None:
        """A file whose path differs only in its suffix; None if there is none."""
        folder, _, name = path.rpartition("/")
        listed = self._of(folder)
        found = None if listed is None else listed[0].same_but_suffix(name)
        return None if found is None else f"{folder}/{found}" if folder else found

    def _folders(self, folder: str) -> tuple[str, ...]:
        if not folder or self._of(folder) is not None:
            return (folder,)
        above, _, name = folder.rpartition("/")
        found: list[str] = []
        for there in self._folders(above):
            listed = self._of(there)
            below = () if listed is None else listed[1].find(name)
            found += [f"{there}/{part}" if there else part for part in below]
        return tuple(found)

    def _of(self, folder: str) -> tuple[Known, Known] | None:
        """The files and the folders in a folder; None if the folder does not exist."""
        if folder not in self._listed:
            self._listed[folder] = _content(self._root / folder)
        return self._listed[folder]


def _content(folder: Path) -> tuple[Known, Known] | None:
    try:
        found = files_and_folders(folder)
    except OSError as error:
        raise DataError(
            f"folder {folder}: cannot be listed ({error.strerror}); the table names images in it"
        ) from None
    return None if found is None else (Known(found[0]), Known(found[1]))


@dataclass
class MatchedFiles:
    """The files that were found for the rows of a table.

    Attributes:
        names: the real name of each row's file; ``""`` if there is none.
        wrong: for each faulty row, the end of the message about it.
        missing: the rows with a valid name for which no file exists.
        otherwise: the rows whose name in the table differs from the file's name by more than its
            Unicode form.
    """

    names: list[str]
    wrong: dict[int, str] = field(default_factory=dict)
    missing: list[int] = field(default_factory=list)
    otherwise: list[int] = field(default_factory=list)


def locate(names: Sequence[str], find: Find, root: Path, column: str) -> MatchedFiles:
    """Finds the files for names as spreadsheets and label tools write them.

    A name may be relative to ``root``, absolute, or begin with the last folders of ``root``. It may
    have ``./`` or backslashes, be quoted as in a URL, or have the prefix that Label Studio adds.
    ``find`` may know further forms.

    Args:
        names: the name in each row.
        find: gives the files that fit a path with ``/``.
        root: the folder that the files are relative to.
        column: the column of the names, for messages.
    """
    found = MatchedFiles([])
    roots = tuple(dict.fromkeys((root.absolute().as_posix(), root.resolve().as_posix())))
    for row, name in enumerate(names):
        meant = find(name) if name and not UNPLAIN.search(name) else ()
        if meant[:1] != (name,) and name:
            meant = _meant(name, find, roots)
        if len(meant) == 1:
            found.names.append(meant[0])
            if meant[0] != name and normal(meant[0]) != normal(name):
                found.otherwise.append(row)
            continue
        found.names.append("")
        wrong = _wrong(name, meant, root)
        if wrong is None:
            found.missing.append(row)
        else:
            found.wrong[row] = f", column {shown(column)}, {wrong}"
    return found


def _meant(name: str, find: Find, roots: Sequence[str]) -> tuple[str, ...]:
    for form in _forms(name, roots):
        if form and not UNPLAIN.search(form) and (meant := find(form)):
            return meant
    return ()


def _forms(name: str, roots: Sequence[str]) -> Iterator[str]:
    """The paths relative to the root that a name may mean; the closest to the name first."""
    yield name
    yield name.strip()
    text = name.strip().replace("\\", "/")
    if text.lower().startswith("file:"):
        text = unquote(urlsplit(text).path)
    plain = _collapsed(text)
    yield from _below(plain, roots)
    if "%" in plain:
        yield from _below(unquote(plain), roots)
    # Names that Label Studio exports may or may not be quoted as in a URL.
    for path in dict.fromkeys((plain, unquote(plain))):
        if upload := UPLOAD.match(path):
            yield upload["name"]
            yield PREFIX.sub("", upload["name"])
        if local := LOCAL.match(path):
            yield from _below(_collapsed(unquote(local["name"])), roots)


def _collapsed(path: str) -> str:
    """The path without ``.`` and empty parts. A slash at either end stays; a URL stays as it is."""
    if "://" in path:
        return path
    start, end = path[:1] == "/", path[-1:] == "/"
    parts = [part for part in path.split("/") if part not in {"", "."}]
    return "/" * start + "/".join(parts) + "/" * end


def _below(path: str, roots: Sequence[str]) -> Iterator[str]:
    """The path itself, and its forms relative to each root."""
    yield path
    for root in roots:
        if path.startswith(f"{root}/"):
            yield path[len(root) + 1 :]
        elif not path.startswith("/"):
            # The names may start further up: with a folder that is a part of the root's path.
            parts = root.strip("/").split("/")
            for count in range(1, len(parts) + 1):
                start = "/".join(parts[-count:]) + "/"
                if path.startswith(start):
                    yield path[len(start) :]


def _wrong(name: str, meant: Sequence[str], root: Path) -> str | None:
    """What is wrong with a name that fits no file or several; None if its file is just missing."""
    if not name.strip():
        return "is empty; expected the name of an image"
    if meant:
        return (
            f"has {shown(name)}, which may be {shown(meant[0])} or {shown(meant[1])}; write the "
            "whole name"
        )
    plain = name.replace("\\", "/")
    if ".." in plain.split("/"):
        return f"has {shown(name)}, which leads out of a folder; expected a path below {root}"
    if plain.endswith("/") or plain == ".":
        return f"has {shown(name)}; expected a plain path such as 'folder/image.jpg'"
    return None
