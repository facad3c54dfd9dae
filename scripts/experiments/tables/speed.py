"""Tables of scripts/bench, from its stored measurements.

Standard library only.
"""

from __future__ import annotations

from typing import Any

from scripts.experiments.tables.markdown import results, table

__all__ = ["measured"]

UNITS = {"x": "", "%": " %", "us": " us", "B": " bytes"}
# What every row of a section repeats, and the head of the table says once.
REPEATED = (", 200,000 images, 10,000 classes",)


def measured(section: str, *starts: str, file: str = "bench_cpu") -> str:
    """The rows of a section whose names begin with one of ``starts``; all where none is given."""
    rows = results(file)["sections"][section]["rows"]
    kept = [row for row in rows if not starts or row["what"].startswith(starts)]
    return table(
        ("measured", "median (lowest to highest)", "n", "goal"),
        [[_what(row), _value(row), row["value"]["count"], row["target"]] for row in kept],
    )


def _what(row: dict[str, Any]) -> str:
    what: str = row["what"]
    for repeated in REPEATED:
        what = what.replace(repeated, "")
    return what


def _value(row: dict[str, Any]) -> str:
    unit = UNITS.get(row["unit"], f" {row['unit']}")
    value = row["value"]
    median, low, high = (_number(value[name]) for name in ("median", "low", "high"))
    return f"{median}{unit}" + (f" ({low} to {high})" if value["count"] > 1 else "")


def _number(value: float) -> str:
    """Three digits, and no fewer than all before the point."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")
