"""The figures of a sweep, as SVG files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tdctl.figures import SweptPoint, draw_by_share, draw_by_time, new_figure, save_figure
from tdctl.sweeping.sweep_table import SweepTable, records

__all__ = ["draw_table"]

BY_SHARE, BY_TIME = "by_share.svg", "by_time.svg"
# The labels for which no share is chosen.
LEVELS = ("all", "clean", "true", "reweight")


def draw_table(folder: Path, table: SweepTable) -> list[Path]:
    """Draws the results, with one panel for each noise; gives the files.

    ``by_share.svg`` is drawn if a row has a remove ratio, ``by_time.svg`` if the rows have
    different CPU seconds.
    """
    rows = [row for row in records(table.summary) if row["test_error_last"] is not None]
    points = {
        noise: [_point(row) for row in rows if row["noise"] == noise]
        for noise in dict.fromkeys(row["noise"] for row in rows)
    }
    files = []
    for name, draw, shown in (
        (BY_SHARE, draw_by_share, any(row["remove_ratio"] is not None for row in rows)),
        (BY_TIME, draw_by_time, any(row["cpu_seconds_in_all"] is not None for row in rows)),
    ):
        if not shown:
            continue
        figure = new_figure(4.8 * len(points), 4.0)
        panels = figure.subplots(1, len(points), squeeze=False)[0]
        for ax, (noise, found) in zip(panels, points.items(), strict=True):
            if name == BY_SHARE or any(point.seconds is not None for point in found):
                draw(ax, found)
            ax.set_title(noise, parse_math=False)
        save_figure(figure, folder / name)
        files.append(folder / name)
    return files


def _point(row: dict[str, Any]) -> SweptPoint:
    of = [row["algorithm"], row["labels"]]
    of += [] if row["detector"] is None else [f"by {row['detector']}"]
    of += ["equal steps"] if row["equal"] == "steps" else []
    share = None
    if row["labels"] not in LEVELS:
        # A relabelling changes labels and may remove samples, so both count.
        changed = row["removed"] + row["relabelled"]
        share = changed / (row["removed"] + row["kept"])
    return SweptPoint(
        " ".join(of),
        share,
        row["cpu_seconds_in_all"],
        row["test_error_last"],
        row["low"],
        row["high"],
    )
