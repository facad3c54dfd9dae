"""Data sets known by name: scikit-learn's digits and those of torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.catalogue import CATALOGUE
from tdctl.config import DataConfig
from tdctl.data.dataset import DataSet, Images, by_class, channel_statistics
from tdctl.data.hold import check_memory
from tdctl.errors import DataError
from tdctl.labels import Labels

__all__ = ["open_digits", "open_torchvision"]

# Dataset name to torchvision's class, and whether it may be mirrored without changing its class.
TORCHVISION = {
    "cifar10": ("CIFAR10", True),
    "cifar100": ("CIFAR100", True),
    "mnist": ("MNIST", False),
    "fashion_mnist": ("FashionMNIST", True),
    "svhn": ("SVHN", False),
}


def open_digits(config: DataConfig) -> DataSet:
    """The 1,797 handwritten digits (8x8, 10 classes) that ship inside scikit-learn.

    A third of each class is the test set; the split is fixed, whatever the seed. ``index`` is
    the position in scikit-learn's array.

    Source: ``sklearn.datasets.load_digits``, after Alpaydin and Kaynak (1998), UCI.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    # Values are 0..16; 255/16 spreads them over a byte.
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, None]
    train, test = train_test_split(
        np.arange(len(pixels)), test_size=599, stratify=digits.target, random_state=0
    )
    targets = digits.target.astype(np.int64)
    train, test = np.sort(train), np.sort(test)
    return _dataset(
        config,
        [str(name) for name in range(10)],
        Images.held(torch.from_numpy(pixels[train]), train, targets[train]),
        Images.held(torch.from_numpy(pixels[test]), test, targets[test]),
        mirrors=False,
    )


def open_torchvision(config: DataConfig) -> DataSet:
    """A data set that torchvision reads, from ``DIR/<dataset>`` or ``DIR``.

    Raises:
        DataError: it is in neither place (the message names both) and ``download`` is off.
    """
    from torchvision import datasets

    class_name, mirrors = TORCHVISION[config.dataset]
    (landmark,) = CATALOGUE[config.dataset].landmarks
    kind = getattr(datasets, class_name)
    directory = config.data_dir or Path()
    roots = (directory / config.dataset, directory)
    # mat files and idx files may lie there packed or unpacked; torchvision accepts both.
    found = [r for r in roots if (r / landmark).exists() or (r / f"{landmark}.gz").exists()]
    root = found[0] if found else roots[0]
    if not found and not config.download:
        raise DataError(
            f"{config.dataset}: found neither {roots[0] / landmark} nor {roots[1] / landmark}; "
            "expected torchvision's layout there, or give --download"
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
    names = [str(name) for name in getattr(train, "classes", range(10))]
    return _dataset(config, names, _images(train), _images(test), mirrors)


def _images(source: Any) -> Images:
    data = torch.as_tensor(source.data)
    targets: NDArray[np.int64] = np.asarray(getattr(source, "targets", None))
    if not hasattr(source, "targets"):
        targets = np.asarray(source.labels)
    if data.ndim == 3:
        data = data[:, None]
    elif data.shape[-1] == 3:
        data = data.permute(0, 3, 1, 2)
    index = np.arange(len(data), dtype=np.int64)
    return Images.held(data.contiguous(), index, targets.astype(np.int64))


def _dataset(
    config: DataConfig, class_names: list[str], train: Images, test: Images, mirrors: bool
) -> DataSet:
    if config.limit is not None:
        train = train.take(np.arange(min(config.limit, len(train))))
    if config.image_size is not None and config.image_size != train.shape[-1]:
        train, test = (_resized(images, config.image_size) for images in (train, test))
    mean, std = channel_statistics(_pixels(train))
    return DataSet(
        name=config.dataset,
        class_names=class_names,
        train=train,
        labels=Labels(train.index, train.targets, train.targets),
        test=test,
        file_names=None,
        file_sizes=None,
        mean=mean,
        std=std,
        mirrors=mirrors,
        notes=by_class(train.targets, class_names, config.limit),
    )


def _resized(images: Images, size: int) -> Images:
    from torchvision.transforms import v2

    check_memory(len(images), (images.shape[0], size, size))
    parts = [
        v2.functional.resize(part, [size, size], antialias=True)
        for part in torch.split(_pixels(images), 4096)
    ]
    return Images.held(torch.cat(parts), images.index, images.targets)


def _pixels(images: Images) -> torch.Tensor:
    return next(images.batches([np.arange(len(images))]))
