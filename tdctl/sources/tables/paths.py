"""File names as tools write them, and the files that they mean."""

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
# Label Studio: an upload, whose file it gave a prefix; and a file that it was given by path.
UPLOAD = re.compile(r"^(?:.*/)?data/upload/(?:\d+/)?(?P<name>.+)$")
PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")
LOCAL = re.compile(r"^(?:.*/)?data/local-files/\?d=(?P<name>.+)$")

Find = Callable[[str], tuple[str, ...]]


class Known:
    """Names that are there, found by a name that may be written otherwise.

    In this order: exactly; in the same normal form; in another case; without suffix.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = dict.fromkeys(names)
        self._levels: list[dict[str, list[str]]] = []

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def find(self, name: str) -> tuple[str, ...]:
        """The names that are meant; more than one where that is not clear."""
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
        """A name that differs in its suffix alone."""
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
    """The files below a folder, of which each folder is listed once, when a name asks for it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listed: dict[str, tuple[Known, Known] | None] = {}

    def find(self, path: str) -> tuple[str, ...]:
        """The files that a path with ``/`` means, relative to the root; see ``Known``."""
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
        """A file that differs in its suffix alone."""
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
        """Files and folders in a folder; None where there is none of this name."""
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
    """The files that the rows of a table mean.

    Attributes:
        names: the real name of each row; empty where there is none.
        wrong: what is wrong with a row, as a message goes on after the row.
        missing: rows that name no file, though the name is one.
        otherwise: rows whose file has another name than the table writes, in any normal form.
    """

    names: list[str]
    wrong: dict[int, str] = field(default_factory=dict)
    missing: list[int] = field(default_factory=list)
    otherwise: list[int] = field(default_factory=list)


def locate(names: Sequence[str], find: Find, root: Path, column: str) -> MatchedFiles:
    """The files that names mean, written as spreadsheets and label tools write them.

    Absolute below ``root`` or beginning with the last folders of it, with ``./`` or backslashes,
    quoted as in a URL, with what Label Studio puts before a name, and as ``find`` knows them.

    Args:
        find: the names that a path with ``/`` means.
        root: the folder that they are relative to.
        column: of the names, for a message.
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
    """What a name may mean, as paths below the root; the nearest to what is written first."""
    yield name
    yield name.strip()
    text = name.strip().replace("\\", "/")
    if text.lower().startswith("file:"):
        text = unquote(urlsplit(text).path)
    plain = _collapsed(text)
    yield from _below(plain, roots)
    if "%" in plain:
        yield from _below(unquote(plain), roots)
    # What Label Studio exports is quoted as in a URL, or not.
    for path in dict.fromkeys((plain, unquote(plain))):
        if upload := UPLOAD.match(path):
            yield upload["name"]
            yield PREFIX.sub("", upload["name"])
        if local := LOCAL.match(path):
            yield from _below(_collapsed(unquote(local["name"])), roots)


def _collapsed(path: str) -> str:
    """Without ``.`` and empty parts; a slash at either end stays, and so does what begins a URL."""
    if "://" in path:
        return path
    start, end = path[:1] == "/", path[-1:] == "/"
    parts = [part for part in path.split("/") if part not in {"", "."}]
    return "/" * start + "/".join(parts) + "/" * end


def _below(path: str, roots: Sequence[str]) -> Iterator[str]:
    """The path as it is relative to a root."""
    yield path
    for root in roots:
        if path.startswith(f"{root}/"):
            yield path[len(root) + 1 :]
        elif not path.startswith("/"):
            # The names begin above the folder that was given: at a folder of its path.
            parts = root.strip("/").split("/")
            for count in range(1, len(parts) + 1):
                start = "/".join(parts[-count:]) + "/"
                if path.startswith(start):
                    yield path[len(start) :]


def _wrong(name: str, meant: Sequence[str], root: Path) -> str | None:
    """What is wrong with a name that means no file, or several; None where it is just missing."""
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
