"""Caltech-UCSD Birds-200-2011 in the layout of CUB_200_2011.tgz."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tdctl.config import DataConfig
from tdctl.errors import DataError
from tdctl.labels import Labels
from tdctl.sources.archives.lines import ListFile, read_list
from tdctl.sources.archives.present import require_images
from tdctl.sources.encoded import Files
from tdctl.sources.listing import Listing, spread_over_classes

__all__ = ["list_cub_200_2011"]


def list_cub_200_2011(root: Path, config: DataConfig, split_seed: int) -> Listing:
    """The images in the order of ``images.txt``, split as in ``train_test_split.txt``.

    ``index`` is the position in ``images.txt``, for training and test images alike. The lists
    count classes from 1: class c has the label c - 1. Its name is the name of its folder.

    Raises:
        DataError: a list is missing or malformed (the message names file and line), the lists do
            not have the same ids, an image's class differs from its folder, or an image is missing.

    Source: Wah et al. (2011), CNS-TR-2011-001, California Institute of Technology.
    """
    images = read_list(root / "images.txt")
    classes = _class_names(root)
    row_of: dict[str, int] = {}
    names: list[str] = []
    for number, (identity, path) in enumerate(images.records("id", "path"), start=1):
        images.whole(number, identity, "id", 1)
        row_of[identity] = number - 1
        names.append(f"images/{images.below(number, path)}")
    _refuse_twice(images, names)
    labelled = read_list(root / "image_class_labels.txt")
    label_n, label_lines = _by_image(row_of, labelled, "class", 1, len(classes), images)
    label_n -= 1
    for row, (name, label) in enumerate(zip(names, label_n, strict=True)):
        folder = name.split("/")[1]
        if folder != classes[label]:
            raise labelled.wrong(
                int(label_lines[row]),
                f"gives the class {classes[label]!r}; expected {folder!r}, the folder of its image "
                f"in line {row + 1} of {images.path}",
            )
    split = read_list(root / "train_test_split.txt")
    trained_n, _ = _by_image(row_of, split, "1 for training, 0 for test", 0, 1, images)
    require_images(root, names, images, range(1, len(names) + 1))

    rows, test_rows = np.flatnonzero(trained_n == 1), np.flatnonzero(trained_n == 0)
    if not len(rows):
        raise DataError(f"{split.path}: no training image; expected lines that end with 1")
    targets = label_n[rows]
    names = [names[row] for row in np.concatenate([rows, test_rows])]
    return Listing(
        name="cub_200_2011",
        class_names=classes,
        labels=Labels(rows, targets, targets),
        test_index=test_rows,
        test_targets=label_n[test_rows],
        names=names,
        images=Files(root, names),
        first=spread_over_classes(targets),
        trusted=True,
    )


def _class_names(root: Path) -> list[str]:
    listed = read_list(root / "classes.txt")
    names = [""] * len(listed)
    for number, (identity, name) in enumerate(listed.records("class", "name"), start=1):
        label = listed.whole(number, identity, "class", 1, len(listed)) - 1
        if name in names:
            raise listed.wrong(number, f"has the name {name!r}, as an earlier line has")
        names[label] = name
    return names


def _refuse_twice(images: ListFile, names: list[str]) -> None:
    seen: set[str] = set()
    for number, name in enumerate(names, start=1):
        if name in seen:
            raise images.wrong(number, f"names {name!r}, as an earlier line does")
        seen.add(name)


def _by_image(
    row_of: dict[str, int], listed: ListFile, what: str, low: int, high: int, images: ListFile
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The value of each image and the line that gives it, int64 [n] each."""
    value_n = np.zeros(len(row_of), dtype=np.int64)
    line_n = np.zeros(len(row_of), dtype=np.int64)
    for number, (identity, text) in enumerate(listed.records("id", what), start=1):
        row = row_of.get(identity)
        if row is None:
            raise listed.wrong(number, f"has the id {identity!r}, which is not in {images.path}")
        value_n[row] = listed.whole(number, text, what, low, high)
        line_n[row] = number
    without = np.flatnonzero(line_n == 0)
    if len(without):
        number = int(without[0]) + 1
        raise DataError(
            f"{listed.path}: no line for {len(without)} ids, first that of line {number} of "
            f"{images.path}; unpack the archive anew"
        )
    return value_n, line_n
