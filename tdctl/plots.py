"""Plots of a comparison, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

from tdctl.bootstrap import Figure
from tdctl.errors import ConfigError
from tdctl.files import atomic_path

__all__ = ["PLOT_FILES", "Panel", "check_plots", "plot_ap", "plot_precision_recall"]

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


def check_plots() -> None:
    """Refuses to plot if matplotlib is missing. Call it before the work to be plotted.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise ConfigError(
            "plots: need the package matplotlib; pip install 'tdctl[plots]', or give --no-plots"
        )


def plot_ap(panels: Sequence[Panel], folder: Path) -> list[Path]:
    """Draws the AP of each score as a dot with its interval, one panel per run.

    Args:
        panels: one per run.
        folder: the folder for ``average_precision.png`` and ``.svg``.

    Returns:
        The files.

    Raises:
        ConfigError: matplotlib is not installed.
    """
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
            ax.set_yticks(range(len(names)), [_named(name, panel) for name in names], fontsize=7)
            ax.axvline(panel.rate, color="0.4", linestyle=":", linewidth=1)
            ax.set_xlabel("average precision (dotted: chance)", fontsize=8)
    return paths


def plot_precision_recall(panels: Sequence[Panel], folder: Path, most: int = 8) -> list[Path]:
    """Draws precision over recall of the scores with the best AP, one panel per run.

    Args:
        panels: one per run.
        folder: the folder for ``precision_recall.png`` and ``.svg``.
        most: how many curves a panel shows; with more they cannot be told apart.

    Returns:
        The files.

    Raises:
        ConfigError: matplotlib is not installed.
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
            ax.legend(fontsize=6, loc="lower left")
    return paths


def _named(name: str, panel: Panel) -> str:
    name = _short(name, 32)
    return f"{name} (in-sample)" if name in panel.marked else name


def _short(name: str, length: int) -> str:
    """The end of a name that is too long for the axis; paths differ at their end."""
    return name if len(name) <= length else f"…{name[1 - length :]}"


@contextmanager
def _figure(
    panels: Sequence[Panel], height: float, stem: Path
) -> Iterator[tuple[list[Path], list[Any]]]:
    """Gives file paths, and axes to draw in; the files are written when the block ends."""
    check_plots()
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    columns = min(COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    # pyplot is not used: it would open windows and share its state with the caller's plots.
    figure = Canvas(figsize=(4.2 * columns, height * lines), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(lines, columns, squeeze=False).reshape(-1)
    for ax in grid[len(panels) :]:
        ax.set_axis_off()
    for panel, ax in zip(panels, grid, strict=False):
        # A dollar sign would start a formula.
        ax.set_title(_short(panel.title, 48), fontsize=9, parse_math=False)
        ax.tick_params(labelsize=7)
    paths = [stem.with_suffix(f".{kind}") for kind in KINDS]
    yield paths, list(grid[: len(panels)])
    # With a fixed salt and no date, equal tables give equal files.
    with rc_context({"svg.hashsalt": "tdctl"}):
        for kind, path in zip(KINDS, paths, strict=True):
            with atomic_path(path) as part:
                metadata = {"Date": None} if kind == "svg" else None
                figure.savefig(part, format=kind, dpi=150, metadata=metadata)
