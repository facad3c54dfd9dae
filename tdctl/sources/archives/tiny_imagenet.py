"""Tiny ImageNet in the layout of tiny-imagenet-200.zip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tdctl.config import DataConfig
from tdctl.errors import DataError
from tdctl.folders import is_left_over
from tdctl.labels import Labels
from tdctl.sources.archives.lines import ListFile, read_list
from tdctl.sources.archives.present import folders_in, images_in, left_out, require_images
from tdctl.sources.encoded import Files
from tdctl.sources.listing import Listing, spread_over_classes

__all__ = ["list_tiny_imagenet"]


def list_tiny_imagenet(root: Path, config: DataConfig, split_seed: int) -> Listing:
    """The training images class by class; the validation images are the test set.

    The name of a class is its WordNet id. Classes are sorted by name, and so are the files of a
    class, as in torchvision's ImageFolder. ``index`` is the position in that order, and
    ``test_index`` the position in ``val/val_annotations.txt``. The images in ``test/`` have no
    labels and are not used.

    Raises:
        DataError: a list is missing or malformed (the message names file and line), an image of a
            list is missing, or an image or a class is in no list.

    Source: Le and Yang (2015), Stanford CS231N.
    """
    wnids = read_list(root / "wnids.txt")
    lines = {wnid: number for number, (wnid,) in enumerate(wnids.records("wnid"), start=1)}
    classes = sorted(lines)
    train_names: list[str] = []
    ignored: list[str] = []
    sizes = []
    there = {n for n in folders_in(root / "train") if not is_left_over(n)}
    unknown = sorted(there - set(classes))
    if unknown:
        raise DataError(
            f"{root / 'train' / unknown[0]}: no class of this name is in {wnids.path}; expected "
            "only folders that it names"
        )
    for wnid in classes:
        if wnid not in there:
            raise wnids.wrong(
                lines[wnid],
                f"names the class {wnid!r}, but {root / 'train'} has no such folder; unpack the "
                "archive anew",
            )
        folder = f"train/{wnid}/images"
        images, others = images_in(root / folder)
        train_names += [f"{folder}/{name}" for name in images]
        ignored += [f"{folder}/{name}" for name in others]
        sizes.append(len(images))
    targets = np.repeat(np.arange(len(classes), dtype=np.int64), sizes)
    test_names, test_targets = _validation(root, classes, wnids)
    index = np.arange(len(targets), dtype=np.int64)
    names = train_names + test_names
    return Listing(
        name="tiny_imagenet",
        class_names=classes,
        labels=Labels(index, targets, targets),
        test_index=np.arange(len(test_targets), dtype=np.int64),
        test_targets=test_targets,
        names=names,
        images=Files(root, names),
        first=spread_over_classes(targets),
        trusted=True,
        notes=left_out(ignored),
    )


def _validation(
    root: Path, classes: list[str], wnids: ListFile
) -> tuple[list[str], NDArray[np.int64]]:
    listed = read_list(root / "val/val_annotations.txt")
    label_of = {wnid: label for label, wnid in enumerate(classes)}
    names, targets = [], []
    box = ("left", "top", "right", "bottom")
    records = listed.records("file", "wnid", *box, separator="\t")
    for number, (file, wnid, *corners) in enumerate(records, start=1):
        if wnid not in label_of:
            raise listed.wrong(number, f"has the class {wnid!r}, which is not in {wnids.path}")
        for what, corner in zip(box, corners, strict=True):
            listed.whole(number, corner, what, 0)
        names.append(f"val/images/{listed.below(number, file)}")
        targets.append(label_of[wnid])
    require_images(root, names, listed, range(1, len(names) + 1))
    known = set(names)
    unlisted = [n for n in images_in(root / "val/images")[0] if f"val/images/{n}" not in known]
    if unlisted:
        raise DataError(
            f"{listed.path}: no line for {len(unlisted)} images, first val/images/{unlisted[0]}; "
            "unpack the archive anew"
        )
    return names, np.asarray(targets, dtype=np.int64)
