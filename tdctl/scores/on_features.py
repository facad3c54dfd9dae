"""Scores of features: the vote of the nearest neighbours, and the distance to the class's centre.

Rows are read in blocks, so that memory does not grow with the number of samples.

Shape suffixes: n samples, d features, k classes, B rows of a block, C cells. Numpy only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.errors import DynamicsError
from tdctl.streams import FEATURE_CELLS

__all__ = ["NEIGHBOURS", "centre_distance", "knn_vote", "nearest"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Features = NDArray[np.floating[Any]]

# The number of neighbours that vote.
NEIGHBOURS = 20
# Up to this many samples, a neighbour is sought among all of them. Beyond, it is sought in the
# nearest cells of at most VOTERS samples drawn at random.
EXACT, VOTERS = 20_000, 100_000
# How many cells there are for a root of the voters, in how many of them is sought, and by how many
# rows and steps their centres are found.
CELLS, PROBED, PER_CELL, STEPS = 1.0, 10, 64, 8
# Similarities that are computed at once: about 64 MB.
AT_ONCE = 1 << 24
# The share of a class that its centre is computed from, in each of the rounds after the first.
CORE, ROUNDS = 0.75, 3


def knn_vote(
    features: Features, given: Ints, neighbours: int = NEIGHBOURS, num_classes: int | None = None
) -> Floats:
    """How few of the nearest neighbours have the given label.

    A neighbour's vote counts by the inverse of its class's frequency, so that large classes do not
    outvote small ones. Similarity is the cosine.

    Args:
        features: float [n, d].
        given: int64 [n] in [0, k), the given labels.
        neighbours: how many vote, at least 1.
        num_classes: k; by default one more than the largest label.

    Returns:
        Float64 [n] in [0, 1]: 1 minus the share of the votes for the given label. Higher means
        more likely mislabeled.

    Raises:
        DynamicsError: the shapes do not fit, or there are too few samples.

    Source: Zhu, Dong and Liu (ICML 2022) vote like this, without the correction.
    """
    k = _checked(features, given, num_classes)
    found = nearest(features, neighbours)
    counts = np.bincount(given, minlength=k)
    weights = 1 / np.maximum(counts, 1)
    suspicion = np.empty(len(given))
    for start in range(0, len(given), 65536):
        labels_BN = given[found[start : start + 65536]]
        votes_BN = weights[labels_BN]
        own = given[start : start + 65536, None]
        share = (votes_BN * (labels_BN == own)).sum(axis=1) / votes_BN.sum(axis=1)
        suspicion[start : start + 65536] = 1 - share
    return suspicion


def centre_distance(features: Features, given: Ints, num_classes: int | None = None) -> Floats:
    """How much farther a sample is from the centre of its class than from the nearest other one.

    Features are scaled to length 1. The centre of a class is the mean of the three quarters of its
    samples that are nearest to it, so that wrong labels move it little.

    Args:
        features: float [n, d].
        given: int64 [n] in [0, k), the given labels.
        num_classes: k; by default one more than the largest label.

    Returns:
        Float64 [n] in [-2, 2], a difference of cosines. Higher means more likely mislabeled.

    Raises:
        DynamicsError: the shapes do not fit.
    """
    k = _checked(features, given, num_classes)
    n, kept = len(given), np.ones(len(given), dtype=np.bool_)
    for turn in range(ROUNDS):
        centres = _centres(features, given, k, kept)
        if turn == ROUNDS - 1:
            break
        own = np.empty(n, dtype=np.float32)
        for start, block in _unit_blocks(features, 4096):
            labels = given[start : start + len(block)]
            own[start : start + len(block)] = np.einsum("bd,bd->b", block, centres[labels])
        kept = _core(own, given, k)
    present = np.bincount(given, minlength=k) > 0
    suspicion = np.empty(n)
    for start, block in _unit_blocks(features, max(1, AT_ONCE // max(k, 1))):
        similar_BK = block @ centres.T
        similar_BK[:, ~present] = -np.inf
        rows, labels = np.arange(len(block)), given[start : start + len(block)]
        own = similar_BK[rows, labels].copy()
        similar_BK[rows, labels] = -np.inf
        suspicion[start : start + len(block)] = similar_BK.max(axis=1) - own
    return suspicion


def nearest(features: Features, neighbours: int = NEIGHBOURS) -> NDArray[np.int32]:
    """The rows of the nearest other samples by cosine, int32 [n, neighbours], in no order.

    With more than 20,000 samples it is approximate: neighbours are sought among at most 100,000
    samples drawn at random, and among these in the nearest cells.

    Args:
        features: float [n, d].
        neighbours: how many, below n.

    Raises:
        DynamicsError: there are too few samples.
    """
    n = len(features)
    if not 0 < neighbours < n:
        raise DynamicsError(f"{neighbours} neighbours of {n} samples; expected 1 to {n - 1}")
    if n <= EXACT:
        return _among_all(features, neighbours)
    return _in_cells(features, neighbours)


def _checked(features: Features, given: Ints, num_classes: int | None) -> int:
    if features.ndim != 2 or given.shape != (len(features),) or 0 in features.shape:
        raise DynamicsError(
            f"features {features.shape} and labels {given.shape}; expected [n, d] and [n]"
        )
    k = int(given.max()) + 1 if num_classes is None else num_classes
    if given.min() < 0 or given.max() >= k:
        raise DynamicsError(f"given labels: expected whole numbers from 0 to {k - 1}")
    return k


def _unit(rows: Features) -> NDArray[np.float32]:
    values = np.asarray(rows, dtype=np.float32)
    unit: NDArray[np.float32] = values / np.maximum(
        np.linalg.norm(values, axis=1, keepdims=True), np.float32(1e-12)
    )
    return unit


def _unit_blocks(features: Features, rows: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    for start in range(0, len(features), rows):
        yield start, _unit(features[start : start + rows])


def _among_all(features: Features, neighbours: int) -> NDArray[np.int32]:
    every = _unit(features)
    found = np.empty((len(every), neighbours), dtype=np.int32)
    for start, block in _unit_blocks(features, max(1, AT_ONCE // len(every))):
        similar = block @ every.T
        rows = np.arange(len(block))
        similar[rows, start + rows] = -np.inf
        found[start : start + len(block)] = _largest(similar, neighbours)
    return found


def _largest(values_BN: NDArray[np.float32], count: int) -> Ints:
    """The columns of the largest values, int64 [B, count], in no order."""
    if count == values_BN.shape[1]:
        return np.broadcast_to(np.arange(count), values_BN.shape)
    return np.argpartition(values_BN, -count, axis=1)[:, -count:]


def _in_cells(features: Features, neighbours: int) -> NDArray[np.int32]:
    n, rng = len(features), FEATURE_CELLS.numpy_generator()
    voters = np.sort(rng.choice(n, min(n, VOTERS), replace=False))
    count = max(1, int(CELLS * len(voters) ** 0.5))
    centres = _cell_centres(features, voters, count, rng)
    cell = np.empty(n, dtype=np.int32)
    for start, block in _unit_blocks(features, max(1, AT_ONCE // count)):
        cell[start : start + len(block)] = (block @ centres.T).argmax(axis=1)
    held = _unit(features[voters]).astype(np.float16)
    by_cell = np.argsort(cell[voters], kind="stable")
    bounds = np.searchsorted(cell[voters][by_cell], np.arange(count + 1))
    order = np.argsort(cell, kind="stable")
    starts = np.searchsorted(cell[order], np.arange(count + 1))
    near = np.argsort(-(centres @ centres.T), axis=1)
    found = np.empty((n, neighbours), dtype=np.int32)
    for own in range(count):
        rows = order[starts[own] : starts[own + 1]]
        if not len(rows):
            continue
        places = _candidates(near[own], bounds, by_cell, neighbours)
        among = held[places].astype(np.float32)
        # Rows of a file are read in rising order.
        for part in np.array_split(np.sort(rows), max(1, -(-len(rows) * len(places) // AT_ONCE))):
            similar = _unit(features[part]) @ among.T
            similar[part[:, None] == voters[places][None, :]] = -np.inf
            found[part] = voters[places[_largest(similar, neighbours)]]
    return found


def _candidates(near: Ints, bounds: Ints, by_cell: Ints, neighbours: int) -> Ints:
    """The places of the voters in the nearest cells; more cells if these hold too few."""
    places: list[Ints] = []
    count = 0
    for rank, other in enumerate(near):
        if rank >= PROBED and count > neighbours:
            break
        places.append(by_cell[bounds[other] : bounds[other + 1]])
        count += len(places[-1])
    return np.concatenate(places)


def _cell_centres(
    features: Features, voters: Ints, count: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Centres of length 1 by k-means on some of the voters, float32 [C, d]."""
    rows = np.sort(rng.choice(voters, min(len(voters), PER_CELL * count), replace=False))
    sample = _unit(features[rows])
    centres = sample[rng.choice(len(sample), count, replace=False)]
    for _ in range(STEPS):
        cell = np.concatenate(
            [
                (sample[start : start + 8192] @ centres.T).argmax(axis=1)
                for start in range(0, len(sample), 8192)
            ]
        )
        order = np.argsort(cell, kind="stable")
        used, begins = np.unique(cell[order], return_index=True)
        sums = np.add.reduceat(sample[order], begins, axis=0)
        # A cell that lost all its rows keeps its centre.
        centres[used] = _unit(sums)
    return centres


def _centres(
    features: Features, given: Ints, k: int, kept: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """The mean of the kept samples of each class, scaled to length 1, float32 [k, d]."""
    sums = np.zeros((k, features.shape[1]))
    for start, block in _unit_blocks(features, 65536):
        labels = np.where(kept[start : start + len(block)], given[start : start + len(block)], k)
        order = np.argsort(labels, kind="stable")
        used, begins = np.unique(labels[order], return_index=True)
        parts = np.add.reduceat(block[order], begins, axis=0)
        sums[used[used < k]] += parts[used < k]
    return _unit(sums)


def _core(similar: NDArray[np.float32], given: Ints, k: int) -> NDArray[np.bool_]:
    """The samples that are nearest to their class's centre, three quarters of each class."""
    order = np.lexsort((-similar, given))
    counts = np.bincount(given, minlength=k)
    rank = np.empty(len(given), dtype=np.int64)
    rank[order] = np.arange(len(given)) - np.repeat(np.cumsum(counts) - counts, counts)
    core: NDArray[np.bool_] = rank < np.ceil(CORE * counts)[given]
    return core
