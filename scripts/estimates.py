"""How well --cut auto estimates the share of wrong labels, on runs whose flips are known.

Prints Markdown, in %: the realised share, what each method says of it, and over all runs the mean
error with its sign and the mean of its size. Runs are ranked by the detector, whose P(mislabeled)
auto:sum adds up; the others depend on the curves alone.

usage: .venv/bin/python scripts/estimates.py [--detector builtin] [--methods mixture,sum,joint]
         [--out FILE.json] RUN...
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from tdctl.cuts import METHODS
from tdctl.errors import TdctlError
from tdctl.files import write_json
from tdctl.runner.rank import rank_runs
from tdctl.runner.source import open_ranker
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
    print(f"| run | wrong | {' | '.join(methods)} |\n{'| --- ' * (len(methods) + 2)}|")
    errors: dict[str, list[float]] = {method: [] for method in methods}
    for run in asked.runs:
        found = rank_runs([run], ranker, world, methods)
        realised = float(found.labels.flipped.mean())
        if not realised:
            sys.exit(f"estimates: error: {run}: no label is known to be wrong; nothing to err by")
        rates = [found.estimates[method].rate for method in methods]
        for method, rate in zip(methods, rates, strict=True):
            errors[method].append(rate - realised)
        cells = (f"{100 * rate:.1f}" for rate in rates)
        print(f"| {run.resolve().name} | {100 * realised:.1f} | {' | '.join(cells)} |", flush=True)
    for name, of in (
        ("mean error", np.mean),
        ("mean size of the error", lambda e: np.mean(np.abs(e))),
    ):
        cells = (f"{100 * float(of(errors[method])):.1f}" for method in methods)
        print(f"| {name} | | {' | '.join(cells)} |")
    if asked.out is not None:
        names = [run.resolve().name for run in asked.runs]
        write_json(asked.out, {"runs": names, "errors": errors})


if __name__ == "__main__":
    try:
        main()
    except TdctlError as error:
        sys.exit(f"estimates: error: {error}")
