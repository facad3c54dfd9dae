"""Figures of training dynamics: the data map and mean curves.

Shape suffixes: n samples, E epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.figures.canvas import COLOURS, RIGHT, WRONG, evenly, plain

__all__ = ["Band", "band_of", "draw_curves", "draw_data_map"]

# Quartiles of this many curves are those of all, as far as a figure shows.
MOST_CURVES = 20_000
MOST_POINTS = 20_000
STYLES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Band:
    """Curves of a kind, in short.

    Attributes:
        name: what is written beside it.
        count: how many samples there are.
        drawn: how many of these it was computed from.
        mean, low, high: float [E], the mean curve, the quartile below and that above.
    """

    name: str
    count: int
    drawn: int
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def band_of(name: str, curves_nE: NDArray[np.floating[Any]], count: int | None = None) -> Band:
    """Mean and quartiles of curves, of 20,000 of them where there are more.

    Args:
        name: what is written beside the band.
        curves_nE: float [n, E], at least one curve.
        count: how many samples they stand for, where they are a part already.
    """
    some = np.asarray(curves_nE[evenly(len(curves_nE), MOST_CURVES)], dtype=np.float64)
    low, high = np.quantile(some, (0.25, 0.75), axis=0)
    return Band(name, count or len(curves_nE), len(some), some.mean(axis=0), low, high)


def draw_curves(ax: Any, bands: Sequence[Band], ylabel: str = "p of the given label") -> None:
    """Each kind's mean curve over the epochs, with a band from quartile to quartile.

    Args:
        ax: matplotlib's axes to draw in.
        bands: one a kind; the first two have the colours of right and wrong labels.
        ylabel: what the curves are.
    """
    for place, band in enumerate(bands):
        colour = COLOURS[place % len(COLOURS)]
        epochs = np.arange(1, len(band.mean) + 1)
        part = f", {band.drawn:,} drawn" if band.drawn < band.count else ""
        ax.fill_between(epochs, band.low, band.high, color=colour, alpha=0.2, linewidth=0)
        (line,) = ax.plot(
            epochs, band.mean, STYLES[place % len(STYLES)], color=colour, linewidth=1.8
        )
        line.set_label(f"{plain(band.name)} ({band.count:,}{part})")
    ax.set_ylim(-0.02, 1.02)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set(xlabel="epoch", ylabel=f"{ylabel} (mean, quartiles)")
    if bands:
        _plain_legend(ax, "best")


def draw_data_map(
    ax: Any,
    confidence: NDArray[np.float64],
    variability: NDArray[np.float64],
    flagged: NDArray[np.bool_] | None = None,
    names: tuple[str, str] = ("not flagged", "flagged"),
) -> None:
    """Confidence over variability, a point a sample; of more than 20,000 it draws so many.

    Args:
        ax: matplotlib's axes to draw in.
        confidence: float [n], mean over the epochs of the given label's probability.
        variability: float [n], its standard deviation.
        flagged: bool [n], drawn in another colour and shape.
        names: what is written beside those that are not in ``flagged``, and those that are.

    Source: Swayamdipta et al., "Dataset Cartography: Mapping and Diagnosing Datasets with Training
        Dynamics", EMNLP 2020 (arXiv 2009.10795).
    """
    n = len(confidence)
    rows = evenly(n, MOST_POINTS)
    kinds = [(names[0], np.ones(len(rows), np.bool_), RIGHT, "o")]
    if flagged is not None:
        kinds = [
            (names[0], ~flagged[rows], RIGHT, "o"),
            (names[1], flagged[rows], WRONG, "x"),
        ]
    for name, chosen, colour, marker in kinds:
        some = rows[chosen]
        label = f"{plain(name)} ({len(some):,})" if flagged is not None else None
        # As pixels: so many shapes would make a vector file of megabytes.
        ax.scatter(
            variability[some], confidence[some], s=9, alpha=0.5, color=colour, marker=marker,
            linewidths=0.7, label=label, rasterized=True,
        )  # fmt: skip
    if len(rows) < n:
        ax.set_title(f"{len(rows):,} of {n:,} samples drawn, evenly by index", fontsize=9)
    ax.set(xlabel="variability of p of the given label", ylabel="confidence: its mean")
    ax.set_ylim(-0.02, 1.02)
    ax.set_xlim(left=-0.01)
    if flagged is not None:
        _plain_legend(ax, "best")


def _plain_legend(ax: Any, where: str) -> None:
    for text in ax.legend(fontsize=8, loc=where).get_texts():
        text.set_parse_math(False)
