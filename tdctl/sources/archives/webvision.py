"""The first 50 classes of WebVision 1.0, with the images from Google."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tdctl.config import DataConfig
from tdctl.errors import DataError
from tdctl.labels import Labels
from tdctl.sources.archives.lines import read_list
from tdctl.sources.archives.present import require_images
from tdctl.sources.encoded import Files
from tdctl.sources.listing import Listing, spread_over_classes

__all__ = ["list_webvision50"]

CLASSES = 50
ALL_CLASSES = 1000


def list_webvision50(root: Path, config: DataConfig, split_seed: int) -> Listing:
    """The images of ``info/train_filelist_google.txt`` with a label below 50, in the same order.

    The test set is the images of ``info/val_filelist.txt`` with a label below 50, which are in
    ``val_images_256/``. ``index`` and ``test_index`` are positions in the two full lists. Class
    names come from ``info/synsets.txt``. If this file does not exist, classes are named by number.

    Raises:
        DataError: a list is missing or malformed (the message names file and line), or an image
            of the 50 classes is missing.

    Source: Li et al. (2017), arXiv 1708.02862; the subset is that of Jiang et al. (ICML 2018).
    """
    class_names, known = _class_names(root)
    names, index, targets = _images(root, "train_filelist_google.txt", "", known)
    test_names, test_index, test_targets = _images(
        root, "val_filelist.txt", "val_images_256/", known
    )
    names += test_names
    return Listing(
        name="webvision50",
        class_names=class_names,
        labels=Labels(index, targets, targets),
        test_index=test_index,
        test_targets=test_targets,
        names=names,
        images=Files(root, names),
        first=spread_over_classes(targets),
    )


def _class_names(root: Path) -> tuple[list[str], int]:
    """The names of the 50 classes, and the number of classes in the lists."""
    path = root / "info/synsets.txt"
    if not path.exists():
        return [str(label) for label in range(CLASSES)], ALL_CLASSES
    synsets = read_list(path)
    if len(synsets) < CLASSES:
        raise DataError(f"{path}: {len(synsets)} lines; expected one a class, {CLASSES} or more")
    names: list[str] = []
    for number, line in enumerate(synsets.lines[:CLASSES], start=1):
        wnid, _, name = line.strip().partition(" ")
        if not wnid or not name.strip():
            raise synsets.wrong(number, f"has no name of a class: {line!r}; expected wnid and name")
        if name in names:
            raise synsets.wrong(number, f"has the name {name!r}, as an earlier line has")
        names.append(name)
    return names, len(synsets)


def _images(
    root: Path, list_name: str, folder: str, classes: int
) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    """The images of the 50 classes: their names, positions in the list, and labels."""
    listed = read_list(root / "info" / list_name)
    names, numbers, labels = [], [], []
    for number, (name, text) in enumerate(listed.records("image", "label"), start=1):
        label = listed.whole(number, text, "label", 0, classes - 1)
        path = folder + listed.below(number, name)
        if label < CLASSES:
            names.append(path)
            numbers.append(number)
            labels.append(label)
    if not names:
        raise DataError(f"{listed.path}: no image of the first {CLASSES} classes in it")
    require_images(root, names, listed, numbers)
    index = np.asarray(numbers, dtype=np.int64) - 1
    return names, index, np.asarray(labels, dtype=np.int64)
