"""Brings curves of any length to one length.

Detectors are trained on curves that are resampled in this way. A change is a new version of the
input features, see ``tdctl.detector.features``. Shape suffixes: E epochs, T steps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["resampling"]


def resampling(epochs: int, steps: int) -> NDArray[np.float32]:
    """The weights that turn a curve of E epochs into a curve of T steps, float32 [T, E].

    Every row sums to 1, so a curve stays within its range and a flat curve stays flat. A longer
    curve is averaged within T bins of equal width. An epoch on the border of two bins counts in
    both, by its share in each; so the mean over time does not change. A shorter curve is
    interpolated linearly between the middles of its epochs, and is flat before the first and after
    the last. With E = T nothing changes.
    """
    if epochs >= steps:
        edges = np.arange(steps + 1) * (epochs / steps)
        first, last = edges[:-1, None], edges[1:, None]
        epoch = np.arange(epochs)[None, :]
        overlap = np.minimum(last, epoch + 1) - np.maximum(first, epoch)
        weights = np.maximum(overlap, 0.0)
    else:
        middle = (np.arange(steps) + 0.5) / steps * epochs - 0.5
        gap = np.abs(np.clip(middle, 0, epochs - 1)[:, None] - np.arange(epochs)[None, :])
        weights = np.maximum(1.0 - gap, 0.0)
    whole: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return whole
