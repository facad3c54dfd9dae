"""The subcommand that lists the hand-made scores."""

from __future__ import annotations

from typing import Annotated

import typer

from tdctl.cli.boundary import guarded, print_json
from tdctl.cli.show import show_score_list

__all__ = ["scores"]


@guarded
def scores(
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """List the hand-made scores that detect and denoise take in place of a detector.

    Example: tdctl scores
    """
    from tdctl.scores import SCORES

    if as_json:
        fields = ("name", "description", "range", "needs", "aliases")
        print_json([{name: getattr(s, name) for name in fields} for s in SCORES.values()])
    else:
        show_score_list(list(SCORES.values()))
