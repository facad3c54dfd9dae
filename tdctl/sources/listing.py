"""A data set before its pixels are read: classes, labels, and where the images are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.labels import Labels
from tdctl.sources.encoded import Encoded

__all__ = ["Listing", "Skipped", "spread_over_classes"]


@dataclass(frozen=True)
class Skipped:
    """An image, or a row of a table, that was left out; the others keep their index.

    Attributes:
        index: its position in the source data set.
        file_name: relative to the data folder, or where it lies; of a row, as the table has it.
        split: ``train`` or ``test``; of a row, what the table says, which may be nothing.
        reason: in the decoder's words, or what is wrong with the row.
    """

    index: int
    file_name: str
    split: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """What every source of images is read into first.

    Attributes:
        name: of the data set, such as ``cub_200_2011``.
        class_names: k different names; a label is a position in this list.
        labels: given and true labels of the n training images. Their ``index`` is the position
            in the source: in its list of training images, or of all images where it is one list.
        test_index, test_targets: int64 [m], the same of the test images; m may be 0.
        names: n + m names relative to the data folder with ``/``, training images first; None
            where the images are not files.
        images: n + m images, training images first: encoded, or uint8 [n + m, C, H, W].
        first: int64 [n], the rows of the training images in the order in which ``limit`` takes
            them; None for the order they are in.
        held: bool [n], True for images that the source itself holds out for validation; None
            where it holds out none.
        one_list: whether the test images were split off the list of training images: a label
            table then covers both, and ``index`` counts through both.
        trusted: whether the source's labels are known to be right, as a benchmark's are.
        mirrors: whether a mirrored image still shows its class.
        notes: what the user should know about how the data was read, one line each.
        skipped: what was left out, as the user asked for; none of it is among the images.
    """

    name: str
    class_names: list[str]
    labels: Labels
    test_index: NDArray[np.int64]
    test_targets: NDArray[np.int64]
    names: list[str] | None
    images: Encoded | torch.Tensor
    first: NDArray[np.int64] | None = None
    held: NDArray[np.bool_] | None = None
    one_list: bool = False
    trusted: bool = False
    mirrors: bool = True
    notes: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        """n, the training images."""
        return len(self.labels)

    def limited(self, limit: int | None) -> Listing:
        """The same with the first ``limit`` training images alone, and all test images."""
        n = len(self)
        if limit is None or limit >= n:
            return self
        rows = np.arange(n) if self.first is None else self.first
        return self.taken(np.sort(rows[:limit]), np.arange(len(self.test_index)))

    def taken(self, train: NDArray[np.int64], test: NDArray[np.int64]) -> Listing:
        """The same with some of the training and some of the test images, in the order given.

        Args:
            train, test: int64, rows of the training images, and rows of the test images.
        """
        both = np.concatenate([train, test + len(self)])
        images = self.images
        return replace(
            self,
            labels=self.labels.take(train),
            test_index=self.test_index[test],
            test_targets=self.test_targets[test],
            names=None if self.names is None else [self.names[row] for row in both],
            images=images[torch.from_numpy(both)]
            if isinstance(images, torch.Tensor)
            else images.take(both),
            first=None,
            held=None if self.held is None else self.held[train],
        )


def spread_over_classes(targets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Int64 [n], rows so ordered that the first of every class come first, then the second.

    What ``Listing.first`` should be where a source lists its images class by class: a prefix
    would be a single class.
    """
    by_class = np.argsort(targets, kind="stable")
    _, starts, sizes = np.unique(targets[by_class], return_index=True, return_counts=True)
    turn = np.empty(len(targets), dtype=np.int64)
    turn[by_class] = np.arange(len(targets)) - np.repeat(starts, sizes)
    return np.lexsort((targets, turn))
