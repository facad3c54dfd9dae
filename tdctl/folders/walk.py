"""Lists folders and collects the images below them; visits each real folder once."""

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

# Names, in lower case, of files and folders that systems and tools leave behind.
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
# A folder with both of these files was written by a tdctl command.
RUN_FILES = {"config.yaml", "manifest.json"}
LEADS_NOWHERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}

Identity = tuple[int, int]


def is_left_over(name: str) -> bool:
    """Whether an entry of a folder is hidden, or was left behind by a system or a tool."""
    return name.startswith((".", "~$")) or name.lower() in LEFT_OVER


@dataclass(frozen=True)
class Place:
    """The contents of one folder; names are sorted.

    Attributes:
        path: the path of the folder.
        identity: device and inode. Two paths with the same identity lead to the same folder.
        folders: the names of its real folders.
        links: the names of its links to folders.
        images: the names of its image files, judged by suffix, or else by their first bytes.
        others: the names of its other entries, each with the reason why it is not read.
    """

    path: str
    identity: Identity
    folders: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    others: list[tuple[str, Reason]] = field(default_factory=list)

    @property
    def all_folders(self) -> list[str]:
        """Folders and links to folders, sorted."""
        return sorted([*self.folders, *self.links]) if self.links else self.folders

    @property
    def is_run(self) -> bool:
        """Whether a tdctl command wrote the folder."""
        return {name for name, _ in self.others} >= RUN_FILES

    def files(self, *suffixes: str) -> list[str]:
        """The files with one of these suffixes that are not images."""
        return [
            name
            for name, reason in self.others
            if reason is NO_IMAGE and name.lower().endswith(suffixes)
        ]


class Tree:
    """A folder and the folders below it. Each is listed only once.

    Args:
        root: the folder that all paths are relative to. Paths are written with ``/``. The path
            ``""`` is the folder itself.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._places: dict[str, Place] = {}

    def path(self, below: str) -> str:
        """The full path of a folder."""
        return f"{self.root}/{below}" if below else str(self.root)

    def look(self, below: str) -> Place:
        """The contents of a folder.

        Raises:
            DataError: the system refuses to list the folder.
        """
        place = self._places.get(below)
        if place is None:
            place = self._places[below] = _look(self.path(below))
        return place

    def holds_images(self, below: str) -> bool:
        """Whether there is an image in a folder or below it. Runs of tdctl are not searched."""
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
    """Collects all images below some folders and visits each real folder once.

    The walk skips a link to a folder above it and a link to a folder that is read anyway.
    Therefore ``announce`` all folders first, then ``start`` each, then call ``follow_links``.

    Args:
        tree: the tree of the data folder.
        account: receives the entries that are not read.
    """

    def __init__(self, tree: Tree, account: Account) -> None:
        self._tree, self._account = tree, account
        # A link to a folder above the data folder would make the walk read that whole folder.
        above = (tree.root.resolve(), *tree.root.resolve().parents)
        self._seen: dict[Identity, str] = {_identity(str(path)): str(path) for path in above}
        self._images: dict[str, dict[str, list[str]]] = {}
        self._links: list[tuple[str, str, str]] = []

    def announce(self, below: str) -> None:
        """Declares that a folder is read by itself, so that links to it are skipped."""
        self._seen.setdefault(_identity(self._tree.path(below)), below)

    def start(self, below: str, split: str) -> None:
        """Reads a class folder and the real folders below it.

        Args:
            below: the class folder.
            split: the name that the account uses for this part of the data.

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
        """Reads the folders that the links found so far point to.

        Raises:
            DataError: the system refuses to list a folder.
        """
        for below, link, split in self._links:  # the list grows when links lead to more links
            place = self._tree.look(link)
            if place.identity in self._seen:
                self._account.add(split, AGAIN, link)
                continue
            self._seen[place.identity] = link
            self._read(below, link, split, self._images[below])
        self._links = []

    def images(self, below: str) -> list[str]:
        """The paths of the images below a class folder, sorted by folder and then by name."""
        found = self._images[below]
        return [joined(folder, name) for folder in sorted(found) for name in found[folder]]

    def _read(self, below: str, top: str, split: str, found: dict[str, list[str]]) -> None:
        """Collects the images of a folder and of the real folders below it."""
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
            # Even without links a folder can come twice: it may be mounted at two places.
            if self._seen.setdefault(place.identity, path) != path:
                self._account.add(split, AGAIN, path)
                continue
            yield path, place
            waiting += [joined(path, name) for name in reversed(place.folders)]


def joined(folder: str, name: str) -> str:
    """The path of an entry of a folder; ``folder`` is ``""`` for the data folder itself."""
    return f"{folder}/{name}" if folder else name


def _identity(path: str) -> Identity:
    try:
        found = os.stat(path)  # noqa: PTH116 - making a Path takes as long again
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
    # A name such as IMG.2019 has no real suffix either.
    return (not suffix or suffix[1:].isdigit()) and begins_as_image(entry.path)


def _add_link(place: Place, entry: os.DirEntry[str], suffixes: frozenset[str]) -> None:
    """Adds an entry that is neither a real file nor a real folder."""
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
        # A broken link with an image's name gives the same error as any unreadable image.
        place.images.append(name)
    else:
        place.others.append((name, NOWHERE))
