"""Instance-dependent noise: the given label of a sample depends on its pixels.

Shapes: n samples, B samples of a block, k classes, S pixel values of an image, C channels, H and W.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tdctl.errors import ConfigError
from tdctl.noise.draws import Drawn, Floats, Ints, PixelSource, numbers_by_index
from tdctl.streams import NOISE_PROJECTION

__all__ = ["InstanceNoise", "features", "truncated_normal"]

DEVIATION = 0.1
SIDE = 32
BLOCK = 64
VALUES_AT_ONCE = 1 << 22
MOST_CLASSES = 2000


@dataclass(frozen=True)
class InstanceNoise:
    """Gives each sample its own noise rate; the pixels decide by which class a label is replaced.

    The rate q is drawn from a normal distribution around ``ratio`` with standard deviation 0.1,
    truncated to [0, 1]. With probability 1 - q the given label is the true one. Otherwise it is
    drawn from a softmax of x W over the other classes. Here x are the pixel values of the sample.
    W [S, k] is standard normal and drawn once for each true class. The mean of the truncated
    normal is not exactly ``ratio``. The expected rate is the mean of q.

    There are two differences from the paper, so that a sample's noise depends only on the sample
    itself and works for any image size. First, x is standardised with the image's own mean and
    standard deviation, not those of the data set. Second, images of more than 32 pixels a side
    are first reduced by averaging over areas.

    Attributes:
        num_classes: k.
        ratio: the centre of the noise rates, in [0, 1).

    Source: Xia et al., "Part-dependent Label Noise" (NeurIPS 2020, arXiv 2006.07836), algorithm 2.
    """

    num_classes: int
    ratio: float

    def draw(self, true: Ints, index: Ints, seed: int, pixels: PixelSource | None = None) -> Drawn:
        """See ``Noise``.

        Raises:
            ConfigError: ``pixels`` is None, or there are more than 2,000 classes.
        """
        k = self.num_classes
        if pixels is None:
            raise ConfigError("noise_type: instance noise needs the images; give their pixels")
        if k > MOST_CLASSES:
            raise ConfigError(
                f"noise_type: instance noise draws a matrix for each class and takes at most "
                f"{MOST_CLASSES} classes, not {k}; use another noise"
            )
        who, where = numbers_by_index(index, seed)
        rates = truncated_normal(who, self.ratio)
        given, expected = true.copy(), np.zeros((k, k))
        parts = _parts_by_class(true, int(np.prod(pixels.shape)))
        drawn_for, weights = -1, np.empty((0, k))
        for part, batch in zip(parts, pixels.batches(parts), strict=True):
            values, label, rate = features(np.asarray(batch)), int(true[part[0]]), rates[part]
            if label != drawn_for:
                drawn_for, weights = label, _weights(seed, label, values.shape[1], k)
            others = _shares_of_others(values, weights, label)
            expected[label] += rate @ others
            expected[label, label] += (1 - rate).sum()
            given[part] = _chosen(others, where[part], rate, label)

        def expected_of(true_m: Ints, given_m: Ints) -> Floats:
            found: Floats = expected[true_m, given_m]
            return found

        return Drawn(given, rates, expected_of)


def truncated_normal(uniform: Floats, mean: float) -> Floats:
    """Numbers from a normal distribution truncated to [0, 1], with standard deviation 0.1.

    Args:
        uniform: float64 [n] in [0, 1), uniform random numbers.
        mean: the mean of the normal distribution before truncation.

    Returns:
        float64 [n] in [0, 1].
    """
    from scipy.special import ndtr, ndtri

    low, high = ndtr((0 - mean) / DEVIATION), ndtr((1 - mean) / DEVIATION)
    found: Floats = mean + DEVIATION * ndtri(low + uniform * (high - low))
    return np.clip(found, 0.0, 1.0)


def features(pixels: NDArray[np.uint8]) -> Floats:
    """The pixel values of images, reduced to at most 32 x 32 pixels and standardised.

    Each image is standardised with its own mean and standard deviation. A single-colour image
    gives zeros.

    Args:
        pixels: uint8 [B, C, H, W].

    Returns:
        float64 [B, S].
    """
    values = pixels.astype(np.float64)
    height, width = pixels.shape[2:]
    if height > SIDE:
        values = _areas(height) @ values
    if width > SIDE:
        values = values @ _areas(width).T
    flat = values.reshape(len(values), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    deviation = flat.std(axis=1, keepdims=True)
    standardised: Floats = flat / np.where(deviation > 1e-9, deviation, np.inf)
    return standardised


def _areas(size: int) -> Floats:
    """The share of each pixel in each of 32 equal parts of a side, float64 [32, size]."""
    edges = np.arange(SIDE + 1) * (size / SIDE)
    starts, pixel = edges[:-1, None], np.arange(size)[None]
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(starts, pixel)
    shares: Floats = np.clip(overlap, 0, None) * (SIDE / size)
    return shares


def _parts_by_class(true: Ints, values: int) -> list[Ints]:
    """The rows class by class, in parts of a single class that fit into memory."""
    size = int(np.clip(VALUES_AT_ONCE // values, 1, BLOCK))
    by_class = np.argsort(true, kind="stable").astype(np.int64)
    starts = np.unique(true[by_class], return_index=True)[1]
    of_class = np.split(by_class, starts[1:])
    return [rows[at : at + size] for rows in of_class for at in range(0, len(rows), size)]


def _weights(seed: int, label: int, values: int, k: int) -> Floats:
    """The projection [S, k] of one true class. It depends only on the seed and the class."""
    rng = NOISE_PROJECTION.numpy_generator(seed, label)
    return rng.standard_normal((values, k))


def _shares_of_others(values: Floats, weights: Floats, label: int) -> Floats:
    """For each sample a softmax over all classes but its own, float64 [B, k]; 0 for its own."""
    # The block always has the same shape, as the last bits of a product may depend on the shape.
    block = np.zeros((BLOCK, values.shape[1]))
    block[: len(values)] = values
    logits = (block @ weights)[: len(values)]
    logits[:, label] = -np.inf
    shares: Floats = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return shares


def _chosen(others: Floats, where: Floats, rate: Floats, label: int) -> Ints:
    """The given labels [B]: the true one if ``where`` is below 1 - rate, else one of the others."""
    kept = where < 1 - rate
    rest = (where - (1 - rate)) / np.where(rate > 0, rate, 1.0)
    upto = np.cumsum(others, axis=1)
    # Take the first class whose cumulative sum is above the number. Rounding may leave none.
    at = (upto <= np.clip(rest, 0, 1)[:, None] * upto[:, -1:]).sum(axis=1)
    last = others.shape[1] - 1 - np.argmax(others[:, ::-1] > 0, axis=1)
    return np.where(kept, label, np.minimum(at, last)).astype(np.int64)
