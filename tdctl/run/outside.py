"""Output stays out of the data: a run among the class folders would be a class the next time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tdctl.catalogue import CATALOGUE, find
from tdctl.config import DataConfig
from tdctl.errors import RunError
from tdctl.folders import is_below, read_as_data
from tdctl.run.folder import CONFIG_FILE, read_config

__all__ = ["refuse_in_data", "refuse_in_data_of"]

# Below the archive's own folder, those whose content is listed; of the others only what their
# lists name is read.
LISTED = {"caltech256": ("",), "tiny_imagenet": ("train", "val/images")}


def refuse_in_data(data: DataConfig, out: Path | None) -> None:
    """Refuses an output, or a cache, where it would be read as data the next time.

    Args:
        data: the data set and where it lies.
        out: the file or folder that is to be written; None for none.

    Raises:
        RunError: it lies among the images.
    """
    for flag, path in (("--out", out), ("--cache-dir", data.cache_dir)):
        inside = None if path is None else _read_at(data, path)
        if inside is not None and path is not None:
            raise RunError(
                f"{path}: lies in {inside}, where it would be read as data the next time; give "
                f"{flag} outside of the data, such as {_elsewhere(data.root, path)}"
            )


def refuse_in_data_of(runs: Sequence[Path], out: Path | None) -> None:
    """The same for the data of recorded runs; those of other code do not say where theirs lies.

    Raises:
        RunError: the output lies among the images of a run.
    """
    if out is None:
        return
    for run in runs:
        if (run / CONFIG_FILE).exists():
            data = read_config(run).data
            refuse_in_data(data.model_copy(update={"cache_dir": None}), out)


def _read_at(data: DataConfig, path: Path) -> Path | None:
    """The folder in which what lies at a path would be read; None where it would not."""
    name, root = data.dataset, data.data_dir
    if root is None or not root.is_dir():
        return None
    if name == "folder":
        return read_as_data(path, root)
    if not CATALOGUE[name].landmarks:
        return None  # only what a table names, shards, and what save_to_disk lists are read
    home = find(name, root)
    if home is not None:
        return is_below(path, [home / part for part in LISTED.get(name, ())])
    found = (read_as_data(path, place) for place in (root / name, root) if place.is_dir())
    return next((inside for inside in found if inside is not None), None)


def _elsewhere(root: Path, path: Path) -> Path:
    """A path of nearly the same name beside the data."""
    top = root.resolve()
    return top.parent / f"{top.name}_{path.name}"
