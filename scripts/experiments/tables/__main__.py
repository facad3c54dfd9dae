"""Writes the tables of README.md and of replication/ from the stored results, or checks them.

A table stands in a page between two marks::

    <!-- table: estimates -->
    | run | wrong | ...
    <!-- end of table -->

usage: .venv/bin/python -m scripts.experiments.tables [--check] [PAGE.md ...]
  without pages  README.md and all pages of replication/
  --check        writes nothing; exit code 1 where a table is not what the results say
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import mean

from scripts.experiments import easy_data, full_size, small_sets
from scripts.experiments.finding import reporting
from scripts.experiments.tables import detection, detectors, pretrained, sweeps
from scripts.experiments.tables.markdown import RESULTS, results, table
from scripts.experiments.tables.speed import measured

__all__ = ["TABLES", "main", "written"]

ROOT = RESULTS.parents[1]
BLOCK = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
# The rows of the benchmark as README.md calls them.
NAMED = {
    "uniform0.2": "uniform 0.2",
    "uniform0.4": "uniform 0.4",
    "flip0.3": "flip 0.3",
    "pair0.3": "pair 0.3",
    "instance0.3": "instance 0.3",
    "aggregate": "human, `aggregate` (9 % wrong)",
    "random1": "human, `random1` (18 %)",
    "digits": "uniform 0.2, digits",
    "letters": "uniform 0.2, rendered letters",
}


def _comparison() -> str:
    """The benchmark's rows at 60 epochs: mean AP in %."""
    rows = []
    for row, shown in NAMED.items():
        here = [f for f in results("finding") if (f["row"], f["length"]) == (row, 60)]
        picked = [
            reporting.best_score(here, "paper"),
            reporting.best_score(here, "folds"),
            reporting.figures_of(here, "ours", "aum"),
            reporting.best_score(here, "ours"),
            reporting.figures_of(here, "ours", "builtin"),
        ]
        *others, ours = (f"{mean(100 * f['ap'] for f in found):.1f}" for _, found in picked)
        rows.append([shown, *others, f"**{ours}**"])
    head = ("labels", "the paper's recipe", "out of fold", "`detect`, AUM", "`detect`, best score",
            "`detect`, `builtin`")  # fmt: skip
    return table(head, rows)


def _quality() -> str:
    found = results("finding_quality")
    full = [f for f in found if f["kind"] == "full"]
    return reporting.table_of_quality([f for f in found if f["kind"] != "full"], full)


def _small_sets(chosen: bool) -> str:
    found = [one for one in results("small_sets") if small_sets.chosen_on(one) is chosen]
    return small_sets.compared(found, "plain-20", "folds-5-20")


def _sizes() -> str:
    names = ("finding_3000", "finding_10000", "finding_50000")
    return reporting.table_of_sizes([figure for name in names for figure in results(name)])


TABLES: dict[str, Callable[[], str]] = {
    "comparison": _comparison,
    "finding-rows": lambda: reporting.table_of_rows(results("finding")),
    "finding-errors": lambda: reporting.table_of_errors(results("finding")),
    "finding-scores": lambda: reporting.table_of_scores(results("finding"), "ours"),
    "sizes": _sizes,
    "time-to-quality": _quality,
    "lengths": lambda: reporting.table_of_rows(results("finding_lengths")),
    "recipes": lambda: reporting.table_of_recipes(results("finding_recipes")),
    "full-size": lambda: full_size.shown(results("full_size")),
    "rounds": lambda: detection.rounds_table(results("rounds")),
    "rounds-ways": lambda: detection.rounds_table(results("rounds_ways")),
    "photographs-detect": detection.photographs_detect,
    "photographs-retrained": detection.photographs_retrained,
    "human-labels": detection.human_labels,
    "capture": lambda: detection.capture_table(results("capture")),
    "capture-differences": lambda: detection.capture_differences(results("capture")),
    "forgetting": lambda: detection.forgetting_table(results("forgetting")),
    "notebooks-dynamics": lambda: detection.notebooks_dynamics(results("notebooks_dynamics")),
    "notebooks-forgetting": lambda: detection.notebooks_forgetting(results("notebooks_forgetting")),
    "other-data": lambda: detection.other_data_table(results("other_data")),
    "estimates": lambda: detection.estimates_table(results("estimates")),
    "easy-estimates": lambda: easy_data.estimates_of(results("easy_data")),
    "easy-rankings": lambda: easy_data.rankings_of(results("easy_data")),
    "benchmark-estimates": lambda: easy_data.estimates_of(results("easy_data_benchmark")),
    "benchmark-rankings": lambda: easy_data.rankings_of(results("easy_data_benchmark")),
    "small-sets-chosen": lambda: _small_sets(True),
    "small-sets-judged": lambda: _small_sets(False),
    "small-sets-tried": lambda: small_sets.tried(results("small_sets"), list(small_sets.WAYS)),
    "sweep-cleaning": lambda: sweeps.by_noise("sweep_cleaning"),
    "sweep-cleaning-long": lambda: sweeps.by_noise("sweep_cleaning_long"),
    "sweep-course": lambda: sweeps.by_noise("sweep_course"),
    "sweep-debugging": lambda: sweeps.by_noise("sweep_debugging"),
    "sweep-debugging-one": lambda: sweeps.by_time("sweep_debugging_one"),
    "sweep-course-long": lambda: sweeps.by_noise("sweep_course_long"),
    "sweep-full": lambda: sweeps.by_noise("sweep_full"),
    "sweep-equal": lambda: sweeps.by_time("sweep_equal"),
    "pretrained": lambda: pretrained.by_method("pretrained"),
    "pretrained-embeddings": lambda: pretrained.embeddings("pretrained_embeddings"),
    "instance-noise": lambda: detection.instance_table(results("instance_noise")["rows"]),
    "detector-parts": detectors.parts,
    "cross-fold": lambda: detectors.more_recorded("cross-fold"),
    "adaptation": lambda: detectors.adaptation_table(results("adaptation")),
    "lstm": detectors.lstm,
    "speed-pipeline": lambda: measured("pipeline"),
    "speed-bare": lambda: measured("bare"),
    "speed-compiled": lambda: measured("bare", file="bench_cpu_compiled"),
    "speed-memory": lambda: measured("memory"),
    "speed-scoring": lambda: measured("memory", "scoring", "detect /", file="bench_cpu_scoring"),
    "speed-recorder": lambda: measured("recorder"),
    "speed-processes": lambda: measured(
        "processes", "efficiency", "speed-up", "epoch", "bytes", "on paper: 2"
    ),
    "speed-large": lambda: measured("large"),
    "speed-photographs": lambda: measured("photographs"),
}


def written(text: str) -> str:
    """A page with every marked table as the stored results say.

    Raises:
        KeyError: a mark names no table.
    """
    return BLOCK.sub(lambda found: found[1] + TABLES[found[2]]() + "\n" + found[3], text)


def main(arguments: list[str]) -> int:
    """Writes or checks the pages; the exit code."""
    parser = argparse.ArgumentParser(usage=str(__doc__))
    parser.add_argument("pages", nargs="*", type=Path)
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args(arguments)
    pages = asked.pages or [ROOT / "README.md", *sorted((ROOT / "replication").glob("*.md"))]
    differ = []
    for page in pages:
        if not page.is_file():
            sys.exit(f"tables: error: {page}: no such page")
        text = page.read_text(encoding="utf-8")
        unknown = sorted({found[2] for found in BLOCK.finditer(text)} - TABLES.keys())
        if unknown:
            sys.exit(
                f"tables: error: {page}: no table {unknown[0]!r}; use one of {', '.join(TABLES)}"
            )
        new = written(text)
        if new != text:
            differ.append(page)
            if not asked.check:
                page.write_text(new, encoding="utf-8")
    for page in differ:
        done = "is not what the results say; run the command without --check"
        print(f"tables: {page}: {done if asked.check else 'written'}", file=sys.stderr)
    return 1 if differ and asked.check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
