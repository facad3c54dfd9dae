"""Plots of a comparison: average precision with intervals, and precision over recall."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from tdctl.bootstrap import Figure
from tdctl.figures.canvas import new_figure, plain, save_figure

__all__ = ["PLOT_FILES", "Panel", "plot_ap", "plot_precision_recall"]

KINDS = ("png", "svg")
AP, PRECISION_RECALL = "average_precision", "precision_recall"
PLOT_FILES = tuple(f"{stem}.{kind}" for stem in (AP, PRECISION_RECALL) for kind in KINDS)
COLUMNS = 3


@dataclass(frozen=True)
class Panel:
    """The content of one panel, which shows one run.

    Attributes:
        title: name of the run.
        ap: average precision of each score or detector, by name.
        curve: precision at evenly spaced recalls from 0 to 1, by name.
        rate: share of wrong labels, which is the AP of a random ranking.
        marked: names of detectors that were trained on the run.
    """

    title: str
    ap: Mapping[str, Figure]
    curve: Mapping[str, Sequence[float]]
    rate: float
    marked: frozenset[str] = frozenset()


def plot_ap(panels: Sequence[Panel], folder: Path) -> list[Path]:
    """A dot with its interval for each score, a panel a run, as PNG and SVG."""
    rows = max(len(panel.ap) for panel in panels)
    with _figure(panels, max(2.2, 1 + 0.22 * rows), folder / AP) as (paths, axes):
        for panel, ax in zip(panels, axes, strict=True):
            names = sorted(panel.ap, key=lambda name: panel.ap[name].value)
            for place, name in enumerate(names):
                found = panel.ap[name]
                low = found.value if found.low is None else found.low
                high = found.value if found.high is None else found.high
                ax.plot([low, high], [place, place], color="0.6", linewidth=2, zorder=1)
                ax.plot(found.value, place, "o", color="C0", markersize=4, zorder=2)
            ax.set_yticks(
                range(len(names)),
                [_named(name, panel) for name in names],
                fontsize=7,
                parse_math=False,
            )
            ax.axvline(panel.rate, color="0.4", linestyle=":", linewidth=1)
            ax.set_xlabel("average precision (dotted: chance)", fontsize=8)
    return paths


def plot_precision_recall(panels: Sequence[Panel], folder: Path, most: int = 8) -> list[Path]:
    """Draws precision over recall of the scores with the best AP, one panel per run.

    Args:
        panels: one a run.
        folder: where ``precision_recall.png`` and ``.svg`` go.
        most: how many are drawn; more cannot be told apart.
    """
    drawn = [sorted(p.curve, key=lambda name: -p.ap[name].value)[:most] for p in panels]
    # A name has the same colour in all panels, as far as the colours suffice.
    colours = {name: f"C{at}" for at, name in enumerate(dict.fromkeys(chain(*drawn)))}
    with _figure(panels, 3.4, folder / PRECISION_RECALL) as (paths, axes):
        for panel, best, ax in zip(panels, drawn, axes, strict=True):
            for name in best:
                curve = panel.curve[name]
                recall = [place / (len(curve) - 1) for place in range(len(curve))]
                label = _named(name, panel)
                ax.plot(recall, curve, linewidth=1.2, color=colours[name], label=label)
            ax.axhline(panel.rate, color="0.4", linestyle=":", linewidth=1)
            ax.set(xlim=(0, 1), ylim=(0, 1.02))
            ax.set_xlabel("recall", fontsize=8)
            ax.set_ylabel("precision (dotted: chance)", fontsize=8)
            for text in ax.legend(fontsize=6, loc="lower left").get_texts():
                text.set_parse_math(False)
    return paths


def _named(name: str, panel: Panel) -> str:
    name = plain(name, 32, end=True)
    return f"{name} (in-sample)" if name in panel.marked else name


@contextmanager
def _figure(
    panels: Sequence[Panel], height: float, stem: Path
) -> Iterator[tuple[list[Path], list[Any]]]:
    """Axes to draw in; when the block ends the files stand, and their paths are in the list."""
    columns = min(COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    figure = new_figure(4.2 * columns, height * lines)
    grid = figure.subplots(lines, columns, squeeze=False).reshape(-1)
    for ax in grid[len(panels) :]:
        ax.set_axis_off()
    for panel, ax in zip(panels, grid, strict=False):
        # A dollar would begin a formula.
        ax.set_title(plain(panel.title, 48, end=True), fontsize=9, parse_math=False)
        ax.tick_params(labelsize=7)
    paths = [stem.with_suffix(f".{kind}") for kind in KINDS]
    yield paths, list(grid[: len(panels)])
    for path in paths:
        save_figure(figure, path)
