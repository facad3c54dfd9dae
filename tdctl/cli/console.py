"""How results are printed."""

from __future__ import annotations

from rich.console import Console

__all__ = ["console"]


def console() -> Console:
    """A console on stdout that shows names and paths as they are."""
    # Paths must not be broken at a pipe's made-up width of 80.
    # File and class names are shown as they are, brackets and colons included.
    made = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = 160
    return made
