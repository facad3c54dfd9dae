"""Keeps output out of the data folder, where the next command would read it as a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tdctl.catalogue import CATALOGUE, find
from tdctl.config import DataConfig
from tdctl.errors import RunError
from tdctl.folders import is_below, read_as_data
from tdctl.run.folder import CONFIG_FILE, read_config

__all__ = ["refuse_in_data", "refuse_in_data_of"]

# Folders, below the folder of the archive, whose content is listed. For all other data sets,
# only the files that their lists name are read.
LISTED = {"caltech256": ("",), "tiny_imagenet": ("train", "val/images")}


def refuse_in_data(data: DataConfig, out: Path | None) -> None:
    """Refuses an output or cache path that the next command would read as data.

    Args:
        data: the data set and its folder.
        out: the file or folder that will be written; None if there is none.

    Raises:
        RunError: the path is among the images.
    """
    for flag, path in (("--out", out), ("--cache-dir", data.cache_dir)):
        inside = None if path is None else _read_at(data, path)
        if inside is not None and path is not None:
            raise RunError(
                f"{path}: lies in {inside}, where it would be read as data the next time; give "
                f"{flag} outside of the data, such as {_elsewhere(data.root, path)}"
            )


def refuse_in_data_of(runs: Sequence[Path], out: Path | None) -> None:
    """Does the same for the data of recorded runs, if their settings say where that data is.

    Raises:
        RunError: the output would be among the images of a run.
    """
    if out is None:
        return
    for run in runs:
        if (run / CONFIG_FILE).exists():
            data = read_config(run).data
            refuse_in_data(data.model_copy(update={"cache_dir": None}), out)


def _read_at(data: DataConfig, path: Path) -> Path | None:
    """The data folder that contains a path and would read it as data; None if there is none."""
    name, root = data.dataset, data.data_dir
    if root is None or not root.is_dir():
        return None
    if name == "folder":
        return read_as_data(path, root)
    if not CATALOGUE[name].landmarks:
        return None  # the files are named by a table, or are shards, or save_to_disk lists them
    home = find(name, root)
    if home is not None:
        return is_below(path, [home / part for part in LISTED.get(name, ())])
    found = (read_as_data(path, place) for place in (root / name, root) if place.is_dir())
    return next((inside for inside in found if inside is not None), None)


def _elsewhere(root: Path, path: Path) -> Path:
    """A path with a similar name, next to the data folder."""
    top = root.resolve()
    return top.parent / f"{top.name}_{path.name}"
