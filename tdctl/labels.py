"""Given and true labels by index, and the choice of held-out samples. Needs only numpy."""

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
    """The given and true labels of n samples. Everything else is joined to them by ``index``.

    Attributes:
        index: int64 [n], each sample's position in the source data set; no value appears twice.
        assigned: int64 [n] in [0, k), the given labels, on which the network is trained.
        true: int64 [n], the true labels. If the true label of a sample is not known, it is equal
            to ``assigned``; or -1 if the given label is known to be wrong.

    Raises:
        DataError: values are not whole numbers, the arrays differ in length, or an index appears
            twice.

    Example:
        >>> import numpy as np
        >>> labels = Labels(np.arange(3), np.array([0, 1, 1]), np.array([0, 1, 2]))
        >>> labels.flipped
        array([False, False,  True])
    """

    index: Ints
    assigned: Ints
    true: Ints

    def fingerprint(self) -> str:
        """Hex digest of the indices and the given labels."""
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
        # numpy's unique is avoided: for a million values its hash table takes a second, and memory.
        ordered = np.sort(self.index)
        if (ordered[1:] == ordered[:-1]).any():
            raise DataError("labels: an index appears twice; expected each sample once")

    def __len__(self) -> int:
        return len(self.index)

    @property
    def flipped(self) -> Bools:
        """Bool [n], True if the given label differs from the true one.

        All values are False if no true label is known.
        """
        flipped: Bools = self.assigned != self.true
        return flipped

    def take(self, rows: NDArray[np.int64] | Bools) -> Labels:
        """The labels of some rows.

        Args:
            rows: int64 positions, in the order to take them; or a bool mask [n].
        """
        return Labels(self.index[rows], self.assigned[rows], self.true[rows])


def stratified_holdout(labels: Ints, count: int, seed: int, name: str = "num_valid") -> Bools:
    """Chooses ``count`` rows to hold out, from each class in proportion to its size.

    Each class's share is rounded down. The rows that are still missing come from the classes with
    the largest remainders. So exactly ``count`` rows are held out.

    Args:
        labels: int64 [n], the label of each row.
        count: the number of rows to hold out, in [0, n).
        seed: seed of the choice.
        name: the setting that gives ``count``, for messages.

    Returns:
        bool [n], True for the held-out rows.

    Raises:
        ConfigError: ``count`` is not in [0, n).
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
    # A stable sort puts the rows of each class together and keeps their order.
    by_class = np.argsort(labels, kind="stable")
    for start, size, take in zip(np.cumsum(sizes) - sizes, sizes, quota, strict=True):
        held[rng.permutation(by_class[start : start + size])[:take]] = True
    return held


def stratified_folds(labels: Ints, folds: int, seed: int) -> Ints:
    """Assigns each row to a fold, with every class spread evenly over the folds.

    The sizes of two folds differ by at most one, in total and within each class. A class may have
    fewer rows than there are folds.

    Args:
        labels: int64 [n], the label of each row.
        folds: the number of folds.
        seed: seed of the folds.

    Returns:
        int64 [n] in [0, folds), the fold of each row.
    """
    rng = FOLDS.numpy_generator(seed)
    fold = np.empty(len(labels), dtype=np.int64)
    # Shuffle the rows, put those of each class together, and deal them out to the folds in turn.
    shuffled = rng.permutation(len(labels))
    dealt = shuffled[np.argsort(labels[shuffled], kind="stable")]
    fold[dealt] = np.arange(len(labels)) % folds
    return fold


def held_out_for_test(labels: Ints, share: float, seed: int) -> Bools:
    """Chooses about the share ``share`` of the rows as test set, in proportion to the class sizes.

    A class with all its rows in the test set could not be learned. So its first row is not taken.

    Args:
        labels: int64 [n], the label of each row.
        share: in [0, 1).
        seed: seed of the choice.

    Returns:
        bool [n], True for the test rows.
    """
    count = min(round(share * len(labels)), len(labels) - 1)
    tested = stratified_holdout(labels, count, seed, "test_share")
    left = np.bincount(labels[~tested], minlength=int(labels.max()) + 1)
    lost = np.flatnonzero(tested & (left[labels] == 0))
    tested[lost[np.unique(labels[lost], return_index=True)[1]]] = False
    return tested
