"""Two short recordings in the time of one long recording: an ensemble, and a second round.

For each row and seed of the benchmark it records the recipe detect four times:
  one       for LENGTH epochs;
  short     for half as many epochs; other: the same with other weights and batches;
  second    for half as many epochs, without the tenth that short ranks worst.
Judges one, short, second, short with other (an ensemble) and short with second, by AUM and by the
detector that ships. Two runs are ranked by the mean of their ranks. Prints Markdown: AP in %, mean
and standard deviation over seeds. Runs that the benchmark recorded in the same folder are reused.

usage: .venv/bin/python -m scripts.experiments.rounds --data FOLDER --labels TABLE [--work FOLDER]
         [--images 3000] [--seeds 0,1] [--length 60] [--rows uniform0.2,aggregate] [--out FILE.json]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from scripts.experiments.finding.cells import ROWS, Cell, Settings, data_of, kind_of
from scripts.experiments.finding.recording import going_on, tdctl
from scripts.experiments.tables.detection import rounds_table

LEFT_OUT = 0.1
WAYS = {
    "one": ("one",),
    "short": ("short",),
    "ensemble: short, other": ("short", "other"),
    "second": ("second",),
    "short, second": ("short", "second"),
}


def recorded(settings: Settings, row: str, seed: int, length: int) -> dict[str, Path]:
    """The four runs of a row and seed, recorded where they are not there yet."""
    half = length // 2
    folders = {
        "one": settings.work / Cell(row, seed, length, "ours").name,
        "short": settings.work / Cell(row, seed, half, "ours").name,
        "other": settings.work / Cell(row, seed, half, "other").name,
        "second": settings.work / Cell(row, seed, half, "second").name,
    }
    ranking = settings.work / f"{Cell(row, seed, half, 'ours').name}.csv"
    own = ["--seed", str(seed)]
    again = ["--seed", str(seed + 1000), "--noise-seed", str(seed), "--split-seed", str(seed)]
    left = ["--leave-out", str(ranking), "--leave-out-ratio", str(LEFT_OUT)]
    rest = {"one": own, "short": own, "other": again, "second": again + left}
    for name, folder in folders.items():
        if name == "second" and not ranking.exists():
            tdctl("detect", "--td", str(folders["short"]), "--out", str(ranking))
        tdctl(
            "generate-td", *data_of(settings, row, seed), *ROWS[row], *rest[name],
            *kind_of("ours", length if name == "one" else half), "--out", str(folder),
            *going_on(folder), "--quiet",
        )  # fmt: skip
        print(f"{folder.name}: there", file=sys.stderr, flush=True)
    return folders


def judged(folders: list[Path], by: str) -> float:
    """AP of a ranking of some runs together."""
    runs = [argument for folder in folders for argument in ("--td", str(folder))]
    how = ["--detector", by] if by == "builtin" else ["--score", by]
    told, _ = tdctl("detect", *runs, *how, "--json", "--top", "0")
    return float(json.loads(told)["metrics"]["ap"])


def main() -> None:
    parser = argparse.ArgumentParser(usage=str(__doc__).replace("%", "%%"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("replication/finding"))
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--length", type=int, default=60)
    parser.add_argument("--rows", default="uniform0.2,aggregate")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    settings = Settings(asked.data, asked.labels, asked.work, asked.images)
    rows = asked.rows.split(",")
    if unknown := [
        row for row in rows if row not in ROWS or data_of(settings, row, 0)[1] != "table"
    ]:
        sys.exit(
            f"rounds: error: --rows: '{unknown[0]}' is no noise on CIFAR-10 that finding knows"
        )
    settings.work.mkdir(parents=True, exist_ok=True)
    found: list[dict[str, Any]] = []
    for row in rows:
        for seed in map(int, asked.seeds.split(",")):
            folders = recorded(settings, row, seed, asked.length)
            for way, names in WAYS.items():
                for by in ("aum", "builtin"):
                    ap = judged([folders[name] for name in names], by)
                    found.append({"row": row, "seed": seed, "way": way, "by": by, "ap": ap})
    print(rounds_table(found))
    if asked.out is not None:
        asked.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
