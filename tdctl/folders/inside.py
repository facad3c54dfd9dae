"""Whether a path lies where it would be read as data the next time."""

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
    """The first of some folders that a path is or lies in, links resolved; None for none."""
    whole = path.resolve()
    return next((folder for folder in folders if whole.is_relative_to(folder.resolve())), None)


def class_tops(data_dir: Path) -> list[Path]:
    """The folders of an image folder whose folders are read as classes.

    Raises:
        DataError: it is not laid out as one.
    """
    layout = find_layout(Tree(data_dir), Account())
    splits = (layout.train, layout.test, layout.held)
    return [data_dir / split.top for split in splits if split is not None]


def read_as_data(path: Path, data_dir: Path) -> Path | None:
    """The folder of an image folder that a new file or folder would be read in; None for none.

    Beside ``train/`` lies what is not read, unless it is called as a split is.
    """
    try:
        tops = class_tops(data_dir)
    except DataError:
        return None  # said where the images are listed
    inside = is_below(path, tops)
    beside = {top.parent.resolve() for top in tops if top != data_dir}
    whole = path.resolve()
    for folder in (whole, *whole.parents):
        if inside is None and folder.parent in beside and split_kind(folder.name) is not None:
            return folder
    return inside
