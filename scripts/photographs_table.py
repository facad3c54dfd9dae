"""Prints replication/results/photographs_*.json as the two tables of replication/README.md.

usage: python scripts/photographs_table.py [FOLDER]
"""

import json
import sys
from pathlib import Path
from typing import Any

NAMES = {
    "all": "all given labels",
    "pruned": "without the worst",
    "random": "without as many at random",
    "clean": "truly clean labels",
}


def percent(value: float) -> str:
    """A share as a percentage with two digits."""
    return f"{100 * value:.2f}"


def main() -> None:
    """Prints the tables."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "replication/results")
    files = sorted(folder.glob("photographs_*_detect.json"))
    print("| labels | seed of the judged run | wrong | AUC | AP | F1 at 0.5 | F1 at the rate |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    retrained: dict[str, dict[str, Any]] = {}
    for file in files:
        _, labels, seed, _ = file.stem.split("_")
        metrics = json.loads(file.read_text())["metrics"]
        cells = [metrics["realised_rate"], metrics["auc"], metrics["ap"]]
        cells += [metrics[cut]["f1"] for cut in ("at_half", "at_realised_rate")]
        print("|", " | ".join([labels, seed[4:], *map(percent, cells)]), "|")
        other = file.with_name(file.name.replace("detect", "denoise"))
        if other.exists():
            retrained[f"{labels}, {seed}"] = {
                row["kind"]: row for row in json.loads(other.read_text())["rows"]
            }
    print()
    print("| trained on |", " | ".join(retrained), "|")
    print("| --- |", " | ".join("---" for _ in retrained), "|")
    for kind, name in NAMES.items():
        cells = [
            f"{percent(rows[kind]['test_error_last'])} ({rows[kind]['flipped_left']} wrong left)"
            for rows in retrained.values()
        ]
        print("|", " | ".join([name, *cells]), "|")


if __name__ == "__main__":
    main()
