"""Ranks of the samples of a run within an epoch, or within an epoch and the given class.

Shape suffixes: n samples, E epochs, T steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["mid_ranks", "running_mean"]


def mid_ranks(
    values: NDArray[np.floating[Any]], groups: NDArray[np.integer[Any]] | None = None
) -> NDArray[np.float32]:
    """The rank of each value, float32 [n] in (0, 1); the lowest value has the lowest rank.

    The r-th lowest of m values, counted from 0, has rank (r + 0.5) / m. Equal values share their
    middle rank. A strictly increasing function of the values does not change the ranks.

    Args:
        values: float [n], without NaN.
        groups: int [n]; each value is ranked only among the values of its group.
    """
    n = len(values)
    order = np.argsort(values)
    if groups is None:
        groups = np.zeros(n, dtype=np.int8)
    else:
        # The second sort is by small numbers, which is several times as fast as numpy.lexsort.
        order = order[np.argsort(groups[order], kind="stable")]
    sorted_values, sorted_groups = values[order], groups[order]
    new_group = np.ones(n, dtype=np.bool_)
    new_group[1:] = sorted_groups[1:] != sorted_groups[:-1]
    new_value = new_group.copy()
    new_value[1:] |= sorted_values[1:] != sorted_values[:-1]
    value_start, value_stop, value_of = _runs(new_value)
    group_start, group_stop, group_of = _runs(new_group)
    middle = (value_start + value_stop)[value_of] / 2
    ranks = np.empty(n, dtype=np.float32)
    ranks[order] = (middle - group_start[group_of]) / (group_stop - group_start)[group_of]
    return ranks


def _runs(new: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Start and stop of each run of equal values, and for each place the number of its run."""
    start = np.flatnonzero(new)
    return start, np.append(start[1:], len(new)), np.cumsum(new) - 1


def running_mean(values: NDArray[np.floating[Any]], axis: int) -> NDArray[np.float64]:
    """Float64: the mean of each epoch and all epochs before it.

    Args:
        values: float, any shape.
        axis: the axis of the epochs.
    """
    shape = [1] * values.ndim
    shape[axis] = -1
    count = np.arange(1, values.shape[axis] + 1).reshape(shape)
    mean: NDArray[np.float64] = np.cumsum(values, axis=axis, dtype=np.float64) / count
    return mean
