"""How results are printed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from tdctl.cli.output import showable

__all__ = ["console", "table_of"]


def console() -> Console:
    """A console on stdout that shows names and paths as they are."""
    # Paths must not be broken at a pipe's made-up width of 80.
    # File and class names are shown as they are, brackets and colons included.
    made = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = 160
    return made


class _Shown(Table):
    """A table whose cells are as wide as what the stream shows of them."""

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
    """An empty table that shows every cell to its end, on narrow terminals in several lines.

    Args:
        whole: columns that stay in one line, for names that are copied.
        right: columns of numbers, set to the right.
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
