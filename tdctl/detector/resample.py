"""Curves of any length as curves of one length, over relative time.

Detectors are trained on curves that are resampled so: a change is another version of the input
features, see ``tdctl.detector.features``. Shape suffixes: E epochs, T steps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["resampling"]


def resampling(epochs: int, steps: int) -> NDArray[np.float32]:
    """Float32 [T, E]: the weights that turn a curve of E epochs into one of T steps.

    Every row sums to 1, so that a curve stays within its range and a flat one stays flat. Longer
    curves are averaged within T bins of equal width, an epoch on a border by its share in each:
    the mean over time is kept. Shorter ones are interpolated linearly between the middles of
    their epochs, flat before the first and after the last. With E = T nothing changes.
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
