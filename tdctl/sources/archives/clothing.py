"""Clothing100K: 100,000 training images with noisy labels, drawn from Clothing1M."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tdctl.config import DataConfig
from tdctl.errors import DataError
from tdctl.labels import Labels
from tdctl.sources.archives.lines import ListFile, read_list
from tdctl.sources.archives.present import require_images
from tdctl.sources.encoded import Files
from tdctl.sources.listing import Listing
from tdctl.streams import CLOTHING100K

__all__ = ["list_clothing100k"]

CLASSES = 14
DRAWN = 100_000


def list_clothing100k(root: Path, config: DataConfig, split_seed: int) -> Listing:
    """100,000 training images with noisy labels, and the test images with clean labels.

    The training images are drawn uniformly without replacement. The draw depends only on
    ``split_seed`` and the number of keys. The order of ``noisy_train_key_list.txt`` is kept.
    ``index`` and ``test_index`` are positions in the two key lists. The true labels of the
    training images are not known. The lists are in the folder or in its ``annotations/``. The
    clean training and validation images are not used.

    Raises:
        DataError: a list is missing or malformed (the message names file and line), a key has no
            label, or a drawn image or a test image is missing.

    Source: Xiao et al. (CVPR 2015); the subset is that of Jia et al. (AAAI 2023).
    """
    class_names = _class_names(root)
    keys = _read(root, "noisy_train_key_list.txt")
    key_n = _keys(keys)
    rows = np.arange(len(key_n), dtype=np.int64)
    notes = []
    if len(rows) > DRAWN:
        rng = CLOTHING100K.numpy_generator(split_seed)
        rows = np.sort(rng.choice(len(rows), DRAWN, replace=False))
    elif len(rows) < DRAWN:
        notes.append(f"{keys.path} has {len(rows):,} keys, fewer than {DRAWN:,}: all are used")
    target_n = _labels(keys, key_n, _read(root, "noisy_label_kv.txt"))
    tested = _read(root, "clean_test_key_list.txt")
    test_names = _keys(tested)
    test_targets = _labels(tested, test_names, _read(root, "clean_label_kv.txt"))

    names = [key_n[row] for row in rows]
    require_images(root, names, keys, (rows + 1).tolist())
    require_images(root, test_names, tested, range(1, len(test_names) + 1))
    shared = len(set(names).intersection(test_names))
    if shared:
        notes.append(f"{shared} images are both among the training and the test images")
    targets = target_n[rows]
    names += test_names
    return Listing(
        name="clothing100k",
        class_names=class_names,
        labels=Labels(rows, targets, targets),
        test_index=np.arange(len(test_names), dtype=np.int64),
        test_targets=test_targets,
        names=names,
        images=Files(root, names),
        notes=tuple(notes),
    )


def _read(root: Path, name: str, *, or_latin: bool = False) -> ListFile:
    below = root / "annotations" / name
    return read_list(below if below.exists() else root / name, or_latin=or_latin)


def _class_names(root: Path) -> list[str]:
    listed = _read(root, "category_names_eng.txt", or_latin=True)
    names: list[str] = []
    for number, line in enumerate(listed.lines, start=1):
        name = line.strip()
        if not name or name in names:
            why = f"has the name {name!r}, as an earlier line has" if name else "is blank"
            raise listed.wrong(number, f"{why}; expected the name of a class")
        names.append(name)
    if len(names) != CLASSES:
        raise DataError(f"{listed.path}: {len(names)} lines; expected {CLASSES}, one a class")
    return names


def _keys(listed: ListFile) -> list[str]:
    return [
        listed.below(number, key) for number, (key,) in enumerate(listed.records("key"), start=1)
    ]


def _labels(keys: ListFile, key_n: Sequence[str], table: ListFile) -> NDArray[np.int64]:
    """The labels that ``table`` gives to the keys, int64 [n]."""
    label_of = {}
    for number, (key, text) in enumerate(table.records("key", "label"), start=1):
        label_of[key] = table.whole(number, text, "label", 0, CLASSES - 1)
    labels = np.empty(len(key_n), dtype=np.int64)
    for row, key in enumerate(key_n):
        label = label_of.get(key)
        if label is None:
            raise keys.wrong(row + 1, f"names the key {key!r}, which has no label in {table.path}")
        labels[row] = label
    return labels
