"""Figures of trainings: the log of one, and the errors after many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tdctl.figures.canvas import COLOURS

__all__ = ["Retrained", "draw_log", "draw_sweep"]

ERRORS = {"train_error": "training", "valid_error": "held out or test"}
LOSSES = {"train_loss": "training", "valid_loss": "held out or test"}
MARKS = ("o", "s", "^", "D")


@dataclass(frozen=True)
class Retrained:
    """A retraining: what it was trained on, the share that was removed, its test error."""

    kind: str
    ratio: float | None
    error: float


def draw_log(
    errors: Any, losses: Any, columns: Mapping[str, Sequence[float | None]], first: int = 1
) -> None:
    """Errors and losses over the epochs; a column that is absent or empty is not drawn.

    Args:
        errors: matplotlib's axes for ``train_error`` and ``valid_error``, in [0, 1].
        losses: its axes for ``train_loss`` and ``valid_loss``.
        columns: of ``train_log.csv``, by name.
        first: the number of the first epoch.
    """
    for ax, kinds, ylabel in ((errors, ERRORS, "error in %"), (losses, LOSSES, "loss")):
        scale = 100 if ax is errors else 1
        for place, (column, name) in enumerate(kinds.items()):
            found = np.asarray([np.nan if v is None else v for v in columns.get(column, ())], float)
            if len(found) and np.isfinite(found).any():
                epochs = np.arange(first, first + len(found))
                ax.plot(
                    epochs, found * scale, "-" if place == 0 else "--", color=COLOURS[place],
                    linewidth=1.6, label=name,
                )  # fmt: skip
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set(xlabel="epoch", ylabel=ylabel)
        ax.set_ylim(bottom=0)
        if ax.lines:
            ax.legend(fontsize=8)


def draw_sweep(ax: Any, rows: Sequence[Retrained]) -> None:
    """Test error over the remove ratio, a line a kind; what removes nothing is a level line.

    Args:
        ax: matplotlib's axes to draw in.
        rows: at least one; several of a kind and ratio, as of several seeds, are averaged.
    """
    for place, kind in enumerate(dict.fromkeys(row.kind for row in rows)):
        colour, mark = COLOURS[place % len(COLOURS)], MARKS[place % len(MARKS)]
        of_kind = [row for row in rows if row.kind == kind]
        level = [row.error for row in of_kind if row.ratio is None]
        if level:
            ax.axhline(100 * np.mean(level), color=colour, linestyle=":", linewidth=1.4, label=kind)
        ratios = sorted({row.ratio for row in of_kind if row.ratio is not None})
        means = [100 * np.mean([r.error for r in of_kind if r.ratio == ratio]) for ratio in ratios]
        if ratios:
            label = None if level else kind
            ax.plot(ratios, means, marker=mark, color=colour, linewidth=1.6, label=label)
    ax.set(xlabel="share removed", ylabel="test error in %")
    ax.set_ylim(bottom=0)
    ax.legend(fontsize=8)
