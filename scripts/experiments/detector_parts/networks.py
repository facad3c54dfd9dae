"""How much of a ranking is due to the detector's network, and how much to what it sees.

Trains every network on every set of channels on the runs before `--`; the last of them is held out
to select the epoch. Judges it on the runs after `--`, beside the hand-made scores. No run may stand
on both sides. Prints Markdown; --out also keeps the figures as JSON.

usage: .venv/bin/python -m scripts.experiments.detector_parts.networks [options] RUN... -- RUN...
  --nets lstm,gru,tcn
  --channels given,ranks,values,most,all    each set on its own
  --set KEY=VALUE        a setting of the detector, such as ranking=0; repeatable
  --seeds 0,1            one training each; the table shows mean and standard deviation
  --out FILE.json
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from tdctl.config import DetectorConfig
from tdctl.detector import Curves, Reader, reader_of, suspicion, train_net
from tdctl.dynamics import TrainingDynamics, read_run
from tdctl.errors import DetectorError, TdctlError
from tdctl.files import write_json
from tdctl.labels import Labels
from tdctl.scores import SCORES, scores_of
from tdctl.settings import load_config, parse_set

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    name: str
    dynamics: TrainingDynamics
    labels: Labels

    @classmethod
    def of(cls, folder: Path) -> Run:
        dynamics, labels, _ = read_run(folder)
        return cls("/".join(folder.resolve().parts[-2:]), dynamics, labels)

    def curves(self, reader: Reader) -> Curves:
        # Every form of a reader sees the same numbers; the paper's takes them without a copy.
        return Curves(reader.open(self.dynamics).rows(), self.labels.flipped)

    def figures(self, suspicion_n: Floats) -> dict[str, float]:
        flipped = self.labels.flipped
        return {
            "auc": float(roc_auc_score(flipped, suspicion_n)),
            "ap": float(average_precision_score(flipped, suspicion_n)),
        }


def hand_made(run: Run) -> dict[str, dict[str, float]]:
    able = [score for score in SCORES.values() if score.why_not(run.dynamics) is None]
    found = scores_of(run.dynamics, able)
    return {name: run.figures(values) for name, values in found.items()}


def trained(config: DetectorConfig, train: list[Run], test: list[Run], seed: int) -> dict[str, Any]:
    reader = reader_of(config)
    start = time.perf_counter()
    curves = [run.curves(reader) for run in train]
    row: dict[str, Any] = {"net": reader.net, "channels": config.channels, "seed": seed}
    try:
        found = train_net(curves, config, seed, torch.device("cpu"))
    except DetectorError as error:
        return row | {"failed": str(error)}
    row |= {"seconds": time.perf_counter() - start, "epoch": found.epoch, "held_out": found.ap}
    row["weights"] = sum(value.numel() for value in found.net.state_dict().values())
    judged = {run.name: suspicion(found.net, run.curves(reader).values) for run in test}
    row["figures"] = {run.name: run.figures(judged[run.name]) for run in test}
    return row


def cell(figures: list[dict[str, float]]) -> str:
    auc, ap = ([100 * one[key] for one in figures] for key in ("auc", "ap"))
    spread = f" ± {np.std(ap, ddof=1):.2f}" if len(ap) > 1 else ""
    return f"{np.mean(auc):.2f} / {np.mean(ap):.2f}{spread}"


def table(scores: dict[str, dict[str, dict[str, float]]], rows: list[dict[str, Any]]) -> list[str]:
    """AUC / AP in %, a row for each way to rank and a column for each run."""
    runs = list(scores)
    lines = ["| ranked by | " + " | ".join(runs) + " | mean AP | seconds |"]
    lines.append("| --- " * (len(runs) + 3) + "|")
    every = {name for run in runs for name in scores[run]}
    by_ap = sorted(
        (name for name in every if all(name in scores[run] for run in runs)),
        key=lambda name: -sum(scores[run][name]["ap"] for run in runs),
    )
    for name in by_ap:
        found = [scores[run][name] for run in runs]
        mean = 100 * np.mean([one["ap"] for one in found])
        lines.append(f"| {name} | {' | '.join(cell([one]) for one in found)} | {mean:.2f} | |")
    for net, channels in dict.fromkeys((row["net"], row["channels"]) for row in rows):
        same = [row for row in rows if (row["net"], row["channels"]) == (net, channels)]
        good = [row for row in same if "figures" in row]
        name = f"{net} on {channels}"
        if len(good) < len(same):
            name += f" ({len(same) - len(good)} of {len(same)} collapsed)"
        if not good:
            lines.append(f"| {name} |" + " |" * (len(runs) + 2))
            continue
        cells = [cell([row["figures"][run] for row in good]) for run in runs]
        mean = 100 * np.mean([row["figures"][run]["ap"] for row in good for run in runs])
        seconds = np.mean([row["seconds"] for row in good])
        lines.append(f"| {name} | {' | '.join(cells)} | {mean:.2f} | {seconds:.0f} |")
    return lines


def main() -> None:
    if "--" not in sys.argv:
        sys.exit(str(__doc__))
    middle = sys.argv.index("--")
    parser = argparse.ArgumentParser(usage=str(__doc__).replace("%", "%%"))
    parser.add_argument("train", nargs="+", type=Path)
    parser.add_argument("--nets", default="lstm,gru,tcn")
    parser.add_argument("--channels", default="given,ranks,values,most,all")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args(sys.argv[1:middle])
    try:
        train, test = ([Run.of(f) for f in fs] for fs in (asked.train, folders(sys.argv, middle)))
        compare(asked, train, test)
    except TdctlError as error:
        sys.exit(f"networks: error: {error}")


def folders(arguments: list[str], middle: int) -> list[Path]:
    named = [Path(argument) for argument in arguments[middle + 1 :]]
    if not named:
        sys.exit(str(__doc__))
    return named


def compare(asked: argparse.Namespace, train: list[Run], test: list[Run]) -> None:
    seen = {run.dynamics.fingerprint() for run in train}
    both = [run.name for run in test if run.dynamics.fingerprint() in seen]
    if both:
        sys.exit(f"networks: error: {both[0]} is trained on; judge another run")
    scores = {run.name: hand_made(run) for run in test}
    rows: list[dict[str, Any]] = []
    more = {f"detector.{key}": value for key, value in parse_set(asked.set).items()}
    for net in asked.nets.split(","):
        for channels in asked.channels.split(","):
            kind = {"detector.detector_net": net, "detector.channels": channels}
            config = load_config(None, kind | more).detector
            for seed in map(int, asked.seeds.split(",")):
                rows.append(trained(config, train, test, seed))
            print(table(scores, rows)[-1], file=sys.stderr, flush=True)
    lines = table(scores, rows)
    print("\n".join(lines))
    if asked.out is not None:
        names = [run.name for run in train]
        write_json(asked.out, {"train": names, "scores": scores, "detectors": rows})


if __name__ == "__main__":
    main()
