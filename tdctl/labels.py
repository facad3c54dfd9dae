"""Given and true labels by index, and the corruption of them. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tdctl.errors import ConfigError, DataError

__all__ = ["Labels", "corrupt", "stratified_holdout"]

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Labels:
    """Labels of n samples, joined to everything else by ``index``.

    Attributes:
        index: int64 [n], each sample's position in the source data set; no value twice.
        assigned: int64 [n], the given labels: what training sees; in [0, k).
        true: int64 [n], what is right; equal to ``assigned`` where nothing else is known.

    Raises:
        DataError: the arrays differ in length, or an index appears twice.
    """

    index: Ints
    assigned: Ints
    true: Ints

    def __post_init__(self) -> None:
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


def corrupt(
    true: Ints,
    index: Ints,
    num_classes: int,
    noise_type: str,
    ratio: float,
    seed: int,
) -> Ints:
    """Given labels, int64 [n]: the true ones, each replaced with probability ``ratio``.

    ``uniform`` replaces by a *different* class, each as likely; ``flip`` by (class + 1) mod k.
    The number of replaced labels is binomial. A sample's draw depends on ``(seed, its index)``
    alone: neither the order of the rows, nor which others are there, nor the training's seed
    changes it.

    Args:
        true: int64 [n] in [0, num_classes).
        index: int64 [n], the samples' positions in the source data set.
        num_classes: k, at least 2 where ratio is above 0.
        noise_type: ``uniform`` or ``flip``.
        ratio: in [0, 1).
        seed: any non-negative integer.

    Raises:
        ConfigError: ratio out of range, an unknown type, or a single class.

    Source: Jia et al. (AAAI 2023), published code, ``_make_datasets``: same transition matrix;
        there the draw also depends on the number of samples.
    """
    if not 0.0 <= ratio < 1.0:
        raise ConfigError(f"noise_ratio: {ratio} is outside [0, 1)")
    if ratio == 0.0 or len(true) == 0:
        return true.copy()
    if num_classes < 2:
        raise ConfigError("noise_ratio: labels of a single class cannot be flipped; use 0")
    length = int(index.max()) + 1
    who, where = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
    flips = who.random(length)[index] < ratio
    if noise_type == "uniform":
        # A step of 1..k-1 around the circle of classes reaches each other class once.
        step = 1 + np.floor(where.random(length)[index] * (num_classes - 1)).astype(np.int64)
    elif noise_type == "flip":
        step = np.ones(len(true), dtype=np.int64)
    else:
        raise ConfigError(f"noise_type: '{noise_type}' is unknown; use uniform or flip")
    return np.where(flips, (true + step) % num_classes, true)


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
    rng = np.random.default_rng([seed, 1])
    # One sort: a search of all rows for each class takes minutes with 100,000 classes.
    by_class = np.argsort(labels, kind="stable")
    for rows, take in zip(np.split(by_class, np.cumsum(sizes)[:-1]), quota, strict=True):
        held[rng.permutation(rows)[:take]] = True
    return held
