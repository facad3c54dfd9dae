"""Tables of sweeps, from the means over seeds that ``tdctl sweep`` wrote.

Standard library only.

usage: .venv/bin/python -m scripts.experiments.tables.sweeps SWEEP.json OUT.json
  keeps of a sweep's table what the pages show: the means and spreads over seeds
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from scripts.experiments.tables.markdown import results, table

__all__ = ["by_noise", "by_time", "main"]

KEPT = (
    "noise", "labels", "detector", "remove_ratio", "algorithm", "equal", "seeds", "epochs",
    "test_error_last", "test_error_mean_of_last_10", "sd", "low", "high", "noise_before",
    "noise_after", "removed", "relabelled", "gap_closed",
)  # fmt: skip
# What tells the rows of a sweep apart, without the seed.
OF_ROW = ("noise", "labels", "detector", "remove_ratio", "algorithm", "equal")


def by_noise(name: str) -> str:
    """All rows of a sweep: what was trained on, what is wrong of it, the test error."""
    rows = []
    for row in results(name)["summary"]:
        gap = row["gap_closed"]
        rows.append(
            [
                row["noise"],
                _trained_on(row),
                row["algorithm"],
                _percent(row["noise_after"]),
                _error(row),
                "-" if gap is None else f"{100 * gap:.0f} %",
                str(row["seeds"]),
            ]
        )
    head = ("labels", "trained on", "algorithm", "wrong", "test error", "gap closed", "seeds")
    return table(head, rows)


def by_time(name: str) -> str:
    """Rows of a sweep with the CPU seconds of the training, the fewest epochs of a kind first."""
    found = sorted(
        results(name)["summary"], key=lambda row: (row["noise"], row["labels"], row["algorithm"])
    )
    rows = [
        [
            row["noise"],
            f"{row['algorithm']}, {_trained_on(row)}",
            "-" if row["cpu_seconds"] is None else f"{row['cpu_seconds']:.0f}",
            _error(row),
            _percent(row["test_error_mean_of_last_10"]),
            str(row["seeds"]),
        ]
        for row in found
    ]
    head = ("labels", "method", "CPU seconds", "test error", "mean of the last ten", "seeds")
    return table(head, rows)


def _trained_on(row: dict[str, Any]) -> str:
    ratio, detector = row["remove_ratio"], row["detector"]
    parts = [
        row["labels"],
        ratio,
        None if detector is None else f"by `{detector}`",
        "equal steps" if row["equal"] == "steps" else None,
    ]
    return " ".join(part for part in parts if part is not None)


def _error(row: dict[str, Any]) -> str:
    """Mean ± half of the range over the seeds."""
    if row["seeds"] == 1:
        return f"{100 * row['test_error_last']:.1f}"
    half = (row["high"] - row["low"]) / 2
    return f"{100 * row['test_error_last']:.1f} ± {100 * half:.1f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _seconds(row: dict[str, Any], rows: list[dict[str, Any]]) -> float | None:
    """The mean CPU seconds of the trainings that ran without an interruption; None for none."""
    same = [one for one in rows if all(one[name] == row[name] for name in OF_ROW)]
    known = [one["cpu_seconds"] for one in same if one["cpu_seconds"] is not None]
    return sum(known) / len(known) if known else None


def main() -> None:
    """Writes the part of a sweep's table that the pages show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sweep", type=Path)
    parser.add_argument("out", type=Path)
    asked = parser.parse_args()
    found = json.loads(asked.sweep.read_text(encoding="utf-8"))
    kept = {
        "summary": [
            {**{name: row[name] for name in KEPT}, "cpu_seconds": _seconds(row, found["rows"])}
            for row in found["summary"]
        ],
        "missing": found["missing"],
        "failed": found["failed"],
        "versions": found["versions"],
    }
    asked.out.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
