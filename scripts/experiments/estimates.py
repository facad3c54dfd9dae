"""How well --cut auto estimates the share of wrong labels, on runs whose wrong labels are known.

Prints Markdown, in %: the true share and the estimate of each method for every run, and over all
runs the mean error and the mean absolute error. The runs are ranked by the detector; auto:sum adds
up its P(mislabeled). The other methods depend only on the curves.

usage: .venv/bin/python -m scripts.experiments.estimates [--detector builtin]
         [--methods mixture,sum,joint] [--out FILE.json] RUN...
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scripts.experiments.tables.detection import estimates_table
from tdctl.cuts import METHODS
from tdctl.errors import TdctlError
from tdctl.files import write_json
from tdctl.rankers.open_ranker import open_ranker
from tdctl.rankers.ranked import rank_runs
from tdctl.training import World, pick_device


def main() -> None:
    parser = argparse.ArgumentParser(usage=str(__doc__).replace("%", "%%"))
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--detector", type=Path, default=Path("builtin"))
    parser.add_argument("--methods", default="mixture,sum,joint")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    methods = asked.methods.split(",")
    for method in methods:
        if method not in METHODS:
            sys.exit(f"estimates: error: '{method}' is none; use {', '.join(METHODS)}")
    world = World(device=pick_device("cpu"))
    ranker = open_ranker(asked.detector, world)
    wrong: list[float] = []
    errors: dict[str, list[float]] = {method: [] for method in methods}
    for run in asked.runs:
        found = rank_runs([run], ranker, world, methods)
        realised = float(found.labels.flipped.mean())
        if not realised:
            sys.exit(f"estimates: error: {run}: no label is known to be wrong; nothing to err by")
        wrong.append(realised)
        for method in methods:
            errors[method].append(found.estimates[method].rate - realised)
        print(f"{run.resolve().name}: done", file=sys.stderr, flush=True)
    names = [run.resolve().name for run in asked.runs]
    figures = {"runs": names, "wrong": wrong, "errors": errors}
    print(estimates_table(figures))
    if asked.out is not None:
        write_json(asked.out, figures)


if __name__ == "__main__":
    try:
        main()
    except TdctlError as error:
        sys.exit(f"estimates: error: {error}")
