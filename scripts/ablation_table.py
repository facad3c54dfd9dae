"""Prints the table of scripts/ablation.sh in replication/README.md from its figures.

usage: .venv/bin/python scripts/ablation_table.py [folder of readers_*.json]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import mean, stdev

# Of each step, what its readers go without.
STEPS = {
    "lstm": "",
    "gru": "",
    "tcn": "",
    "no_ranking_loss": ", without the ranking loss",
    "no_augmentation": ", without augmented curves",
}
SHOWN = 2  # of the hand-made scores, the best by mean AP


def main(folder: Path) -> None:
    steps = {
        step: json.loads((folder / f"readers_{step}.json").read_text(encoding="utf-8"))
        for step in STEPS
    }
    scores = steps["gru"]["scores"]
    runs = list(scores)
    names = [run.split("/")[-1].split("_seed")[0] for run in runs]
    print(f"| ranked by | {' | '.join(names)} | mean |\n{'| --- ' * (len(runs) + 2)}|")
    every = {name: [100 * scores[run][name]["ap"] for run in runs] for name in scores[runs[0]]}
    for name in sorted(every, key=lambda name: -mean(every[name]))[:SHOWN]:
        cells = " | ".join(f"{ap:.1f}" for ap in every[name])
        print(f"| {name} | {cells} | {mean(every[name]):.1f} |")
    for step, without in STEPS.items():
        rows = steps[step]["detectors"]
        for net, channels in dict.fromkeys((row["net"], row["channels"]) for row in rows):
            found = [
                row["figures"] for row in rows if (row["net"], row["channels"]) == (net, channels)
            ]
            aps = [[100 * figures[run]["ap"] for figures in found] for run in runs]
            cells = " | ".join(f"{mean(values):.1f} ± {stdev(values):.1f}" for values in aps)
            print(f"| {net} on {channels}{without} | {cells} | {mean(map(mean, aps)):.1f} |")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "replication/results"))
