"""The one walk over folders: what is in each, and all images below, each real folder once."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from posixpath import splitext

from tdctl.errors import DataError
from tdctl.folders.account import (
    AGAIN,
    HIDDEN,
    NO_FILE,
    NO_IMAGE,
    NOWHERE,
    OUTPUT,
    Account,
    Reason,
)
from tdctl.folders.pictures import begins_as_image, image_suffixes

__all__ = ["Place", "Tree", "Walk", "is_left_over"]

# What systems and tools leave behind beside hidden files, in lower case.
LEFT_OVER = {
    "$recycle.bin",
    "@eadir",
    "@recently-snapshot",
    "@recycle",
    "#recycle",
    "#snapshot",
    "__macosx",
    "__pycache__",
    "desktop.ini",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "icon\r",
    "lost+found",
    "recycler",
    "system volume information",
    "thumbs.db",
}
# Together they tell a folder that a command of tdctl wrote.
RUN_FILES = {"config.yaml", "manifest.json"}
LEADS_NOWHERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}

Identity = tuple[int, int]


def is_left_over(name: str) -> bool:
    """Whether an entry of a folder is hidden, or what a system or a tool leaves behind."""
    return name.startswith((".", "~$")) or name.lower() in LEFT_OVER


@dataclass(frozen=True)
class Place:
    """What lies in one folder; names are sorted.

    Attributes:
        path: of the folder.
        identity: device and inode, which tell whether two paths lead to one folder.
        folders: its real folders.
        links: its links that lead to folders.
        images: files that are images by their suffix, or without one by how they begin.
        others: names of the other entries, each with the reason why it is not read.
    """

    path: str
    identity: Identity
    folders: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    others: list[tuple[str, Reason]] = field(default_factory=list)

    @property
    def all_folders(self) -> list[str]:
        """Folders, and links to folders, in sorted order."""
        return sorted([*self.folders, *self.links]) if self.links else self.folders

    @property
    def is_run(self) -> bool:
        """Whether a command of tdctl wrote the folder."""
        return {name for name, _ in self.others} >= RUN_FILES

    def files(self, *suffixes: str) -> list[str]:
        """The other files of some suffixes."""
        return [
            name
            for name, reason in self.others
            if reason is NO_IMAGE and name.lower().endswith(suffixes)
        ]


class Tree:
    """Folders below one folder, each looked into once.

    Args:
        root: the folder that paths are relative to; they are written with ``/``, and ``""`` is
            the folder itself.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._places: dict[str, Place] = {}

    def path(self, below: str) -> str:
        """The whole path of a folder."""
        return f"{self.root}/{below}" if below else str(self.root)

    def look(self, below: str) -> Place:
        """What lies in a folder.

        Raises:
            DataError: the system refuses to list it.
        """
        place = self._places.get(below)
        if place is None:
            place = self._places[below] = _look(self.path(below))
        return place

    def holds_images(self, below: str) -> bool:
        """Whether there is an image in a folder or below it, runs of tdctl aside."""
        seen: set[Identity] = set()
        waiting = [below]
        while waiting:
            path = waiting.pop()
            place = self.look(path)
            if place.identity in seen or place.is_run:
                continue
            seen.add(place.identity)
            if place.images:
                return True
            waiting += [joined(path, name) for name in reversed(place.all_folders)]
        return False


class Walk:
    """All images below some folders, with each real folder visited once.

    A link back up the tree, or to a folder that is read itself, is passed over. So all folders
    that are to be read are announced first, and links are followed last.

    Args:
        tree: of the data folder.
        account: takes up what is not read.
    """

    def __init__(self, tree: Tree, account: Account) -> None:
        self._tree, self._account = tree, account
        # What is above the data folder would be read whole through a link to it.
        above = (tree.root.resolve(), *tree.root.resolve().parents)
        self._seen: dict[Identity, str] = {_identity(str(path)): str(path) for path in above}
        self._images: dict[str, dict[str, list[str]]] = {}
        self._links: list[tuple[str, str, str]] = []

    def announce(self, below: str) -> None:
        """Says that a folder is read on its own; a link to it is passed over from now on."""
        self._seen.setdefault(_identity(self._tree.path(below)), below)

    def start(self, below: str, split: str) -> None:
        """Reads the real folders from a class folder downward.

        Args:
            below: the class folder.
            split: what the account calls the part of the data that it belongs to.

        Raises:
            DataError: the system refuses to list a folder.
        """
        found = self._images[below] = {}
        place = self._tree.look(below)
        first = self._seen.setdefault(place.identity, below)
        if first != below:
            self._account.add(split, AGAIN, below)
            return
        self._read(below, below, split, found)

    def follow_links(self) -> None:
        """Reads what the links lead to that were met so far.

        Raises:
            DataError: the system refuses to list a folder.
        """
        for below, link, split in self._links:  # which grows where links lead to more links
            place = self._tree.look(link)
            if place.identity in self._seen:
                self._account.add(split, AGAIN, link)
                continue
            self._seen[place.identity] = link
            self._read(below, link, split, self._images[below])
        self._links = []

    def images(self, below: str) -> list[str]:
        """Paths of the images below a class folder, folder by folder in sorted order."""
        found = self._images[below]
        return [joined(folder, name) for folder in sorted(found) for name in found[folder]]

    def _read(self, below: str, top: str, split: str, found: dict[str, list[str]]) -> None:
        """Takes up the images of a folder and of the real folders below it."""
        for path, place in self._real_folders(top, split):
            if place.images:
                found[path] = place.images
            self._account.add_entries(split, path, place.others)
            self._links += [(below, joined(path, name), split) for name in place.links]

    def _real_folders(self, top: str, split: str) -> Iterator[tuple[str, Place]]:
        waiting = [top]
        while waiting:
            path = waiting.pop()
            place = self._tree.look(path)
            if path != top and place.is_run:
                self._account.add(split, OUTPUT, path)
                continue
            # Without a link no folder comes twice, but where one is mounted at two places.
            if self._seen.setdefault(place.identity, path) != path:
                self._account.add(split, AGAIN, path)
                continue
            yield path, place
            waiting += [joined(path, name) for name in reversed(place.folders)]


def joined(folder: str, name: str) -> str:
    """A path below a folder, which is ``""`` for the data folder itself."""
    return f"{folder}/{name}" if folder else name


def _identity(path: str) -> Identity:
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path each takes as long again
    except OSError as error:
        raise _refused(path, error) from None
    return found.st_dev, found.st_ino


def _refused(path: str, error: OSError) -> DataError:
    at, then = error.filename or path, "let it be read, or move it out of the data"
    if at == path:
        return DataError(f"folder {path}: cannot be listed ({error.strerror}); {then}")
    return DataError(f"{at}: cannot be read ({error.strerror}); {then}")


def _look(path: str) -> Place:
    place = Place(path, _identity(path))
    images, suffixes = place.images, image_suffixes()
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                name = entry.name
                if is_left_over(name):
                    place.others.append((name, HIDDEN))
                elif entry.is_file(follow_symlinks=False):
                    if _is_image(entry, suffixes):
                        images.append(name)
                    else:
                        place.others.append((name, NO_IMAGE))
                elif entry.is_dir(follow_symlinks=False):
                    place.folders.append(name)
                else:
                    _add_link(place, entry, suffixes)
    except OSError as error:
        raise _refused(path, error) from None
    for names in (place.folders, place.links, images, place.others):
        names.sort()
    return place


def _is_image(entry: os.DirEntry[str], suffixes: frozenset[str]) -> bool:
    name = entry.name
    dot = name.rfind(".")
    suffix = name[dot:].lower() if dot > 0 else ""
    if suffix in suffixes:
        return True
    # IMG.2019 has no suffix either.
    return (not suffix or suffix[1:].isdigit()) and begins_as_image(entry.path)


def _add_link(place: Place, entry: os.DirEntry[str], suffixes: frozenset[str]) -> None:
    """Takes up what is neither a file nor a folder itself."""
    name = entry.name
    try:
        if entry.is_dir():
            place.links.append(name)
            return
        is_file = entry.is_file()
    except OSError as error:
        if error.errno not in LEADS_NOWHERE:
            raise
        is_file = False
    named = splitext(name)[1].lower() in suffixes
    if is_file and (named or _is_image(entry, suffixes)):
        place.images.append(name)
    elif is_file:
        place.others.append((name, NO_IMAGE))
    elif not entry.is_symlink():
        place.others.append((name, NO_FILE))
    elif named:
        # An image that cannot be read, which is an error like any other such image.
        place.images.append(name)
    else:
        place.others.append((name, NOWHERE))
