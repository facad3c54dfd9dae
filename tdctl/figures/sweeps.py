"""Figures of a sweep: test errors over the share removed, and over the time of computing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tdctl.figures.canvas import COLOURS

__all__ = ["SweptPoint", "draw_by_share", "draw_by_time"]

MARKS = ("o", "s", "^", "D", "v", "P", "X")


@dataclass(frozen=True)
class SweptPoint:
    """The mean of a row of a sweep over its seeds.

    Attributes:
        kind: what was trained on, and how.
        share: the share of the samples that was removed or relabelled, in [0, 1]; None if the
            row does not depend on it.
        seconds: CPU seconds in all, with the recording if a ranking was needed; None if unknown.
        error: test error at the last epoch, in [0, 1].
        low, high: the smallest and the largest test error among the seeds.
    """

    kind: str
    share: float | None
    seconds: float | None
    error: float
    low: float
    high: float


def draw_by_share(ax: Any, points: Sequence[SweptPoint]) -> None:
    """Test error over the share removed: a line a kind; a level line where no share matters.

    Bars reach from the smallest to the largest error of the seeds.

    Args:
        ax: matplotlib's axes to draw in.
        points: at least one.
    """
    for place, (kind, found) in enumerate(_by_kind(points).items()):
        colour, mark = COLOURS[place % len(COLOURS)], MARKS[place % len(MARKS)]
        level = [point for point in found if point.share is None]
        if level:
            ax.axhline(100 * level[0].error, color=colour, linestyle=":", label=kind)
            continue
        line = sorted(found, key=lambda point: point.share or 0)
        _bars(ax, [point.share or 0 for point in line], line, "-", colour, mark, kind)
    ax.set(xlabel="share removed or relabelled", ylabel="test error in %")
    ax.legend(fontsize=7)


def draw_by_time(ax: Any, points: Sequence[SweptPoint]) -> None:
    """Test error over CPU seconds in all, a line a kind.

    Args:
        ax: matplotlib's axes to draw in.
        points: at least one with known seconds.
    """
    timed = [point for point in points if point.seconds is not None]
    for place, (kind, found) in enumerate(_by_kind(timed).items()):
        colour, mark = COLOURS[place % len(COLOURS)], MARKS[place % len(MARKS)]
        line = sorted(found, key=lambda point: point.seconds or 0)
        _bars(ax, [point.seconds or 0 for point in line], line, "-", colour, mark, kind)
    ax.set(xlabel="CPU seconds, the recording included", ylabel="test error in %")
    ax.set_xlim(left=0)
    ax.legend(fontsize=7)


def _bars(
    ax: Any,
    places: Sequence[float],
    line: Sequence[SweptPoint],
    style: str,
    colour: str,
    mark: str,
    kind: str,
) -> None:
    errors = [100 * point.error for point in line]
    below = [100 * (point.error - point.low) for point in line]
    above = [100 * (point.high - point.error) for point in line]
    ax.errorbar(
        places, errors, [below, above], fmt=style, marker=mark, color=colour, linewidth=1.4,
        capsize=2, elinewidth=0.8, label=kind,
    )  # fmt: skip


def _by_kind(points: Sequence[SweptPoint]) -> Mapping[str, list[SweptPoint]]:
    found: dict[str, list[SweptPoint]] = {}
    for point in points:
        found.setdefault(point.kind, []).append(point)
    return found
