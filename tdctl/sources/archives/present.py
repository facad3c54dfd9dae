"""Which images are there: those of a folder, and whether all that a list names are."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from tdctl.errors import DataError
from tdctl.sources.archives.lines import ListFile

__all__ = ["folders_in", "images_in", "left_out", "require_images"]

SUFFIXES = (".jpg", ".jpeg", ".png")
NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}


def require_images(
    root: Path, names: Sequence[str], listed: ListFile, numbers: Sequence[int]
) -> None:
    """Refuses a list whose images are not all there.

    Each folder is read once, which takes a fraction of the time of asking for every image.

    Args:
        root: the folder that the names are relative to.
        names: of n images, with ``/``.
        listed: the list that names them.
        numbers: the n lines of it that do.

    Raises:
        DataError: an image is missing; names the first and says how many are.
    """
    there: dict[str, set[str]] = {}
    missing = []
    for row, name in enumerate(names):
        folder, _, file = name.rpartition("/")
        if folder not in there:
            there[folder] = _files_in(root / folder)
        if file not in there[folder]:
            missing.append(row)
    if missing:
        first = missing[0]
        raise listed.wrong(
            numbers[first],
            f"names an image that is not there, {root / names[first]}; {len(missing)} of "
            f"{len(names)} images are missing: unpack the archive anew",
        )


def images_in(folder: Path) -> tuple[list[str], list[str]]:
    """Names of a folder's images in sorted order, and of what else is in it.

    Hidden files are neither.

    Raises:
        DataError: the folder is missing, has no image, or has a name that is not UTF-8.
    """
    try:
        with os.scandir(folder) as entries:
            found = sorted((e.name, e.is_file()) for e in entries if e.name[0] != ".")
    except OSError as error:
        raise _unreadable(folder, error) from None
    images = [name for name, file in found if file and name.lower().endswith(SUFFIXES)]
    for name in images:
        try:
            f"{folder.name}/{name}".encode()
        except UnicodeEncodeError:
            raise DataError(
                f"{str(folder / name)!r}: the name is not valid UTF-8 and could not be written to "
                "the results; rename it"
            ) from None
    if not images:
        raise DataError(f"{folder}: no image in it; unpack the archive anew")
    kept = set(images)
    return images, [name for name, _ in found if name not in kept]


def folders_in(folder: Path) -> list[str]:
    """Names of the folders in a folder in sorted order, without hidden ones.

    Raises:
        DataError: the folder is missing.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if e.name[0] != "." and e.is_dir())
    except OSError as error:
        raise _unreadable(folder, error) from None


def left_out(names: Sequence[str]) -> tuple[str, ...]:
    """The note, if any, about what lies among the images and is none of them."""
    if not names:
        return ()
    return (f"{len(names)} that are no images were left out, first {names[0]}",)


def _files_in(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except OSError as error:
        if error.errno in NOT_THERE:
            return set()
        raise _unreadable(folder, error) from None


def _unreadable(folder: Path, error: OSError) -> DataError:
    return DataError(f"{folder}: cannot be read ({error.strerror}); unpack the archive anew")
