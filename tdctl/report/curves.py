"""Curves for a page: few steps, one byte each.

Shape suffixes: n samples, E epochs, S steps, k classes.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.dynamics import TrainingDynamics
from tdctl.slabs import rows_per_slab, slabs_of

__all__ = ["STEPS", "as_bytes", "as_text", "typical_curves"]

# A card is some 200 pixels wide: more steps are not seen.
STEPS = 40


def as_bytes(curves_nE: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Curves in [0, 1] as uint8 [n, S], each step the mean of its epochs; S is at most ``STEPS``.

    Args:
        curves_nE: float [n, E].
    """
    values: NDArray[np.floating[Any]] = np.asarray(curves_nE, dtype=np.float32)
    epochs = values.shape[1]
    if epochs > STEPS:
        starts = np.arange(STEPS) * epochs // STEPS
        sizes = np.diff(np.append(starts, epochs))
        values = np.add.reduceat(values, starts, axis=1) / sizes
    scaled: NDArray[np.uint8] = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return scaled


def as_text(values: NDArray[np.uint8]) -> str:
    """Bytes in base 64."""
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


def typical_curves(
    dynamics: TrainingDynamics, looks_right: NDArray[np.bool_], num_classes: int
) -> NDArray[np.uint8]:
    """The mean curve of each given class over its samples that look right, uint8 [k, S].

    A class without such samples has the mean over all of its samples; one without any sample has
    the mean over all classes.

    Args:
        dynamics: of the run.
        looks_right: bool [n].
        num_classes: k.
    """
    epochs, n = dynamics.epochs, len(dynamics)
    given = np.asarray(dynamics.labels[:, 0]).astype(np.int64)
    # Of each class the right ones, and all of them.
    sums, counts = np.zeros((2, num_classes, epochs)), np.zeros((2, num_classes))
    for start, stop in slabs_of(n, rows_per_slab(dynamics.td)):
        curves, right = dynamics.given_curve(start, stop), looks_right[start:stop]
        for place, rows in enumerate((right, np.ones(stop - start, np.bool_))):
            of_class = given[start:stop][rows]
            counts[place] += np.bincount(of_class, minlength=num_classes)
            for epoch in range(epochs):
                weights = curves[rows, epoch].astype(np.float64)
                sums[place, :, epoch] += np.bincount(of_class, weights, num_classes)
    best = np.where(counts[0] > 0, 0, 1)
    chosen, count = sums[best, np.arange(num_classes)], counts[best, np.arange(num_classes)]
    every = sums[1].sum(axis=0) / max(1.0, counts[1].sum())
    mean = np.where(count[:, None] > 0, chosen / np.maximum(count, 1)[:, None], every)
    return as_bytes(mean)
