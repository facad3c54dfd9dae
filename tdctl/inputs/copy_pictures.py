"""Copies of a folder's pictures in class folders that follow other labels; nothing is moved."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from tdctl.config import Config
from tdctl.errors import ConfigError, DataError, RunError
from tdctl.folders import is_below
from tdctl.folders.inside import class_tops
from tdctl.inputs.label_table import RunLabels
from tdctl.names import normal
from tdctl.sources.tables.columns import shown

__all__ = ["CopyPlan", "copy_pictures", "plan_copies"]

# What no file system takes as the name of a folder.
NO_NAMES = {"", ".", ".."}
LONGEST = 255


@dataclass(frozen=True)
class CopyPlan:
    """Which picture goes where.

    Attributes:
        root: the data folder.
        target: the folder that is made.
        pairs: path below ``root`` and path below ``target``, with ``/``.
        renamed: how many got another name, because one of theirs was taken in the new class.
    """

    root: Path
    target: Path
    pairs: tuple[tuple[str, str], ...]
    renamed: int

    def report(self) -> dict[str, Any]:
        """The plan as JSON-ready values."""
        return {"folder": str(self.target), "files": len(self.pairs), "renamed": self.renamed}


def plan_copies(
    config: Config | None, before: RunLabels, table: pd.DataFrame, target: Path
) -> CopyPlan:
    """Where each picture of a label table goes; writes nothing.

    A picture keeps its split's folder and its path within the class folder. Where that path is
    taken in another class, the picture that moves gets ``_from_CLASS`` behind its name.

    Args:
        config: the run's settings.
        before: the labels of the run.
        table: by index; ``file_name, label`` as decided.
        target: the folder to make.

    Raises:
        ConfigError: the data set is no image folder, or a class is no folder's name.
        RunError: the target is there already, or lies in the data.
    """
    if config is None or config.data.dataset != "folder" or before.everything is None:
        raise ConfigError(
            "copy_to: only pictures of the data set folder are copied into class folders; leave "
            "out --copy-to"
        )
    root = (config.data.data_dir or Path()).absolute()
    _check_target(root, target)
    # Of two folders of which one lies in the other, the inner one is meant.
    tops = sorted((_top(root, top) for top in class_tops(root)), key=len, reverse=True)
    kept: list[_Place] = []
    moved: list[_Place] = []
    for name, label in zip(table["file_name"], table["label"], strict=True):
        top = next(top for top in tops if name.startswith(top))
        folder, _, rest = name[len(top) :].partition("/")
        stays = normal(folder) == normal(label)
        to = folder if stays else _folder_name(label)
        (kept if stays else moved).append(_Place(name, f"{top}{to}", rest, folder))
    listing = before.everything.listing
    if not listing.one_list and listing.names is not None:
        # A test set of its own is not reviewed, and goes along as it is.
        for name in listing.names[len(listing) :]:
            folder, _, rest = name.rpartition("/")
            kept.append(_Place(name, folder, rest, ""))
    taken: set[str] = set()
    pairs, renamed = [], 0
    # Those that stay in their class keep their names.
    for place in [*kept, *moved]:
        free = f"{place.folder}/{place.rest}"
        if _folded(free) in taken and place.was:
            free = next(name for name in _others(place) if _folded(name) not in taken)
            renamed += 1
        taken.add(_folded(free))
        pairs.append((place.name, free))
    return CopyPlan(root, target, tuple(pairs), renamed)


@dataclass(frozen=True)
class _Place:
    """A picture, the folder it goes to, its path in there, and the class folder it comes from."""

    name: str
    folder: str
    rest: str
    was: str


def _top(root: Path, top: Path) -> str:
    """A folder of class folders as the beginning of names."""
    inside = top.absolute().relative_to(root).as_posix()
    return "" if inside == "." else f"{inside}/"


def copy_pictures(plan: CopyPlan) -> None:
    """Copies the pictures into a new folder, which appears whole or not at all.

    Raises:
        DataError: a picture is gone or cannot be read.
        RunError: the disk has no room, or tells apart fewer names than the classes need.
    """
    above = plan.target.absolute().parent
    above.mkdir(parents=True, exist_ok=True)
    _check_room(plan, above)
    part = Path(tempfile.mkdtemp(dir=above, prefix=f".{plan.target.name}.", suffix=".part"))
    try:
        _make_folders(part, {PurePosixPath(to).parent for _, to in plan.pairs})
        for name, to in plan.pairs:
            try:
                # Not Path's: see Files.
                shutil.copy2(f"{plan.root}/{name}", part / to)
            except FileNotFoundError:
                raise DataError(
                    f"{plan.root}/{name}: is gone; bring it back and call again"
                ) from None
        part.chmod(0o755)
        part.replace(plan.target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check_target(root: Path, target: Path) -> None:
    inside = is_below(target, [root])
    if inside is not None:
        raise RunError(
            f"{target}: lies in the data folder {root}; give --copy-to a folder outside of it"
        )
    occupied = target.exists() and (not target.is_dir() or any(target.iterdir()))
    if occupied or target.is_symlink():
        raise RunError(f"{target}: is there already and is left alone; give --copy-to a new folder")


def _check_room(plan: CopyPlan, above: Path) -> None:
    needed = 0
    for name, _ in plan.pairs:
        try:
            needed += os.stat(f"{plan.root}/{name}").st_size  # noqa: PTH116 - as in Files
        except OSError as error:
            raise DataError(f"{plan.root}/{name}: cannot be read ({error.strerror})") from None
    free = shutil.disk_usage(above).free
    if needed > free:
        raise RunError(
            f"{plan.target}: the copies take {needed / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are "
            "free there; give --copy-to a folder with more room"
        )


def _make_folders(part: Path, folders: Iterable[PurePosixPath]) -> None:
    """Makes the folders, each under a name of its own."""
    above = {PurePosixPath(*folder.parts[:depth]) for folder in folders
             for depth in range(1, len(folder.parts) + 1)}  # fmt: skip
    for folder in sorted(above):
        try:
            (part / folder).mkdir()
        except FileExistsError:
            raise RunError(
                f"{folder}: the disk takes this name for that of another class, which differs in "
                "capital letters or accents alone; give --copy-to a folder on another disk"
            ) from None


def _folder_name(label: str) -> str:
    if label in NO_NAMES or "/" in label or os.sep in label or len(label.encode()) > LONGEST:
        raise ConfigError(
            f"copy_to: the class {shown(label)} cannot be the name of a folder; leave out --copy-to"
        )
    return label


def _others(place: _Place) -> Iterator[str]:
    """Other names for a picture that comes from another class, the plainest first."""
    path = PurePosixPath(place.rest)
    for number in count(1):
        again = "" if number == 1 else f"_{number}"
        end = f"_from_{place.was}{again}{path.suffix}"
        # Names are at most so many bytes long.
        stem = path.stem.encode()[: max(1, LONGEST - len(end.encode()))].decode(errors="ignore")
        yield str(PurePosixPath(place.folder, path.parent, f"{stem}{end}"))


def _folded(path: str) -> str:
    """What a disk that does not tell capital letters apart makes of a path."""
    return normal(path).casefold()
