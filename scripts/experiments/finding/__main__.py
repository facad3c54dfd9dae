"""The benchmark: which ranking finds wrong labels best, given the same training time.

For each row of noise, seed and length it records the recipe detect (ours). In the same CPU time it
records the paper's recipe, and three networks that each predict the third of the images that they
have not seen (folds). Then it judges all scores and detectors on these runs, and the default
ranking (auto) with its own cut. Seed s uses the images from s * IMAGES on. A sibling's detector is
trained on the other seeds of the row. An interrupted benchmark continues when it is called again.

usage: .venv/bin/python -m scripts.experiments.finding --data FOLDER --labels TABLE [options]
  --work FOLDER          where runs go (replication/finding)
  --data FOLDER          CIFAR-10 as image files; --labels: file_name,label,aggregate,random1
  --images 3000          images of each run
  --seeds 0,1            --lengths 30,60 (epochs of ours)
  --rows a,b             only these rows      --stage record|judge|report|all
  --kinds ours,paper,folds   kinds of training; full: the paper's recipe for its 200 epochs;
                         whole: ours at the whole resolution, for as many epochs;
                         mixup, elr and so on: the recipe of that name, in the time of ours
  --detector NAME=FILE   also judged, on ours and on the paper's; repeatable (builtin always is)
  --no-siblings          no detectors of the other seeds; they take the most time
  --parallel 2           runs at the same time, one thread each
  --out FILE.json        the figures (replication/results/finding.json)
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from scripts.experiments.finding.cells import FULL, KINDS, ROWS, Cell, Settings
from scripts.experiments.finding.judging import judge
from scripts.experiments.finding.recording import calibrate, record
from scripts.experiments.finding.reporting import report


def main() -> None:
    parser = argparse.ArgumentParser(usage=str(__doc__).replace("%", "%%"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--work", type=Path, default=Path("replication/finding"))
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--lengths", default="30,60")
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--kinds", default="ours,paper,folds")
    parser.add_argument("--stage", default="all", choices=("record", "judge", "report", "all"))
    parser.add_argument("--detector", action="append", default=[])
    parser.add_argument("--no-siblings", action="store_true")
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("replication/results/finding.json"))
    asked = parser.parse_args()
    for flag, known in (("rows", ROWS), ("kinds", KINDS)):
        for name in getattr(asked, flag).split(","):
            if name not in known:
                sys.exit(f"finding: error: --{flag}: '{name}' is unknown; use {', '.join(known)}")
    if asked.stage == "report" and not asked.out.exists():
        sys.exit(f"finding: error: {asked.out}: no such file; name the figures with --out")
    if asked.stage != "report":
        if asked.data is None or asked.labels is None:
            sys.exit("finding: error: name --data and --labels")
        for path in (asked.data, asked.labels):
            if not path.exists():
                sys.exit(f"finding: error: {path}: no such file or folder")
        settings = Settings(asked.data, asked.labels, asked.work, asked.images)
        settings.work.mkdir(parents=True, exist_ok=True)
        seeds = [int(seed) for seed in asked.seeds.split(",")]
        # The longest first and seed by seed, so that what is there at any time compares.
        cells = [
            Cell(row, seed, FULL if kind == "full" else length, kind)
            for length in sorted(map(int, asked.lengths.split(",")), reverse=True)
            for seed in seeds
            for row in asked.rows.split(",")
            for kind in asked.kinds.split(",")
        ]
        cells = list(dict.fromkeys(cells))
        if asked.stage in ("record", "all"):
            record(settings, cells, calibrate(settings, cells), asked.parallel)
        if asked.stage in ("judge", "all"):
            detectors = dict(one.split("=", 1) for one in asked.detector)
            judge(settings, cells, detectors, asked.out, asked.parallel, not asked.no_siblings)
    if asked.stage in ("report", "judge", "all"):
        print(report(json.loads(asked.out.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
