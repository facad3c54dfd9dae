"""Lists the images of a folder, and checks that the images of a list exist."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tdctl.errors import DataError
from tdctl.folders.entries import files_and_folders
from tdctl.names import is_utf8
from tdctl.sources.archives.lines import ListFile

__all__ = ["folders_in", "images_in", "left_out", "require_images"]

SUFFIXES = (".jpg", ".jpeg", ".png")


def require_images(
    root: Path, names: Sequence[str], listed: ListFile, numbers: Sequence[int]
) -> None:
    """Refuses a list if some of its images do not exist.

    Each folder is listed once. This is much faster than a look-up of every image.

    Args:
        root: the folder that the names are relative to.
        names: the names of n images, with ``/``.
        listed: the list that names the images.
        numbers: for each of the n images, its line in the list.

    Raises:
        DataError: images are missing. The message names the first and the number of them.
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
    """The names of a folder's images, and the names of its other entries; both sorted.

    Hidden entries are left out.

    Raises:
        DataError: the folder is missing, has no image, or has a name that is not UTF-8.
    """
    files, folders = _content(folder)
    images = [name for name in files if name.lower().endswith(SUFFIXES)]
    for name in images:
        if not is_utf8(f"{folder.name}/{name}"):
            raise DataError(
                f"{str(folder / name)!r}: the name is not valid UTF-8 and could not be written to "
                "the results; rename it"
            )
    if not images:
        raise DataError(f"{folder}: no image in it; unpack the archive anew")
    kept = set(images)
    return images, sorted(name for name in (*files, *folders) if name not in kept)


def folders_in(folder: Path) -> list[str]:
    """The names of the folders in a folder, sorted, without hidden ones.

    Raises:
        DataError: the folder is missing.
    """
    return _content(folder)[1]


def left_out(names: Sequence[str]) -> tuple[str, ...]:
    """The note about entries beside the images that are not images; empty if there are none."""
    if not names:
        return ()
    return (f"{len(names)} that are no images were left out, first {names[0]}",)


def _files_in(folder: Path) -> set[str]:
    found = _listed(folder)
    return set() if found is None else set(found[0])


def _content(folder: Path) -> tuple[list[str], list[str]]:
    """The files and the folders in a folder, each sorted, without hidden ones.

    Raises:
        DataError: the folder is missing.
    """
    found = _listed(folder)
    if found is None:
        raise DataError(f"{folder}: is not there; unpack the archive anew")
    files, folders = (sorted(name for name in names if name[0] != ".") for names in found)
    return files, folders


def _listed(folder: Path) -> tuple[list[str], list[str]] | None:
    try:
        return files_and_folders(folder)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be read ({error.strerror}); unpack the archive anew"
        ) from None
