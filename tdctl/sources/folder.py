"""Image folders: one sub-folder a class."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tdctl.config import DataConfig
from tdctl.errors import DataError
from tdctl.labels import Labels, held_out_for_test
from tdctl.sources.encoded import Files
from tdctl.sources.listing import Listing

__all__ = ["by_file_name", "list_folder"]

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
LAYOUT = "expected DIR/train/<class>/<image> with DIR/test or DIR/val, or DIR/<class>/<image>"


@dataclass(frozen=True)
class _Split:
    """Files of one split, class by class in sorted order, as torchvision's ImageFolder has them.

    Names are relative to the data folder.
    """

    names: list[str]
    targets: NDArray[np.int64]
    ignored: list[str]


def list_folder(config: DataConfig, split_seed: int) -> Listing:
    """The images of a folder.

    ``index`` is the position in the training split, classes sorted by name, files by path
    within: the order of torchvision's ImageFolder where no folder is nested or hidden.
    ``limit`` takes the first N *by file name* whatever
    their class (a class-sorted prefix would be a single class) and keeps their index. Without
    ``test/`` or ``val/`` a share of each class is held out as test set.

    Raises:
        DataError: a folder is missing or empty.
    """
    root = config.data_dir or Path()
    if not root.is_dir():
        raise DataError(f"folder {root}: no such folder; {LAYOUT}")
    has_split = (root / "train").is_dir()
    top = "train" if has_split else "."
    class_names = _class_names(root / top)
    split = _list_split(root, top, class_names)
    test_top = next((n for n in ("test", "val") if has_split and (root / n).is_dir()), None)
    notes = []
    if split.ignored:
        notes.append(
            f"{len(split.ignored)} files are no images by their name and were left out, "
            f"first {root / split.ignored[0]}"
        )
    if test_top is not None:
        tested = _list_split(root, test_top, class_names)
        index, test_index = np.arange(len(split.names)), np.arange(len(tested.names))
        names, targets, test_targets = split.names, split.targets, tested.targets
        names = [*names, *tested.names]
    else:
        apart = held_out_for_test(split.targets, config.test_share, split_seed)
        index, test_index = np.flatnonzero(~apart), np.flatnonzero(apart)
        targets, test_targets = split.targets[index], split.targets[test_index]
        names = [split.names[row] for row in (*index, *test_index)]
        if len(test_index):
            notes.append(
                f"no test/ or val/: {len(test_index)} images are held out as test set with the "
                "labels they have, and are not ranked; --test-share 0 ranks all"
            )
    return Listing(
        name="folder",
        class_names=class_names,
        labels=Labels(index, targets, targets),
        test_index=test_index,
        test_targets=test_targets,
        names=names,
        images=Files(root, names),
        first=by_file_name(names[: len(index)]),
        one_list=test_top is None,
        notes=tuple(notes),
    )


def _class_names(top: Path) -> list[str]:
    folders = sorted(p.name for p in top.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise DataError(f"folder {top}: no class folders in it; {LAYOUT}")
    _check_names([top / name for name in folders])
    return folders


def _check_names(paths: Iterable[Path | str]) -> None:
    for path in paths:
        try:
            str(path).encode("utf-8")
        except UnicodeEncodeError:
            raise DataError(
                f"{str(path)!r}: the name is not valid UTF-8 and could not be written to the "
                "results; rename it"
            ) from None


def _list_split(root: Path, top: str, class_names: list[str]) -> _Split:
    unknown = sorted(set(_class_names(root / top)) - set(class_names))
    if unknown:
        raise DataError(
            f"folder {root / top / unknown[0]}: the training images have no class of this name; "
            "expected the same class folders in both splits"
        )
    names: list[str] = []
    ignored: list[str] = []
    sizes = []
    for name in class_names:
        here, others = _images_below(str(root / top / name))
        if not here and (root / top / name).is_dir():
            raise DataError(
                f"folder {root / top / name}: the class has no image; remove the folder or fill it "
                f"(read are {' '.join(sorted(SUFFIXES))})"
            )
        below = name if top == "." else f"{top}/{name}"
        names += [f"{below}/{path}" for path in here]
        ignored += [f"{below}/{path}" for path in others]
        sizes.append(len(here))
    _check_names(names)
    targets = np.repeat(np.arange(len(class_names), dtype=np.int64), sizes)
    return _Split(names, targets, ignored)


def _images_below(top: str) -> tuple[list[str], list[str]]:
    """Paths below a folder with ``/``: of the images by their suffix, and of the other files."""
    images: list[str] = []
    ignored: list[str] = []
    for place, _, entries in sorted(os.walk(top, followlinks=True)):
        below = place[len(top) + 1 :].replace(os.sep, "/")
        for entry in sorted(entries):
            if not entry.startswith("."):
                path = f"{below}/{entry}" if below else entry
                is_image = os.path.splitext(entry)[1].lower() in SUFFIXES  # noqa: PTH122
                (images if is_image else ignored).append(path)
    return images, ignored


def by_file_name(names: Sequence[str]) -> NDArray[np.int64]:
    """Int64 [n], the rows ordered by the last part of the name: what ``limit`` takes first."""
    last = [name.rpartition("/")[2] for name in names]
    return np.array(sorted(range(len(names)), key=lambda row: (last[row], row)), dtype=np.int64)
