"""The subcommand that lists the shipped detectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tdctl.cli.boundary import guarded, print_json
from tdctl.cli.console import console, table_of

if TYPE_CHECKING:
    from tdctl.detector import Shipped

__all__ = ["detectors"]


@guarded
def detectors(
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """List the shipped detectors, what they were trained on, and their metrics on held-out rows.

    Example: tdctl detectors
    """
    from tdctl.detector import shipped_detectors

    found = shipped_detectors()
    if as_json:
        print_json([{"name": s.name, "bytes": s.size, "card": s.card} for s in found])
    else:
        _show(found)


def _show(shipped: list[Shipped]) -> None:
    """Prints for each shipped detector what it was trained on, and its metrics."""
    if not shipped:
        console().print("none: this installation holds no detectors; make one with train-detector")
        return
    headers = ("detector", "network", "channels", "trained on", "held out", "AP there", "KB")
    grid = table_of(headers, whole=["detector"], right=["AP there", "KB"])
    for one in shipped:
        settings, held = one.card["settings"], one.card["held_out"]
        runs = one.card["trained_on"]
        if held["by"] == "run":
            runs = runs[:-1]
        grid.add_row(
            one.name,
            settings["net"],
            str(1 + settings["channels"].count(",")),
            f"{len(runs)} run{'s' if len(runs) > 1 else ''}, "
            f"{sum(run['samples'] for run in runs)} curves",
            f"a {held['by']}" if held["by"] == "run" else f"{held['samples']} of its rows",
            f"{held['ap']:.4f}",
            f"{one.size / 1000:.0f}",
        )
    console().print(grid)
    for one in shipped:
        if one.card.get("about"):
            console().print(f"{one.name}: {one.card['about']}")
