"""Bootstrap intervals for the metrics of a ranking.

Shape suffixes: n samples, b resamples, g groups of samples with equal suspicion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tdctl.slabs import SLAB, slabs_of
from tdctl.streams import RESAMPLES

__all__ = ["FIGURES", "SHARES", "Figure", "judged"]

# The precision among these shares of the worst samples is reported under these names.
SHARES = {"top1": 0.01, "top5": 0.05, "top10": 0.10}
FIGURES = ("auc", "ap", "f1", *SHARES)


@dataclass(frozen=True)
class Figure:
    """A metric in [0, 1], and the interval that contains 95 % of its resampled values.

    Attributes:
        value: the metric on the samples themselves.
        low, high: ends of the interval; None if nothing was resampled.
    """

    value: float
    low: float | None = None
    high: float | None = None


def judged(
    suspicion: NDArray[np.float64],
    flipped: NDArray[np.bool_],
    worst_first: NDArray[np.int64],
    resamples: int = 200,
    seed: int = 0,
) -> dict[str, Figure] | None:
    """The metrics of a ranking with their bootstrap intervals.

    ``auc`` and ``ap`` are as in ``detection_metrics``. ``f1`` is the F1 of the cut at the realised
    rate. ``top1``, ``top5`` and ``top10`` are the precision among the worst 1, 5 and 10 %.

    Args:
        suspicion: float64 [n], higher means more likely mislabeled.
        flipped: bool [n], True if the given label is not the true label.
        worst_first: int64 [n], the rows in the order of the ranking.
        resamples: how often n rows are drawn with replacement; 0 gives no intervals.
        seed: seed of the draws. The same seed draws the same rows for every ranking, so that
            differences come from the rankings only.

    Returns:
        Metrics by name; None if no label is flipped or all labels are flipped.
    """
    if flipped.all() or not flipped.any():
        return None
    hit = flipped[worst_first]
    ordered = suspicion[worst_first]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    values = _figures(np.ones((1, len(hit)), dtype=np.int64), hit, ends)
    drawn = _resampled(hit, ends, worst_first, resamples, seed)
    found = {}
    for name, value in values.items():
        low, high = (None, None) if not resamples else _interval(drawn[name])
        found[name] = Figure(float(value[0]), low, high)
    return found


def _resampled(
    hit: NDArray[np.bool_],
    ends: NDArray[np.int64],
    worst_first: NDArray[np.int64],
    resamples: int,
    seed: int,
) -> dict[str, NDArray[np.float64]]:
    """Each metric of each resample, float64 [b]; NaN if a resample makes it undefined.

    Args:
        hit: bool [n], True for flipped labels, worst first.
        ends: int64 [g], the last place of each group of equal suspicion.
        worst_first: int64 [n], the rows in the order of the ranking.
        resamples: how many.
        seed: of the draws.
    """
    n = len(hit)
    rng = RESAMPLES.numpy_generator(seed)
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in FIGURES}
    for start, stop in slabs_of(resamples, max(1, SLAB // (8 * n))):
        drawn = [rng.integers(0, n, n) for _ in range(stop - start)]
        counts_bn = np.stack([np.bincount(rows, minlength=n)[worst_first] for rows in drawn])
        for name, values in _figures(counts_bn, hit, ends).items():
            found[name].append(values)
    return {name: np.concatenate([*parts, np.zeros(0)]) for name, parts in found.items()}


def _figures(
    counts_bn: NDArray[np.int64], hit: NDArray[np.bool_], ends: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Each metric of each resample, float64 [b]; ``counts_bn`` says how often a row was drawn."""
    total_bn = np.cumsum(counts_bn, axis=1)
    hits_bn = np.cumsum(np.where(hit, counts_bn, 0), axis=1)
    wrong, n = hits_bn[:, -1], total_bn[:, -1]
    hits_bg, called_bg = hits_bn[:, ends], total_bn[:, ends]
    gained_bg = np.diff(hits_bg, axis=1, prepend=0)
    missed_bg = np.diff(called_bg - hits_bg, axis=1, prepend=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision_bg = hits_bg / np.maximum(called_bg, 1)
        ap = (precision_bg * gained_bg).sum(axis=1) / wrong
        # Pairs in the right order count 1; tied pairs count one half.
        pairs = (missed_bg * (hits_bg - gained_bg / 2)).sum(axis=1)
        auc = pairs / (wrong * (n - wrong))
        f1 = _hits_among(counts_bn, total_bn, hits_bn, hit, wrong) / wrong
    ap = np.where(n > wrong, ap, np.nan)
    found = {"auc": auc, "ap": ap, "f1": f1}
    for name, share in SHARES.items():
        first = np.maximum(1, np.round(n * share).astype(np.int64))
        found[name] = _hits_among(counts_bn, total_bn, hits_bn, hit, first) / first
    return found


def _hits_among(
    counts_bn: NDArray[np.int64],
    total_bn: NDArray[np.int64],
    hits_bn: NDArray[np.int64],
    hit: NDArray[np.bool_],
    first: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The number of flipped labels among the ``first`` places of each resample, int64 [b].

    If the limit falls inside a row that was drawn several times, only a part of it counts.
    """
    at = np.minimum((total_bn < first[:, None]).sum(axis=1), len(hit) - 1)
    row = np.arange(len(at))
    before = total_bn[row, at] - counts_bn[row, at]
    hits_before = hits_bn[row, at] - counts_bn[row, at] * hit[at]
    found: NDArray[np.int64] = hits_before + (first - before) * hit[at]
    return found


def _interval(values: NDArray[np.float64]) -> tuple[float, float] | tuple[None, None]:
    known = values[np.isfinite(values)]
    if not len(known):
        return None, None
    low, high = np.quantile(known, (0.025, 0.975))
    return float(low), float(high)
