"""A slab of the dynamics in memory, from which row-wise scores are computed.

Shape suffixes: n samples, E epochs, k classes, s rows of a slab.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdctl.dynamics import TrainingDynamics
from tdctl.errors import DynamicsError
from tdctl.slabs import SLAB, Array

__all__ = ["Floats", "Rows", "rows_at_once", "softmax_entropy"]

Floats = NDArray[np.float64]


class Rows:
    """Some rows of the dynamics; each array is read once, when it is first used.

    The caller has checked that the dynamics have the arrays (``Score.why_not``). Every property
    raises ``DynamicsError`` if a value is NaN or infinite.
    """

    def __init__(self, dynamics: TrainingDynamics, start: int, stop: int) -> None:
        self._dynamics, self._start, self._stop = dynamics, start, stop

    @property
    def epochs(self) -> int:
        """E, the number of recorded epochs."""
        return self._dynamics.epochs

    @cached_property
    def _td(self) -> NDArray[np.float16]:
        td: NDArray[np.float16] = self._dynamics.td[self._start : self._stop]
        return td

    @cached_property
    def given(self) -> Floats:
        """Float64 [s, E]: the given label's probability."""
        return self._finite(self._td[:, :, 0], "td")

    @cached_property
    def other(self) -> Floats:
        """Float64 [s, E]: the largest probability of another class."""
        kept = self._dynamics.other
        others = self._td[:, :, 1:] if kept is None else kept[self._start : self._stop]
        return self._finite(others.max(axis=2), "td" if kept is None else "other")

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Bool [s, E]: whether the given label was predicted; a tie counts as predicted."""
        return self.given >= self.other

    @cached_property
    def margin(self) -> Floats:
        """Float64 [s, E]: the given label's logit minus the largest other logit."""
        return self._read(self._dynamics.margin, "margin")

    @cached_property
    def loss(self) -> Floats:
        """Float64 [s, E]: cross-entropy of the given label in nats."""
        return self._read(self._dynamics.loss, "loss")

    @cached_property
    def probs(self) -> Floats:
        """Float64 [s, E, k]: the whole softmax, with the given label's probability first."""
        return self._finite(self._td, "td")

    @cached_property
    def entropy(self) -> Floats:
        """Float64 [s, E]: entropy of the softmax in nats; recorded if td has not every class."""
        if self._dynamics.entropy is not None:
            return self._read(self._dynamics.entropy, "entropy")
        return softmax_entropy(self.probs)

    def _read(self, array: Array | None, name: str) -> Floats:
        if array is None:
            raise DynamicsError(f"dynamics: there is no {name}; record them with tdctl generate-td")
        return self._finite(array[self._start : self._stop], name)

    def _finite(self, values: NDArray[Any], name: str) -> Floats:
        bad = ~np.isfinite(values)
        if bad.any():
            row, epoch = (int(i) for i in np.argwhere(bad)[0][:2])
            raise DynamicsError(
                f"dynamics: {name} holds NaN or infinity, first at index "
                f"{self._dynamics.index[self._start + row]}, epoch {epoch}; record the run again"
            )
        return values.astype(np.float64)


def rows_at_once(dynamics: TrainingDynamics) -> int:
    """How many rows fit into a slab as one float64 array; at least one."""
    others = 0 if dynamics.other is None else int(dynamics.other.shape[2])
    values = dynamics.epochs * max(2, int(dynamics.td.shape[2]), others)
    return max(1, SLAB // (8 * values))


def softmax_entropy(probs: ArrayLike) -> Floats:
    """Minus the sum of p_c ln p_c over the classes c, in nats: float64 [n, E], from [n, E, k]."""
    values = np.asarray(probs, dtype=np.float64)
    logs = np.log(values, out=np.zeros_like(values), where=values > 0)
    return np.asarray(-(values * logs).sum(axis=2))
