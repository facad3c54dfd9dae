"""The subcommand that lists the hand-made scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tdctl.cli.boundary import guarded, print_json
from tdctl.cli.console import console, table_of

if TYPE_CHECKING:
    from tdctl.scores import Score

__all__ = ["scores"]


@guarded
def scores(
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """List the hand-made scores that detect and denoise accept instead of a detector.

    Example: tdctl scores
    """
    from tdctl.scores import SCORES

    if as_json:
        fields = ("name", "description", "range", "needs", "aliases", "heldout")
        print_json([{name: getattr(s, name) for name in fields} for s in SCORES.values()])
    else:
        _show(list(SCORES.values()))


def _show(scores: list[Score]) -> None:
    """Prints each score's description, range and needs."""
    grid = table_of(
        ["score", "what it is", "range", "needs", "also called"],
        whole=["score"],
        title="higher is more suspicious; E epochs, k classes",
    )
    for score in scores:
        row = (score.name, score.description, score.range)
        needs = (*score.needs, "--folds") if score.heldout else score.needs
        grid.add_row(*row, ", ".join(needs), ", ".join(score.aliases))
    console().print(grid)
