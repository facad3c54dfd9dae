"""Easy and nearly clean data: what detect ranks by, and how many wrong labels it estimates.

`record` trains the recipe detect on digits, letters, CIFAR-10 and a folder of photographs with few
flipped labels (uniform noise), one thread each. `judge` prints two Markdown tables of any runs. The
first has the estimate of `--cut auto` with its interval, beside the former default (auto:mixture).
The second has the AP of the default ranking, beside the shipped detector alone, AUM, and the
hand-made score with the best AP. An interrupted call continues when repeated.

usage: .venv/bin/python -m scripts.experiments.easy_data record --data FOLDER --labels TABLE
           --signs FOLDER [--work FOLDER] [--rows digits,letters,...]
       .venv/bin/python -m scripts.experiments.easy_data judge [--out FILE.json] RUN...
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.experiments.finding.cells import Settings, data_of
from scripts.experiments.finding.recording import render, tdctl, write
from scripts.experiments.tables.markdown import table

# Shares of flipped labels by data set, epochs and seed.
RATES = (0, 0.005, 0.01, 0.02, 0.05)
SOME = (0, 0.01, 0.05)
CELLS: tuple[tuple[str, int, tuple[float, ...], int], ...] = (
    ("digits", 60, RATES, 0),
    ("digits", 60, RATES, 1),
    *(("digits", epochs, SOME, 0) for epochs in (5, 10, 20)),
    ("letters", 60, RATES, 0),
    ("letters", 60, SOME, 1),
    *(("letters", epochs, SOME, 0) for epochs in (5, 10, 20)),
    ("cifar3000", 30, RATES, 0),
    ("cifar3000", 60, SOME, 1),
    ("cifar10000", 20, RATES, 0),
    ("signs", 30, RATES, 0),
)
ROWS = tuple(dict.fromkeys(name for name, _, _, _ in CELLS))


def main() -> None:
    parser = argparse.ArgumentParser(usage=str(__doc__).replace("%", "%%"))
    parser.add_argument("stage", choices=("record", "judge"))
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--signs", type=Path)
    parser.add_argument("--work", type=Path, default=Path("replication/easy"))
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--out", type=Path)
    asked = parser.parse_intermixed_args()
    if asked.stage == "judge":
        judge(asked.runs, asked.out)
        return
    if None in (asked.data, asked.labels, asked.signs):
        sys.exit("easy_data: error: name --data, --labels and --signs")
    record(asked)


def record(asked: argparse.Namespace) -> None:
    """Records every cell that is not there yet."""
    asked.work.mkdir(parents=True, exist_ok=True)
    for name, epochs, rates, seed in CELLS:
        if name not in asked.rows.split(","):
            continue
        for rate in rates:
            out = asked.work / f"{name}_{rate:g}_{epochs}_seed{seed}"
            done = out.with_name(out.name + ".seconds.json")
            if done.exists():
                continue
            went_on = ["--resume"] if (out / "config.yaml").exists() else []
            _, seconds = tdctl(
                "generate-td", *_data(asked, name, seed), "--noise-type", "uniform",
                "--noise-ratio", str(rate), "--recipe", "detect", "--epochs", str(epochs),
                "--seed", str(seed), "--out", str(out), "--quiet", *went_on,
            )  # fmt: skip
            write(done, {"cpu_seconds": seconds})
            print(f"{out.name}: {seconds:.0f} s", file=sys.stderr, flush=True)


def _data(asked: argparse.Namespace, name: str, seed: int) -> list[str]:
    if name == "signs":
        return [
            "--dataset", "folder", "--data-dir", str(asked.signs), "--image-size", "64",
            "--test-share", "0", "--no-flip",
        ]  # fmt: skip
    count = int(name.removeprefix("cifar")) if name.startswith("cifar") else 3000
    settings = Settings(asked.data, asked.labels, asked.work, count)
    if name == "letters":
        render(settings, seed)
    return data_of(settings, "cifar" if name.startswith("cifar") else name, seed)


def judge(runs: list[Path], out: Path | None) -> None:
    """Prints both tables, and writes their figures."""
    found = []
    for run in runs:
        found.append(_judged(run))
        print(found[-1]["run"], file=sys.stderr, flush=True)
    print(f"{estimates_of(found)}\n\n{rankings_of(found)}")
    if out is not None:
        write(out, found)


def estimates_of(found: Sequence[Mapping[str, Any]]) -> str:
    """The share of wrong labels and the estimates of it in %, run by run."""
    rows: list[list[object]] = []
    for one in found:
        low, high = (100 * end for end in one["interval"])
        shares = [f"{100 * one[name]:.1f}" for name in ("wrong", "combined", "mixture")]
        rows.append([one["run"], *shares[:2], f"{low:.1f} to {high:.1f}", shares[2]])
    errors = [
        f"{100 * np.mean([abs(one[name] - one['wrong']) for one in found]):.1f}"
        for name in ("combined", "mixture")
    ]
    inside = sum(one["interval"][0] <= one["wrong"] <= one["interval"][1] for one in found)
    rows.append(["mean absolute error", "", errors[0], f"{inside} of {len(found)} hold", errors[1]])
    return table(("run", "wrong", "auto", "its interval", "mixture (the default before)"), rows)


def rankings_of(found: Sequence[Mapping[str, Any]]) -> str:
    """Mean AP of the rankings and F1 at the tool's own cut, in %, by row.

    The runs of a row differ in seed and length alone.
    """
    names = ("auto", "builtin", "aum")
    rows: list[list[object]] = []
    for row, members in _rows(found):
        common = set.intersection(*(set(one["scores"]) for one in members))
        means = {name: np.mean([one["scores"][name] for one in members]) for name in common}
        best = max(sorted(means), key=lambda name: means[name])
        cells = [f"{100 * np.mean([one['ap'][name] for one in members]):.1f}" for name in names]
        hindsight, cuts = f"{100 * means[best]:.1f} ({best})", [one["f1_at_cut"] for one in members]
        f1 = f"{100 * np.mean([0 if cut is None else cut for cut in cuts]):.1f}"
        rows.append([row, len(members), *cells, hindsight, f1])
    head = ("row", "runs", *names, "best plain score, in hindsight", "F1 at the tool's own cut")
    return table(head, rows)


def _judged(run: Path) -> dict[str, Any]:
    # Imported here: the command that prints the tables needs no torch.
    from tdctl import runner
    from tdctl.cuts import mean_loss, mixture_rate
    from tdctl.dynamics import read_run
    from tdctl.scores import SCORES

    ranked = runner.detect(run, Path("auto"), cut="auto")
    estimate = ranked.estimates["combined"]
    dynamics, labels, _ = read_run(run)
    wrong = float(labels.flipped.mean())
    cut = None if ranked.flagged is None else ranked.flagged.cut
    found: dict[str, Any] = {
        "run": run.resolve().name,
        "wrong": wrong,
        "combined": estimate.rate,
        "interval": [estimate.low, estimate.high],
        "mixture": mixture_rate(mean_loss(dynamics)),
        "f1_at_cut": None if cut is None else cut.f1,
        "ranked_by": next(iter(ranked.ranked_by.values())),
    }
    if wrong:
        table_of_scores = runner.judge_scores(run, list(SCORES.values()), leave_out=True)
        scores = {
            row.score: row.metrics.ap
            for row in table_of_scores.rows
            # The direction of variability depends on the run.
            if row.metrics is not None and row.score != "variability"
        }
        builtin = runner.detect(run, Path("builtin")).metrics.ap
        found["scores"] = scores
        found["ap"] = {"auto": ranked.metrics.ap, "builtin": builtin, "aum": scores["aum"]}
    return found


def _rows(
    found: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """Runs with wrong labels that differ in seed and length alone."""
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for one in found:
        if one["wrong"]:
            name = re.sub(r"_(seed\d+|\d+|ours)(?=_|$)", "", one["run"])
            rows.setdefault(name, []).append(one)
    yield from rows.items()


if __name__ == "__main__":
    main()
