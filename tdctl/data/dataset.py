"""The data set that every source of images is turned into."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.data.pixel_store import MemoryStore, PixelStore, Tally
from tdctl.errors import DataError
from tdctl.labels import Labels
from tdctl.sources.listing import Skipped

__all__ = ["DataSet", "Images", "Skipped", "by_class", "channel_statistics"]


@dataclass(frozen=True)
class Images:
    """Images of one size, or vectors, with the labels for training or testing.

    Attributes:
        store: the pixels. The store may have more images than these.
        rows: int64 [n], the position of each image in the store.
        index: int64 [n], the position of each image in the source data set.
        targets: int64 [n] in [0, k), the label of each image.
        weights: float32 [n], the weight of each image's loss in training; None weighs all alike.
    """

    store: PixelStore
    rows: NDArray[np.int64]
    index: NDArray[np.int64]
    targets: NDArray[np.int64]
    weights: NDArray[np.float32] | None = None

    @classmethod
    def held(
        cls, pixels: torch.Tensor, index: NDArray[np.int64], targets: NDArray[np.int64]
    ) -> Images:
        """Images in memory.

        Args:
            pixels: uint8 [n, C, H, W].
            index: int64 [n], the position of each image in the source data set.
            targets: int64 [n], the label of each image.
        """
        return cls(MemoryStore(pixels), np.arange(len(pixels), dtype=np.int64), index, targets)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def shape(self) -> tuple[int, ...]:
        """C, H, W; for vectors d alone."""
        return self.store.shape[1:]

    @property
    def are_vectors(self) -> bool:
        """Whether these are vectors instead of images."""
        return len(self.shape) == 1

    @property
    def resident(self) -> bool:
        """Whether the pixels are in memory."""
        return self.store.kind == "memory"

    def take(
        self,
        rows: NDArray[np.int64] | NDArray[np.bool_],
        targets: NDArray[np.int64] | None = None,
        weights: NDArray[np.float32] | None = None,
    ) -> Images:
        """Some of the images. No pixel is copied.

        Args:
            rows: int64 positions, or a bool mask [n].
            targets: new labels, one for each row taken; None keeps the labels.
            weights: new weights, one for each row taken; None keeps the weights, if there are any.
        """
        given = self.targets[rows] if targets is None else targets
        if weights is None and self.weights is not None:
            weights = self.weights[rows]
        return Images(self.store, self.rows[rows], self.index[rows], given, weights)

    def batches(self, parts: Sequence[NDArray[np.int64]]) -> Iterator[torch.Tensor]:
        """The pixels of each part, uint8 [B, C, H, W] on the CPU, in the given order.

        Vectors are float32 [B, d].

        Args:
            parts: for each batch the positions among these images, int64 [B].

        Raises:
            DataError: a streamed image does not decode.
        """
        return self.store.batches([self.rows[part] for part in parts])

    def joined(self, others: Images) -> Images:
        """These images, followed by other images of the same store; without weights."""
        return Images(
            self.store,
            np.concatenate([self.rows, others.rows]),
            np.concatenate([self.index, others.index]),
            np.concatenate([self.targets, others.targets]),
        )

    def rows_of(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows with the given indices, in the order of the indices.

        Args:
            index: int64 [m], positions in the source data set.

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
    """A data set with its pixels, which are in memory, in the cache, or streamed.

    Attributes:
        name: the name of the data set, such as ``digits``.
        class_names: k names; a label is a position in this list.
        train: all n training images. Their ``targets`` are the given labels before any noise.
        labels: given and true labels of the training images, row by row.
        test: the test images, whose labels are trusted; or None.
        file_names: n names of the training images, relative to the data folder; or None.
        file_sizes: n sizes of the training images in bytes; or None.
        test_names, test_sizes: names and sizes of the test images; or None.
        mean, std: C values in [0, 1], statistics of the training pixels divided by 255 (or of a
            sample, if a note says so); for vectors, d values. ``std`` is above 0.
        mirrors: True if a mirrored image still shows its class.
        held: bool [n], True for images that the source holds out for validation; or None.
        one_list: True if the test images were split off the list of training images.
        skipped: the images that do not decode and the table rows that were left out.
        reading: the ways in which the reading of the images was not the usual one: name to value.
        notes: what the user should know about how the data was read, one line each.
    """

    name: str
    class_names: list[str]
    train: Images
    labels: Labels
    test: Images | None
    file_names: list[str] | None
    file_sizes: list[int] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mirrors: bool
    test_names: list[str] | None = None
    test_sizes: list[int] | None = None
    held: NDArray[np.bool_] | None = None
    one_list: bool = False
    skipped: tuple[Skipped, ...] = ()
    reading: Mapping[str, str | int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        """k."""
        return len(self.class_names)

    def identity(self) -> dict[str, str]:
        """Hex digests of the parts that identify this data set, by the name of the part.

        They do not depend on where the pixels are. No pixels are read, except those of test images
        in memory that are not files.
        """
        labels, test = self.labels, self.test
        parts: dict[str, object] = {
            "class names": self.class_names,
            "file names": self.file_names,
            "file sizes": self.file_sizes,
            "image size": self.train.shape,
            "order": labels.index,
            "given labels": labels.assigned,
            "true labels": labels.true,
            "validation images": self.held,
            **self.reading,
        }
        if test is not None:
            parts["test file names"] = self.test_names
            parts["test file sizes"] = self.test_sizes
            parts["test order"] = test.index
            parts["test labels"] = test.targets
            if self.test_names is None and test.resident:
                parts["test pixels"] = test.store.digest(test.rows)
        return {name: digest_of(part) for name, part in parts.items()}

    def fingerprint(self) -> str:
        """Hex digest of the identity."""
        return digest_of(self.identity())

    def pixel_digest(self) -> str | None:
        """Hex digest of the training pixels; None if they are streamed."""
        return self.train.store.digest(self.train.rows)


def digest_of(part: object) -> str:
    """Hex digest of one part of a data set's identity."""
    if isinstance(part, np.ndarray):
        return hashlib.sha256(part.astype("<i8").tobytes()).hexdigest()
    return hashlib.sha256(json.dumps(part).encode()).hexdigest()


def by_class(
    targets: NDArray[np.int64], class_names: list[str], limit: int | None, samples: str = "images"
) -> tuple[str, ...]:
    """A note if some classes have no training image; else empty.

    Args:
        targets: int64 [n], the given labels.
        class_names: k names.
        limit: the number of samples that the user asks for, or None.
        samples: the word for them.
    """
    present = len(np.unique(targets))
    if present == len(class_names):
        return ()
    more = "; a larger --limit reaches more" if limit is not None else ""
    held = f"{present} of {len(class_names)} classes"
    return (f"the given labels of the {len(targets)} training {samples} hold {held}{more}",)


def channel_statistics(pixels: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of uint8 [n, C, H, W]; see ``Tally``."""
    tally = Tally(pixels.shape[1])
    tally.counted(pixels.numpy())
    return tally.statistics()
