"""A ranking as files: a CSV that people open, and beside it JSON for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tdctl.csv_files import write_csv
from tdctl.files import atomic_path
from tdctl.versions import software_versions

if TYPE_CHECKING:
    from tdctl.rankers.ranked import DetectResult

__all__ = ["SCHEMA", "SCHEMA_VERSION", "ranking_facts", "ranking_files", "write_ranking"]

SCHEMA = "tdctl.ranking"
# Grows where a program that reads the file would have to change; new keys alone do not count.
SCHEMA_VERSION = 1


def ranking_files(out: Path) -> list[Path]:
    """The CSV, and the JSON of the same name beside it; the file alone where it is JSON by name."""
    beside = out.with_suffix(".json")
    return [out] if beside == out else [out, beside]


def write_ranking(out: Path, result: DetectResult) -> None:
    """Writes ``ranking_files``, each whole or not at all.

    The JSON is an object: ``schema``, ``schema_version``, what ``ranking_facts`` gives, and
    ``samples``, an object with one list a column, worst first, which ``pandas.DataFrame`` takes.
    Texts there are as they are, without the apostrophes that a spreadsheet needs; what is unknown
    is null.
    """
    csv, *beside = ranking_files(out)
    write_csv(csv, result.table)
    for path in beside:
        head = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **ranking_facts(result)}
        head["versions"] = software_versions()
        with atomic_path(path) as part, part.open("w", encoding="ascii") as file:
            # Column by column: the text of a million rows is never whole in memory.
            file.write(json.dumps(head, indent=2, allow_nan=False)[:-2] + ',\n  "samples": {')
            for number, name in enumerate(result.table):
                values = _plain(result.table[name])
                file.write("," * (number > 0) + f"\n    {json.dumps(name)}: ")
                file.write(json.dumps(values, allow_nan=False))
            file.write("\n  }\n}\n")


def ranking_facts(result: DetectResult) -> dict[str, Any]:
    """All of a ranking but its rows, JSON-ready: what ranked, and how good it is where known."""
    return {
        **result.run_facts,
        **result.ranker.facts,
        "ranked_by": result.ranked_by,
        "samples_ranked": len(result.labels),
        "fingerprints": result.fingerprints,
        "in_sample": result.in_sample,
        "metrics": result.metrics.to_dict(),
        "cut": None if result.flagged is None else result.flagged.to_dict(),
        "estimates": {name: found.to_dict() for name, found in result.estimates.items()},
    }


def _plain(column: Any) -> list[Any]:
    """The values of a column as JSON has them; what is missing is None."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        names = [*map(str, column.cat.categories), None]
        return [names[code] for code in column.cat.codes]
    values: list[Any] = column.tolist()
    return values
