"""Data sets known by name: scikit-learn's digits, and the data sets that torchvision reads."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.catalogue import CATALOGUE
from tdctl.config import DataConfig
from tdctl.errors import DataError
from tdctl.labels import Labels
from tdctl.sources.listing import Listing
from tdctl.streams import DIGITS_TEST

__all__ = ["in_torchvisions_layout", "list_digits", "list_torchvision"]

# For each data set: the class in torchvision, and whether a mirrored image keeps its class.
TORCHVISION = {
    "cifar10": ("CIFAR10", True),
    "cifar100": ("CIFAR100", True),
    "mnist": ("MNIST", False),
    "fashion_mnist": ("FashionMNIST", True),
    "svhn": ("SVHN", False),
}


def list_digits() -> Listing:
    """The 1,797 handwritten digits (8x8, 10 classes) that ship inside scikit-learn.

    A third of each class is the test set. The split does not depend on any seed. ``index`` is the
    position in scikit-learn's array.

    Source: ``sklearn.datasets.load_digits``, after Alpaydin and Kaynak (1998), UCI.
    """
    pixels, targets, train, test = _read_digits()
    rows = np.concatenate([train, test])
    return Listing(
        name="digits",
        class_names=[str(name) for name in range(10)],
        labels=Labels(train.copy(), targets[train], targets[train]),
        test_index=test.copy(),
        test_targets=targets[test],
        names=None,
        images=torch.from_numpy(pixels[rows]),
        trusted=True,
        mirrors=False,
    )


@cache
def _read_digits() -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[Any], NDArray[Any]]:
    """Pixels [n, 1, 8, 8], classes [n], and the rows of the training and the test set.

    They are read once in a process: a sweep opens its data for each row. Do not change them.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    # The values are 0 to 16. The factor 255/16 spreads them over 0 to 255.
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, None]
    train, test = train_test_split(
        np.arange(len(pixels)),
        test_size=599,
        stratify=digits.target,
        random_state=DIGITS_TEST.number(),
    )
    return pixels, digits.target.astype(np.int64), np.sort(train), np.sort(test)


def in_torchvisions_layout(config: DataConfig) -> bool:
    """Whether ``DIR/<dataset>`` or ``DIR`` has torchvision's layout of the data set."""
    return _found(config) is not None


def _places(config: DataConfig) -> tuple[Path, Path]:
    directory = config.data_dir or Path()
    return directory / config.dataset, directory


def _found(config: DataConfig) -> Path | None:
    (landmark,) = CATALOGUE[config.dataset].landmarks
    # torchvision accepts mat and idx files both compressed and uncompressed.
    here = [landmark, f"{landmark}.gz"]
    return next((r for r in _places(config) if any((r / n).exists() for n in here)), None)


def list_torchvision(config: DataConfig) -> Listing:
    """A data set that torchvision reads, from ``DIR/<dataset>`` or ``DIR``.

    Raises:
        DataError: the data set is in neither place and ``download`` is off (the message names both
            places), or its files cannot be read.
    """
    from torchvision import datasets

    class_name, mirrors = TORCHVISION[config.dataset]
    (landmark,) = CATALOGUE[config.dataset].landmarks
    kind = getattr(datasets, class_name)
    roots, found = _places(config), _found(config)
    root = found or roots[0]
    if found is None and not config.download:
        raise DataError(
            f"{config.dataset}: found neither {roots[0] / landmark} nor {roots[1] / landmark}; "
            "expected torchvision's layout there, an image folder with train/, or --download"
        )
    splits: list[dict[str, Any]] = [{"train": True}, {"train": False}]
    if config.dataset == "svhn":
        splits = [{"split": "train"}, {"split": "test"}]
    try:
        train, test = (kind(root, download=config.download, **split) for split in splits)
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{config.dataset}: cannot be read from {root} ({reason}); "
            f"expected torchvision's layout with {landmark}"
        ) from None
    pixels, targets = zip(*(_content(source) for source in (train, test)), strict=True)
    index, test_index = (np.arange(len(part), dtype=np.int64) for part in targets)
    return Listing(
        name=config.dataset,
        class_names=[str(name) for name in getattr(train, "classes", range(10))],
        labels=Labels(index, targets[0], targets[0]),
        test_index=test_index,
        test_targets=targets[1],
        names=None,
        images=torch.cat(pixels),
        trusted=True,
        mirrors=mirrors,
    )


def _content(source: Any) -> tuple[torch.Tensor, NDArray[np.int64]]:
    data = torch.as_tensor(source.data)
    targets = np.asarray(source.targets if hasattr(source, "targets") else source.labels)
    if data.ndim == 3:
        data = data[:, None]
    elif data.shape[-1] == 3:
        data = data.permute(0, 3, 1, 2)
    return data.contiguous(), targets.astype(np.int64)
