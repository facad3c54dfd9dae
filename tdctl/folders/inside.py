"""Checks whether an output path is inside the data, where the next run would read it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tdctl.errors import DataError
from tdctl.folders.account import Account
from tdctl.folders.layout import find_layout
from tdctl.folders.splits import split_kind
from tdctl.folders.walk import Tree

__all__ = ["class_tops", "is_below", "read_as_data"]


def is_below(path: Path, folders: Iterable[Path]) -> Path | None:
    """The first of the folders that equals or contains the path; None if no folder does.

    Links are resolved first.
    """
    whole = path.resolve()
    return next((folder for folder in folders if whole.is_relative_to(folder.resolve())), None)


def class_tops(data_dir: Path) -> list[Path]:
    """The folders of an image folder that contain the class folders, one for each split.

    Raises:
        DataError: the folder is not laid out as an image folder.
    """
    layout = find_layout(Tree(data_dir), Account())
    splits = (layout.train, layout.test, layout.held)
    return [data_dir / split.top for split in splits if split is not None]


def read_as_data(path: Path, data_dir: Path) -> Path | None:
    """The folder through which a new path would be read as data; None if it would not be read.

    Folders beside ``train/`` are not read, except those with the name of a split.

    Args:
        path: the new file or folder.
        data_dir: the image folder.
    """
    try:
        tops = class_tops(data_dir)
    except DataError:
        return None  # the user gets this error when the images are listed
    inside = is_below(path, tops)
    beside = {top.parent.resolve() for top in tops if top != data_dir}
    whole = path.resolve()
    for folder in (whole, *whole.parents):
        if inside is None and folder.parent in beside and split_kind(folder.name) is not None:
            return folder
    return inside
