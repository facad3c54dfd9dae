"""Given and true labels by index, and which of them are held out. Numpy only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from tdctl.errors import ConfigError, DataError
from tdctl.streams import FOLDS, HELD_OUT

__all__ = ["Labels", "held_out_for_test", "stratified_folds", "stratified_holdout"]

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Labels:
    """Labels of n samples, joined to everything else by ``index``.

    Attributes:
        index: int64 [n], each sample's position in the source data set; no value twice.
        assigned: int64 [n], the given labels: what training sees; in [0, k).
        true: int64 [n], what is right; equal to ``assigned`` where nothing else is known, and -1
            where that is known to be wrong, but not what is right.

    Raises:
        DataError: they are no whole numbers, differ in length, or an index appears twice.
    """

    index: Ints
    assigned: Ints
    true: Ints

    def fingerprint(self) -> str:
        """Hex digest of indices and given labels."""
        content = np.stack([self.index, self.assigned]).astype("<i8")
        return hashlib.sha256(content.tobytes()).hexdigest()

    def __post_init__(self) -> None:
        for field in fields(self):
            values = np.asarray(getattr(self, field.name))
            if values.ndim != 1 or (values.dtype.kind not in "iu" and len(values)):
                raise DataError(
                    f"labels: {field.name} is {values.dtype} {values.shape}; expected whole "
                    "numbers [n]"
                )
            object.__setattr__(self, field.name, values)
        if not len(self.index) == len(self.assigned) == len(self.true):
            raise DataError(
                f"labels: {len(self.index)} indices, {len(self.assigned)} given and "
                f"{len(self.true)} true labels; expected as many of each"
            )
        # Not numpy's unique: its hash table takes a second, and memory, for a million.
        ordered = np.sort(self.index)
        if (ordered[1:] == ordered[:-1]).any():
            raise DataError("labels: an index appears twice; expected each sample once")

    def __len__(self) -> int:
        return len(self.index)

    @property
    def flipped(self) -> Bools:
        """Bool [n]: given != true. All False also where the truth is unknown."""
        flipped: Bools = self.assigned != self.true
        return flipped

    def take(self, rows: NDArray[np.int64] | Bools) -> Labels:
        """The labels of some rows, chosen by position or mask, in that order."""
        return Labels(self.index[rows], self.assigned[rows], self.true[rows])


def stratified_holdout(labels: Ints, count: int, seed: int, name: str = "num_valid") -> Bools:
    """Bool [n], True for ``count`` rows held out, each class in proportion to its size.

    The whole parts of the classes' shares are taken first and the rest go to the largest
    remainders, so that exactly ``count`` rows are held out.

    Raises:
        ConfigError: ``count`` is negative, or would leave no row; names the setting ``name``.
    """
    total = len(labels)
    if not 0 <= count < total:
        raise ConfigError(
            f"{name}: {count} of {total} images would be held out; expected fewer than there are"
        )
    held = np.zeros(total, dtype=np.bool_)
    if count == 0:
        return held
    _, sizes = np.unique(labels, return_counts=True)
    shares = sizes * (count / total)
    quota = np.floor(shares).astype(np.int64)
    largest = np.argsort(-(shares - quota), kind="stable")
    quota[largest[: count - int(quota.sum())]] += 1
    rng = HELD_OUT.numpy_generator(seed)
    # A stable sort puts each class's rows together and leaves them in their order.
    by_class = np.argsort(labels, kind="stable")
    for start, size, take in zip(np.cumsum(sizes) - sizes, sizes, quota, strict=True):
        held[rng.permutation(by_class[start : start + size])[:take]] = True
    return held


def stratified_folds(labels: Ints, folds: int, seed: int) -> Ints:
    """Int64 [n] in [0, folds): each row's fold, every class spread over them evenly.

    Folds differ in size by one at most, in all and within each class, which may have fewer rows
    than there are folds.
    """
    rng = FOLDS.numpy_generator(seed)
    fold = np.empty(len(labels), dtype=np.int64)
    # Shuffled, then each class's rows brought together: they are dealt out one after the other.
    shuffled = rng.permutation(len(labels))
    dealt = shuffled[np.argsort(labels[shuffled], kind="stable")]
    fold[dealt] = np.arange(len(labels)) % folds
    return fold


def held_out_for_test(labels: Ints, share: float, seed: int) -> Bools:
    """Bool [n], True for about ``share`` of the rows, each class in proportion to its size.

    A class that would be all in the test set could not be learned: its first row stays out of it.
    """
    count = min(round(share * len(labels)), len(labels) - 1)
    tested = stratified_holdout(labels, count, seed, "test_share")
    left = np.bincount(labels[~tested], minlength=int(labels.max()) + 1)
    lost = np.flatnonzero(tested & (left[labels] == 0))
    tested[lost[np.unique(labels[lost], return_index=True)[1]]] = False
    return tested
