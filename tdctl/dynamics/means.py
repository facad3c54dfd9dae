"""The classes with the largest mean probability over the epochs.

Shape suffixes: n samples, E epochs, k classes, K kept other classes, s rows of a slab.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tdctl.dynamics.store import Store, class_type
from tdctl.dynamics.td import TrainingDynamics
from tdctl.labels import Labels
from tdctl.slabs import SLAB, Array, ArrayFile, rows_per_slab, slabs_of

__all__ = ["ByEpoch", "largest_means", "means_of_kept", "rows_of_epochs", "suggestions_of_all"]

# Means float16 [s, m] in falling order, and their classes. Among equal means, the given label is
# first.
Means = Iterator[tuple[NDArray[np.float16], NDArray[Any]]]


class ByEpoch(Protocol):
    """Values [E, n, ...] that are kept by epoch, and read by sample."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(E, n, ...)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values."""

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """The rows of every epoch, [s, E, ...], as a copy."""


def rows_of_epochs(array_En: Array | ByEpoch, start: int, stop: int) -> NDArray[Any]:
    """The rows of every epoch, [s, E, ...], as a copy."""
    if not isinstance(array_En, ArrayFile | np.ndarray):
        return array_En.rows(start, stop)
    if not isinstance(array_En, ArrayFile):
        return np.array(array_En[:, start:stop].swapaxes(0, 1), order="C")
    epochs, _, *row = array_En.shape
    slab = np.empty((stop - start, epochs, *row), array_En.dtype)
    for epoch in range(epochs):
        slab[:, epoch] = array_En.at(epoch).block(start, stop)
    return slab


def largest_means(total_nk: Array, labels: Labels, epochs: int, store: Store) -> Means:
    """The largest means, slab by slab, from the softmax summed over the epochs."""
    n, k = total_nk.shape
    count = store.means(k)
    for start, stop in slabs_of(n, max(1, SLAB // (24 * k))):
        total_sk = np.array(total_nk[start:stop], dtype=np.float64)
        rows, given = np.arange(stop - start), labels.assigned[start:stop]
        # Among equal sums, the given label is first, then the lower class.
        total_sk[rows, given] = np.nextafter(total_sk[rows, given], np.inf)
        if count < k:
            some = np.sort(np.argpartition(-total_sk, count - 1, axis=1)[:, :count], axis=1)
        else:
            some = np.broadcast_to(np.arange(k), total_sk.shape)
        values = np.take_along_axis(total_sk, some, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        best = np.take_along_axis(some, order, axis=1)
        mean = np.take_along_axis(values, order, axis=1) / epochs
        yield mean.astype(np.float16), best.astype(class_type(k))


def means_of_kept(
    arrays: Mapping[str, Array | ByEpoch], labels: Labels, count: int, num_classes: int
) -> Means:
    """The ``count`` largest means, slab by slab, from the values that were kept of each epoch.

    Args:
        arrays: ``given`` float16 [E, n], ``other`` float16 and ``other_class`` int [E, n, K].
        labels: given labels of the n samples.
        count: at most K + 1, because each sample has at least this many different classes.
        num_classes: k.
    """
    epochs, n, others = arrays["other"].shape
    values = epochs * (others + 1)
    for start, stop in slabs_of(n, max(1, SLAB // (64 * values))):
        size, given_s = stop - start, labels.assigned[start:stop]
        probs = [rows_of_epochs(arrays[name], start, stop) for name in ("given", "other")]
        classes = rows_of_epochs(arrays["other_class"], start, stop).reshape(size, -1)
        probs_sV = np.concatenate([part.reshape(size, -1) for part in probs], axis=1)
        classes_sV = np.concatenate([np.repeat(given_s[:, None], epochs, axis=1), classes], axis=1)
        row_s = np.arange(size)[:, None]
        keys, place = np.unique(row_s * num_classes + classes_sV, return_inverse=True)
        mean = np.bincount(place.reshape(-1), probs_sV.reshape(-1).astype(np.float64)) / epochs
        row, of_class = np.divmod(keys, num_classes)
        order = np.lexsort((of_class, of_class != given_s[row], -mean, row))
        first = np.searchsorted(row, np.arange(size))
        best = order[first[:, None] + np.arange(count)]
        yield mean[best].astype(np.float16), of_class[best].astype(class_type(num_classes))


def suggestions_of_all(
    runs: Sequence[TrainingDynamics],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The class with the largest mean probability over the epochs of all runs, and that mean.

    Each run has the same weight, whatever its length. Among equal means, the given label is
    chosen, then the lower class. In a run that did not keep all classes, a class whose mean was
    not kept counts as 0.

    Args:
        runs: dynamics of the same samples in the same order of rows.

    Returns:
        Classes int64 [n], and probabilities float64 [n] in [0, 1].
    """
    n = len(runs[0])
    arrays = [run.td if run.mean is None else run.mean for run in runs]
    best, mean = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.float64)
    # The slabs are small, because each value of td becomes a key and a mean, which are sorted.
    for start, stop in slabs_of(n, max(1, rows_per_slab(*arrays) // 4)):
        parts = [_means_of(run, start, stop) for run in runs]
        classes_sM = np.concatenate([classes for classes, _ in parts], axis=1)
        means_sM = np.concatenate([means for _, means in parts], axis=1)
        num_classes, given_s = int(classes_sM.max()) + 1, runs[0].labels[start:stop, 0]
        row_s = np.arange(stop - start)
        keys, place = np.unique(row_s[:, None] * num_classes + classes_sM, return_inverse=True)
        total = np.bincount(place.reshape(-1), means_sM.reshape(-1))
        row, of_class = np.divmod(keys, num_classes)
        order = np.lexsort((of_class, of_class != given_s[row], -total, row))
        first = order[np.searchsorted(row, row_s)]
        best[start:stop], mean[start:stop] = of_class[first], total[first] / len(runs)
    return best, mean


def _means_of(
    run: TrainingDynamics, start: int, stop: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Classes int64 [s, m] and their mean probabilities float64 [s, m] in one run."""
    if run.mean is not None and run.mean_class is not None:
        classes, means = run.mean_class[start:stop], run.mean[start:stop]
    else:
        means = run.td[start:stop].mean(axis=1, dtype=np.float64)
        classes = run.labels[start:stop, : means.shape[1]]
    return classes.astype(np.int64), means.astype(np.float64)
