"""What every source of images is turned into."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.errors import DataError
from tdctl.labels import Labels

__all__ = ["DataSet", "Images", "by_class", "channel_statistics", "check_memory"]


@dataclass(frozen=True)
class Images:
    """Decoded images of one size, with the labels training or testing sees.

    Attributes:
        pixels: uint8 [n, C, H, W].
        index: int64 [n], each image's position in the source data set.
        targets: int64 [n] in [0, k).
    """

    pixels: torch.Tensor
    index: NDArray[np.int64]
    targets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.index)

    def take(
        self, rows: NDArray[np.int64] | NDArray[np.bool_], targets: NDArray[np.int64] | None = None
    ) -> Images:
        """The images of some rows, chosen by position or mask, with other targets if given.

        ``targets`` has one value for each row taken.
        """
        pixels = self.pixels[torch.from_numpy(rows)]
        return Images(pixels, self.index[rows], self.targets[rows] if targets is None else targets)

    def rows_of(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows that hold the given indices, in their order.

        Raises:
            DataError: an index is not in this data set.
        """
        order = np.argsort(self.index, kind="stable")
        at = np.searchsorted(self.index, index, sorter=order)
        rows = order[np.minimum(at, len(order) - 1)]
        missing = index[self.index[rows] != index]
        if len(missing):
            raise DataError(
                f"{len(missing)} indices of the run, first {missing[0]}, are not in the data set "
                f"of {len(self)} training images; give the data set that the run was made with"
            )
        return rows.astype(np.int64)


@dataclass(frozen=True)
class DataSet:
    """A data set in memory.

    Attributes:
        name: such as ``digits``.
        class_names: k names; a label is a position in this list.
        train: all training images; ``targets`` are the given labels before any corruption.
        labels: given and true labels of ``train``, row by row.
        test: images whose labels are trusted, or None.
        file_names: n names in the rows of ``train``, relative to the data folder, or None.
        mean, std: C values in [0, 1] and above 0, of the training pixels over 255.
        mirrors: whether a mirrored image still shows its class.
        notes: what the user should know about how the data was read, one line each.
    """

    name: str
    class_names: list[str]
    train: Images
    labels: Labels
    test: Images | None
    file_names: list[str] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mirrors: bool
    notes: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        """k."""
        return len(self.class_names)

    def fingerprint(self) -> str:
        """Hex digest of classes, training images, their names, indices and labels."""
        digest = hashlib.sha256(json.dumps([self.class_names, self.file_names]).encode())
        labels = (self.labels.index, self.labels.assigned, self.labels.true)
        digest.update(np.stack(labels).astype("<i8").tobytes())
        digest.update(str(tuple(self.train.pixels.shape)).encode())
        digest.update(self.train.pixels.contiguous().numpy().data)
        return digest.hexdigest()


def by_class(
    targets: NDArray[np.int64], class_names: list[str], limit: int | None
) -> tuple[str, ...]:
    """A note where the images leave classes without a sample; empty where they do not."""
    present = len(np.unique(targets))
    if present == len(class_names):
        return ()
    more = "; a larger --limit reaches more" if limit is not None else ""
    held = f"{present} of {len(class_names)} classes"
    return (f"the given labels of the {len(targets)} training images hold {held}{more}",)


def check_memory(count: int, shape: tuple[int, ...]) -> None:
    """Refuses images that do not fit into four fifths of this machine's memory.

    Raises:
        DataError: with what is needed and what there is.
    """
    needed = count * int(np.prod(shape))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > 0.8 * memory:
        raise DataError(
            f"{count} images of {'x'.join(map(str, shape))} need {needed / 1e9:.1f} GB and this "
            f"machine has {memory / 1e9:.1f}; give a smaller --image-size, or --limit"
        )


def channel_statistics(pixels: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, in units of 255.

    Counted over the 256 values, so that the result does not depend on any order of summing.
    A constant channel gets a standard deviation of 1.

    Args:
        pixels: uint8 [n, C, H, W].
    """
    value = np.arange(256) / 255.0
    means, stds = [], []
    for channel in range(pixels.shape[1]):
        plane = pixels[:, channel].reshape(-1)
        counts = np.zeros(256, dtype=np.float64)
        for start in range(0, len(plane), 1 << 26):
            counts += np.bincount(plane[start : start + (1 << 26)].numpy(), minlength=256)
        share = counts / counts.sum()
        mean = float(share @ value)
        variance = float(share @ (value - mean) ** 2)
        means.append(mean)
        stds.append(variance**0.5 or 1.0)
    return tuple(means), tuple(stds)
