"""The subcommand that lists the detectors that ship."""

from __future__ import annotations

from typing import Annotated

import typer

from tdctl.cli.boundary import guarded, print_json
from tdctl.cli.show import show_detectors

__all__ = ["detectors"]


@guarded
def detectors(
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """List the detectors that ship, what they were trained on, and their held-out figures.

    Example: tdctl detectors
    """
    from tdctl.detector import shipped_detectors

    found = shipped_detectors()
    if as_json:
        print_json([{"name": s.name, "bytes": s.size, "card": s.card} for s in found])
    else:
        show_detectors(found)
