"""Checks that the arrays of a run fit together and contain what their names say.

Shape suffixes: n samples, E epochs, k classes (or the k kept columns). Numpy only.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tdctl.errors import DynamicsError
from tdctl.labels import Labels
from tdctl.metadata import METADATA_FILE
from tdctl.slabs import ArrayFile, rows_per_slab, slabs_of

__all__ = [
    "EXTRAS",
    "FINAL",
    "KEPT",
    "check_columns",
    "check_extras",
    "check_shapes",
    "check_softmax",
    "check_values",
    "is_swapped",
]

# The sum of a softmax whose values were rounded to float16 differs from 1 by at most this.
SUM_TOLERANCE = 0.05
# How many evenly spaced samples are compared with the other arrays, and by how much the given
# label's probability may be below the probability that its loss gives.
PROBED, LOSS_TOLERANCE = 256, 0.05
# The bits of the float16 number that follows 1. The bits of every probability are at most this.
LARGEST_BITS = 0x3C01
MOST_CLASSES = 1_000_000
KEPT = ("other", "other_class", "mean", "mean_class")
EXTRAS = ("margin", "loss", "entropy", "recorded")
FINAL = "final_margin"


def check_shapes(path: Path, td: ArrayFile, columns: ArrayFile, labels: Labels) -> None:
    """Refuses td and labels that are not curves of n samples, or have another number of samples.

    Raises:
        DynamicsError: the message names the file, what it contains and what was expected.
    """
    if td.ndim != 3 or columns.ndim != 2 or td.dtype.kind != "f" or columns.dtype.kind not in "iu":
        raise DynamicsError(
            f"{path}: td is {td.dtype} {td.shape} and labels {columns.dtype} {columns.shape}; "
            "expected floats [n, epochs, k] and integers [n, k]"
        )
    if columns.shape[1] not in td.shape[1:] or len(columns) != len(td) or 0 in td.shape:
        raise DynamicsError(
            f"{path}: td {td.shape} and labels {columns.shape} do not fit; "
            "expected [n, epochs, k] and [n, k]"
        )
    if len(td) != len(labels):
        raise DynamicsError(
            f"{path}: {len(td)} rows, but {METADATA_FILE} beside it has {len(labels)}; "
            "the two files are of different runs"
        )


def is_swapped(td: ArrayFile, columns: ArrayFile) -> bool:
    """Whether td is [n, k, E]: some files have the last two axes in the other order."""
    if td.shape[1] != td.shape[2]:
        return td.shape[2] != columns.shape[1]
    # If there are as many epochs as classes: probabilities sum to 1 only along the class axis.
    probe = td[:256].astype(np.float64)
    gap = [float(np.abs(probe.sum(axis=axis) - 1).max()) for axis in (2, 1)]
    return gap[0] > SUM_TOLERANCE >= gap[1]


def check_values(path: Path, td: ArrayFile, labels: Labels) -> None:
    """Refuses values outside [0, 1] and NaN; reads all values.

    Raises:
        DynamicsError: the message names the file, what it contains and what was expected.
    """
    for start, stop in slabs_of(len(td), rows_per_slab(td)):
        with np.errstate(over="ignore"):
            slab = td[start:stop]
        # As unsigned integers, negative values, infinity and NaN are larger than all of [0, 1].
        if slab.view(np.uint16).max() <= LARGEST_BITS:
            continue
        bad = ~np.isfinite(slab)
        if bad.any():
            row, epoch, _ = (int(i) for i in np.argwhere(bad)[0])
            raise DynamicsError(
                f"{path}: td holds NaN or infinity, first at index {labels.index[start + row]}, "
                f"epoch {epoch}; every sample needs a value in every epoch"
            )
        if slab.min() < 0 or slab.max() > 1.001:
            raise DynamicsError(f"{path}: td holds values outside [0, 1]; expected probabilities")


def check_columns(path: Path, columns: ArrayFile, labels: Labels, all_classes: bool) -> None:
    """Refuses columns that are not classes, or whose first column is not the given label.

    Raises:
        DynamicsError: the message names the file, what it contains and what was expected.
    """
    largest = 0
    for start, stop in slabs_of(len(columns), rows_per_slab(columns)):
        slab = columns[start:stop]
        differ = np.flatnonzero(slab[:, 0] != labels.assigned[start:stop])
        if len(differ):
            raise DynamicsError(
                f"{path}: labels[:, 0] is not assigned_targets of {METADATA_FILE}, first at index "
                f"{labels.index[start + differ[0]]}; the two files are of different runs"
            )
        ordered = np.sort(slab, axis=1)
        if (ordered[:, 1:] == ordered[:, :-1]).any() or ordered[:, 0].min() < 0:
            raise DynamicsError(f"{path}: a row of labels names a class twice or a negative one")
        largest = max(largest, int(ordered.max()))
    if largest >= MOST_CLASSES:
        raise DynamicsError(
            f"{path}: labels names the class {largest}; expected numbers from 0 to "
            f"{MOST_CLASSES - 1}"
        )
    if all_classes and labels.true.max() > largest and columns.shape[1] > largest:
        raise DynamicsError(
            f"{path}: the true class {labels.true.max()} of {METADATA_FILE} is not among its "
            f"{columns.shape[1]} classes; the two files are of different runs"
        )


def check_extras(path: Path, td: ArrayFile, extras: dict[str, ArrayFile]) -> None:
    """Refuses further arrays with a wrong shape, and an incomplete set of kept arrays.

    Raises:
        DynamicsError: the message names the file, what it contains and what was expected.
    """
    n, epochs = td.shape[:2]
    kept = [name for name in KEPT if name in extras]
    if kept and len(kept) < len(KEPT):
        raise DynamicsError(f"{path}: has {', '.join(kept)}; expected {', '.join(KEPT)}")
    expected: dict[str, tuple[int, ...]] = dict.fromkeys(EXTRAS, (n, epochs)) | {FINAL: (n,)}
    if kept:
        others, means = extras["other_class"].shape[-1], max(2, extras["mean_class"].shape[-1])
        expected |= {"other": (n, epochs, others), "other_class": (n, epochs, others)}
        expected |= {"mean": (n, means), "mean_class": (n, means)}
    for name, array in extras.items():
        if array.shape != expected[name] or array.dtype.kind not in "fiu" or 0 in array.shape:
            raise DynamicsError(
                f"{path}: {name} is {array.dtype} {array.shape}, expected {expected[name]}"
            )


def check_softmax(
    path: Path, td: ArrayFile, columns: ArrayFile, labels: Labels, extras: dict[str, ArrayFile]
) -> None:
    """Refuses a td that is not a softmax, or whose first column is not the given label's.

    Raises:
        DynamicsError: the message names the first sample and what contradicts it.
    """
    rows = np.arange(0, len(td), max(1, len(td) // PROBED))
    probe = np.asarray(td.take(rows), dtype=np.float64)
    # A file may have only some columns, for example only the given label's.
    whole = 1 < np.asarray(columns.take(rows)).max() + 1 <= probe.shape[2]
    if whole and "mean" not in extras:
        sums = probe.sum(axis=2)
        row, epoch = np.unravel_index(np.abs(sums - 1).argmax(), sums.shape)
        if abs(sums[row, epoch] - 1) > SUM_TOLERANCE:
            raise DynamicsError(
                f"{path}: td sums to {sums[row, epoch]:.2f} over the classes at index "
                f"{labels.index[rows[row]]}, epoch {epoch}; expected a softmax over all of them; "
                "record the run again"
            )
    if "loss" in extras:
        # With several networks, probability and loss are means. The mean of the probabilities is
        # never smaller than the probability that the mean loss gives.
        told = np.exp(-np.asarray(extras["loss"].take(rows), dtype=np.float64))
        low = (probe[:, :, 0] < told - LOSS_TOLERANCE).any(axis=1)
        if low.any():
            raise DynamicsError(
                f"{path}: td's first column is not the probability of the given label that its "
                f"loss gives, first at index {labels.index[rows[low.argmax()]]}; its columns "
                "are in another order, or the file was changed; record the run again"
            )
