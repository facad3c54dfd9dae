"""The console and the tables in which results are printed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from tdctl.cli.output import showable

__all__ = ["console", "table_of"]


def console() -> Console:
    """A console on stdout that prints names and paths unchanged."""
    # A pipe has an assumed width of 80; paths must not be broken there. File and class names are
    # printed unchanged, including brackets and colons.
    made = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = 160
    return made


class _Shown(Table):
    """A table that computes widths from what the stream will really show."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        made = (showable(cell) if isinstance(cell, str) else cell for cell in cells)
        super().add_row(*made, **options)


def table_of(
    columns: Iterable[str],
    *,
    whole: Iterable[str] = (),
    right: Iterable[str] = (),
    title: str | None = None,
) -> Table:
    """An empty table that shows every cell completely, on narrow terminals in several lines.

    Args:
        columns: names of the columns.
        whole: columns that stay on one line, for names that people copy.
        right: columns that are aligned to the right, for numbers.
        title: above the table.
    """
    made = _Shown(box=box.SIMPLE_HEAD, title=title)
    whole, right = set(whole), set(right)
    for name in columns:
        made.add_column(
            name,
            justify="right" if name in right else "left",
            overflow="fold",
            no_wrap=name in whole,
        )
    return made
