"""Which images are there: those of a folder, and whether all that a list names are."""

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
    """Names of the folders in a folder in sorted order, without hidden ones.

    Raises:
        DataError: the folder is missing.
    """
    return _content(folder)[1]


def left_out(names: Sequence[str]) -> tuple[str, ...]:
    """The note, if any, about what lies among the images and is none of them."""
    if not names:
        return ()
    return (f"{len(names)} that are no images were left out, first {names[0]}",)


def _files_in(folder: Path) -> set[str]:
    found = _listed(folder)
    return set() if found is None else set(found[0])


def _content(folder: Path) -> tuple[list[str], list[str]]:
    """Files and folders of a folder in sorted order, without hidden ones.

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
