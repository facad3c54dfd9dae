"""The tables of replication/pretrained.md: training from scratch, fine-tuning, frozen features."""

from __future__ import annotations

from statistics import mean
from typing import Any

from scripts.experiments.tables.markdown import results, table

__all__ = ["by_method", "embeddings"]

METHODS = ("scratch", "finetune", "features")
COLUMN = "data.label_column="


def by_method(name: str) -> str:
    """AP in % and CPU seconds of each data set, noise and method; mean of the seeds (range)."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in results(name):
        groups.setdefault((_labels(row), METHODS.index(row["method"])), []).append(row)
    rows = []
    for (labels, method), found in sorted(groups.items()):
        rivals = [
            max(one["ap"] for one in row["rivals"].values()) for row in found if "rivals" in row
        ]
        rows.append([
            labels,
            METHODS[method],
            _spread([row["figures"]["auto"]["ap"] for row in found]),
            _spread([row["figures"]["builtin"]["ap"] for row in found]),
            _spread([row["figures"][row["best_score"]]["ap"] for row in found]),
            _knn(found),
            _spread(rivals) if rivals else "-",
            f"{mean(row['cpu_seconds'] for row in found):.0f}",
            str(len(found)),
        ])  # fmt: skip
    head = ("labels", "method", "`detect`", "`builtin`", "best plain score, in hindsight", "kNN",
            "out-of-fold regression", "CPU s", "seeds")  # fmt: skip
    return table(head, rows)


def embeddings(name: str) -> str:
    """One row for each recording of embeddings: sizes, seconds, memory, AP."""
    rows = []
    for row in results(name):
        record, rank = row["record"], row["detect"]
        rows.append([
            f"{row['samples']:,} x {row['width']}", f"{row['classes']:,}",
            f"{record['cpu_seconds']:.0f}", f"{rank['cpu_seconds']:.0f}",
            f"{max(record['peak_mb'], rank['peak_mb']):,.0f}",
            f"{100 * row['ap']:.1f}", row["ranked_by"],
        ])  # fmt: skip
    head = ("vectors", "classes", "CPU s, record", "CPU s, rank", "peak MB", "AP",
            "ranked by")  # fmt: skip
    return table(head, rows)


def _labels(row: dict[str, Any]) -> str:
    """The data set and its labels in words."""
    for part in row["variant"].split(","):
        if part.startswith(COLUMN):
            return f"{row['data']}, {part.removeprefix(COLUMN)}"
    return f"{row['data']}, {row['noise']} {row['ratio']:g}"


def _knn(found: list[dict[str, Any]]) -> str:
    aps = [row["figures"]["knn"]["ap"] for row in found if "knn" in row["figures"]]
    return _spread(aps) if aps else "-"


def _spread(values: list[float]) -> str:
    """The mean in %, with half of the range if there are several."""
    middle = f"{100 * mean(values):.1f}"
    half = 50 * (max(values) - min(values))
    return middle if len(values) == 1 else f"{middle} ± {half:.1f}"
