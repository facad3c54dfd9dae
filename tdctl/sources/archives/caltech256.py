"""Caltech-256 in the layout of 256_ObjectCategories.tar."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from tdctl.config import DataConfig
from tdctl.errors import DataError
from tdctl.labels import Labels, held_out_for_test
from tdctl.sources.archives.present import folders_in, images_in, left_out
from tdctl.sources.encoded import Files
from tdctl.sources.listing import Listing, spread_over_classes

__all__ = ["CLUTTER", "list_caltech256"]

CLUTTER = "257.clutter"
CLASS = re.compile(r"([0-9]{3})\..+")


def list_caltech256(root: Path, config: DataConfig, split_seed: int) -> Listing:
    """All images, class by class; the share ``config.test_share`` of each class is the test set.

    Classes are ordered by number and named after their folders. The files of a class are sorted by
    name. ``index`` is the position in the whole list, for training and test images alike. The
    split depends only on ``split_seed``, ``test_share`` and the list.

    Raises:
        DataError: a class's number is missing or given twice, a class has no image, or a name is
            not UTF-8.

    Source: Griffin, Holub and Perona (2007), Caltech Technical Report 7694.
    """
    folders, ignored = _class_folders(root)
    if config.drop_clutter:
        folders = [folder for folder in folders if folder != CLUTTER]
    names: list[str] = []
    sizes = []
    for folder in folders:
        images, others = images_in(root / folder)
        names += [f"{folder}/{name}" for name in images]
        ignored += [f"{folder}/{name}" for name in others]
        sizes.append(len(images))
    label_n = np.repeat(np.arange(len(folders), dtype=np.int64), sizes)
    tested_n = held_out_for_test(label_n, config.test_share, split_seed)
    rows, test_rows = np.flatnonzero(~tested_n), np.flatnonzero(tested_n)
    targets = label_n[rows]
    notes = left_out(ignored)
    if len(test_rows):
        notes += (
            f"caltech256 has no split: {len(test_rows)} images are drawn as test set, and are not "
            "ranked; --test-share 0 ranks all",
        )
    names = [names[row] for row in np.concatenate([rows, test_rows])]
    return Listing(
        name="caltech256",
        class_names=folders,
        labels=Labels(rows, targets, targets),
        test_index=test_rows,
        test_targets=label_n[test_rows],
        names=names,
        images=Files(root, names),
        first=spread_over_classes(targets),
        one_list=True,
        trusted=True,
        notes=notes,
    )


def _class_folders(root: Path) -> tuple[list[str], list[str]]:
    found = folders_in(root)
    classes = [name for name in found if CLASS.fullmatch(name)]
    objects = [name for name in classes if name != CLUTTER]
    if not objects:
        raise DataError(f"{root}: no class folder such as 001.ak47 in it; unpack the archive anew")
    for wanted, name in enumerate(objects, start=1):
        number = int(name[:3])
        if number > wanted:
            raise DataError(
                f"{root}: no folder of class {wanted:03}, though {name} is there; unpack the "
                "archive anew"
            )
        if number < wanted:
            raise DataError(
                f"{root / name}: expected the class {wanted:03} in its place; the numbers must be "
                "001, 002 and so on, once each"
            )
    return classes, [name for name in found if name not in set(classes)]
