"""Image folders: one sub-folder a class, and label tables that override them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tdctl.config import DataConfig
from tdctl.data.dataset import DataSet, Images, by_class
from tdctl.data.decode import file_stats
from tdctl.data.hold import hold
from tdctl.data.table import labels_from_table
from tdctl.errors import DataError
from tdctl.labels import Labels, stratified_holdout

__all__ = ["open_folder"]

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
LAYOUT = "expected DIR/train/<class>/<image> with DIR/test or DIR/val, or DIR/<class>/<image>"


@dataclass(frozen=True)
class _Listing:
    """Files of one split, class by class in sorted order, as torchvision's ImageFolder has them."""

    files: list[Path]
    targets: NDArray[np.int64]
    ignored: list[Path]


def open_folder(config: DataConfig) -> DataSet:
    """An image folder as RGB, resized as the settings say.

    ``index`` is the position in the training split, classes sorted by name, files by path
    within: the order of torchvision's ImageFolder where no folder is nested or hidden.
    ``limit`` takes the first N *by file name* whatever
    their class (a class-sorted prefix would be a single class) and keeps their index. Without
    ``test/`` or ``val/`` a share of each class is held out as test set, the same for all seeds.

    Raises:
        DataError: a folder is missing or empty, an image does not decode, sizes differ and no
            ``image_size`` is given, the label table does not fit, or there is no room for
            the images as the settings would have them held.
    """
    root = config.data_dir or Path()
    if not root.is_dir():
        raise DataError(f"folder {root}: no such folder; {LAYOUT}")
    has_split = (root / "train").is_dir()
    top = root / "train" if has_split else root
    class_names = _class_names(top)
    listing = _list_split(top, class_names)
    test_top = next((root / n for n in ("test", "val") if has_split and (root / n).is_dir()), None)
    names = [file.relative_to(root).as_posix() for file in listing.files]
    labels = Labels(np.arange(len(names)), listing.targets, listing.targets)
    if config.labels is not None:
        labels = labels_from_table(config, names, labels.index, class_names, None)

    rows = np.arange(len(names), dtype=np.int64)
    if test_top is not None:
        tested = _list_split(test_top, class_names)
        test_files, test_targets = tested.files, tested.targets
        test_rows = np.arange(len(test_files), dtype=np.int64)
    else:
        apart = stratified_holdout(
            listing.targets, round(config.test_share * len(rows)), 0, "test_share"
        )
        rows, test_rows = rows[~apart], rows[apart]
        test_files = [listing.files[row] for row in test_rows]
        # What is right where the table says so; the folder's word otherwise.
        test_targets = labels.true[test_rows]
    if config.limit is not None:
        rows = np.sort(sorted(rows, key=lambda row: (listing.files[row].name, row))[: config.limit])

    files, n = [listing.files[row] for row in rows] + test_files, len(rows)
    stats = file_stats(files)
    held = hold(config, files, [file.relative_to(root).as_posix() for file in files], stats, n)
    train = Images(held.store, np.arange(n), rows, labels.assigned[rows])
    test = Images(held.store, np.arange(n, len(files)), test_rows, test_targets)
    notes = [*held.notes, *by_class(train.targets, class_names, config.limit)]
    if listing.ignored:
        notes.append(
            f"{len(listing.ignored)} files are no images by their name and were left out, "
            f"first {listing.ignored[0]}"
        )
    if test_top is None and len(test_rows):
        notes.append(
            f"no test/ or val/: {len(test_rows)} images are held out as test set with the labels "
            "they have, and are not ranked; --test-share 0 ranks all"
        )
    return DataSet(
        name="folder",
        class_names=class_names,
        train=train,
        labels=labels.take(rows),
        test=test if test_files else None,
        file_names=[names[row] for row in rows],
        file_sizes=stats[:n, 0].tolist(),
        mean=held.mean,
        std=held.std,
        mirrors=True,
        notes=tuple(notes),
    )


def _class_names(top: Path) -> list[str]:
    folders = sorted(p.name for p in top.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise DataError(f"folder {top}: no class folders in it; {LAYOUT}")
    _check_names([top / name for name in folders])
    return folders


def _check_names(paths: Sequence[Path]) -> None:
    for path in paths:
        try:
            str(path).encode("utf-8")
        except UnicodeEncodeError:
            raise DataError(
                f"{str(path)!r}: the name is not valid UTF-8 and could not be written to the "
                "results; rename it"
            ) from None


def _list_split(top: Path, class_names: list[str]) -> _Listing:
    unknown = sorted(set(_class_names(top)) - set(class_names))
    if unknown:
        raise DataError(
            f"folder {top / unknown[0]}: the training images have no class of this name; "
            "expected the same class folders in both splits"
        )
    files: list[Path] = []
    targets: list[int] = []
    ignored: list[Path] = []
    for label, name in enumerate(class_names):
        here = []
        for place, _, entries in sorted(os.walk(top / name, followlinks=True)):
            paths = [Path(place, entry) for entry in sorted(entries) if not entry.startswith(".")]
            here += [path for path in paths if path.suffix.lower() in SUFFIXES]
            ignored += [path for path in paths if path.suffix.lower() not in SUFFIXES]
        if not here and (top / name).is_dir():
            raise DataError(
                f"folder {top / name}: the class has no image; remove the folder or fill it "
                f"(read are {' '.join(sorted(SUFFIXES))})"
            )
        _check_names(here)
        files += here
        targets += [label] * len(here)
    return _Listing(files, np.asarray(targets, dtype=np.int64), ignored)
