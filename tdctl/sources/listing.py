"""A data set before its pixels are read: classes, labels, and where the images are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.labels import Labels
from tdctl.sources.encoded import Encoded
from tdctl.sources.vector_files import VectorRows

__all__ = ["Listing", "Skipped", "spread_over_classes"]


@dataclass(frozen=True)
class Skipped:
    """An image or a table row that was left out. The others keep their index.

    Attributes:
        index: the position in the source data set.
        file_name: the path relative to the data folder, or the place in a larger file. For a
            table row, the name in the table.
        split: ``train`` or ``test``. For a table row, the value in the table, possibly empty.
        reason: the message of the decoder, or what is wrong with the row.
    """

    index: int
    file_name: str
    split: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """A data set before its pixels are read. Every source of images is first read into this.

    Attributes:
        name: the name of the data set, such as ``cub_200_2011``.
        class_names: k different names; a label is a position in this list.
        labels: given and true labels of the n training images. ``labels.index`` is the position
            in the source's list of training images, or, with ``one_list``, of all images.
        test_index: int64 [m], the index of each test image; m may be 0.
        test_targets: int64 [m], the label of each test image.
        names: n + m names relative to the data folder, with ``/``, training images first; None
            if the images are not files.
        images: n + m images, training images first: encoded, or uint8 [n + m, C, H, W]; or the
            vectors of the data set ``embeddings``.
        first: int64 [n], the rows of the training images in the order in which ``limit`` takes
            them; None for the order of the rows.
        held: bool [n], True for images that the source holds out for validation; None if it
            holds out none.
        one_list: True if the test images were split off the list of training images. Then
            ``index`` counts through both, and a label table covers both.
        trusted: True if the source's labels are known to be right, as in a benchmark.
        mirrors: True if a mirrored image still shows its class.
        notes: what the user should know about how the data was read, one line each.
        skipped: the images and rows that were left out at the user's request.
    """

    name: str
    class_names: list[str]
    labels: Labels
    test_index: NDArray[np.int64]
    test_targets: NDArray[np.int64]
    names: list[str] | None
    images: Encoded | torch.Tensor | VectorRows
    first: NDArray[np.int64] | None = None
    held: NDArray[np.bool_] | None = None
    one_list: bool = False
    trusted: bool = False
    mirrors: bool = True
    notes: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        """n, the number of training images."""
        return len(self.labels)

    def limited(self, limit: int | None) -> Listing:
        """The listing with only the first ``limit`` training images, and all test images."""
        n = len(self)
        if limit is None or limit >= n:
            return self
        rows = np.arange(n) if self.first is None else self.first
        return self.taken(np.sort(rows[:limit]), np.arange(len(self.test_index)))

    def taken(self, train: NDArray[np.int64], test: NDArray[np.int64]) -> Listing:
        """The listing with some of the training and test images, in the given order.

        Args:
            train: int64, the rows of the training images to keep.
            test: int64, the rows of the test images to keep.
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
    """The rows ordered so that the classes take turns: the first image of each, then the second.

    A source that lists its images class by class needs this order as ``Listing.first``. Without
    it, the first images would all be of one class.

    Args:
        targets: int64 [n], the label of each row.

    Returns:
        int64 [n], the rows in the new order.
    """
    by_class = np.argsort(targets, kind="stable")
    _, starts, sizes = np.unique(targets[by_class], return_index=True, return_counts=True)
    turn = np.empty(len(targets), dtype=np.int64)
    turn[by_class] = np.arange(len(targets)) - np.repeat(starts, sizes)
    return np.lexsort((targets, turn))
