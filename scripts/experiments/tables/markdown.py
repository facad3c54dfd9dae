"""Markdown tables and the numbers in them.

Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

__all__ = ["RESULTS", "line", "mean_and_spread", "results", "table"]

RESULTS = Path(__file__).resolve().parents[3] / "replication" / "results"


def results(name: str) -> Any:
    """The content of replication/results/NAME.json."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def line(*cells: object) -> str:
    """One line of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table with a head."""
    return "\n".join([line(*head), "| --- " * len(head) + "|", *(line(*row) for row in rows)])


def mean_and_spread(values: Sequence[float], digits: int = 1) -> str:
    """The mean, and where there are several values their standard deviation."""
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"
