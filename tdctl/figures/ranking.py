"""Figures of a ranking: how suspicion is spread, and how well it finds wrong labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.errors import DataError
from tdctl.figures.canvas import ALL, RIGHT, WRONG, evenly

__all__ = ["draw_histogram", "draw_pr", "draw_roc"]

BINS = 50
# More points than a screen has columns are not seen.
MOST_POINTS = 2000


def draw_histogram(
    ax: Any,
    suspicion: NDArray[np.float64],
    cut: float | None = None,
    flipped: NDArray[np.bool_] | None = None,
    flagged: int | None = None,
) -> None:
    """How many samples have which suspicion, with a line at the cut.

    Args:
        ax: matplotlib's axes to draw in.
        suspicion: float [n], higher means more likely mislabeled.
        cut: what is at least this is flagged.
        flipped: bool [n], which labels are known to be wrong: they are drawn apart.
        flagged: how many are flagged. It may be fewer than reach the cut, because samples with
            the same suspicion may lie on both sides. None: all that reach it.
    """
    edges = np.histogram_bin_edges(suspicion, BINS)
    parts: list[tuple[str, NDArray[np.bool_], str, str | None]]
    parts = [("all labels", np.ones(len(suspicion), np.bool_), ALL, None)]
    if flipped is not None and flipped.any():
        parts = [("right", ~flipped, RIGHT, None), ("wrong", flipped, WRONG, "///")]
    for name, rows, colour, hatch in parts:
        counts, _ = np.histogram(suspicion[rows], edges)
        label = f"{name} ({rows.sum():,})"
        ax.stairs(
            counts,
            edges,
            fill=True,
            color=colour,
            alpha=0.55,
            hatch=hatch,
            label=label,
            linewidth=1,
        )
        ax.stairs(counts, edges, color=colour, linewidth=1)
    if cut is not None:
        above = int((suspicion >= cut).sum()) if flagged is None else flagged
        ax.axvline(cut, color="black", linestyle="--", linewidth=1, label=f"cut: {above:,} above")
    # The few that are suspicious would not be seen beside the many that are not.
    ax.set_yscale("symlog", linthresh=10)
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.set(xlabel="suspicion (higher: more likely wrong)", ylabel="samples")
    ax.legend(fontsize=8)


def draw_roc(ax: Any, suspicion: NDArray[np.float64], flipped: NDArray[np.bool_]) -> float:
    """The share of wrong labels found over the share of right ones flagged; gives the AUC.

    Args:
        ax: matplotlib's axes to draw in.
        suspicion: float [n], higher means more likely mislabeled.
        flipped: bool [n], which labels are wrong.

    Raises:
        DataError: none or all are wrong.
    """
    hits, called = _counts(suspicion, flipped)
    wrong, right = hits[-1], called[-1] - hits[-1]
    found, false = np.append(0, hits / wrong), np.append(0, (called - hits) / right)
    auc = float((np.diff(false) * (found[1:] + found[:-1]) / 2).sum())
    rows = evenly(len(found), MOST_POINTS)
    ax.plot([0, 1], [0, 1], color=ALL, linestyle=":", linewidth=1, label="chance")
    ax.plot(false[rows], found[rows], color=RIGHT, linewidth=1.6, label=f"AUC {auc:.4f}")
    ax.set(xlim=(0, 1), ylim=(0, 1.02))
    ax.set(xlabel="share of right labels flagged", ylabel="share of wrong labels found")
    ax.legend(fontsize=8, loc="lower right")
    return auc


def draw_pr(ax: Any, suspicion: NDArray[np.float64], flipped: NDArray[np.bool_]) -> float:
    """Precision over recall; gives the average precision.

    Args:
        ax: matplotlib's axes to draw in.
        suspicion: float [n], higher means more likely mislabeled.
        flipped: bool [n], which labels are wrong.

    Raises:
        DataError: none or all are wrong.
    """
    hits, called = _counts(suspicion, flipped)
    precision, recall = hits / called, hits / hits[-1]
    ap = float((np.diff(recall, prepend=0) * precision).sum())
    rate = hits[-1] / called[-1]
    rows = evenly(len(recall), MOST_POINTS)
    ax.axhline(rate, color=ALL, linestyle=":", linewidth=1, label=f"chance {rate:.4f}")
    ax.plot(recall[rows], precision[rows], color=WRONG, linewidth=1.6, label=f"AP {ap:.4f}")
    ax.set(xlim=(0, 1), ylim=(0, 1.02))
    ax.set(xlabel="recall: share of wrong labels found", ylabel="precision: share of flagged wrong")
    ax.legend(fontsize=8, loc="lower left")
    return ap


def _counts(
    suspicion: NDArray[np.float64], flipped: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Wrong labels and samples above each threshold; equal suspicions are flagged together."""
    if flipped.all() or not flipped.any():
        few = "every" if flipped.all() else "no"
        raise DataError(f"roc and pr: {few} label of this run is known to be wrong")
    order = np.argsort(-suspicion, kind="stable")
    ordered = suspicion[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)).astype(np.int64)
    return np.cumsum(flipped[order], dtype=np.int64)[ends], ends + 1
