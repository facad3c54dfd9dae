"""One label in a hundred of the digits is wrong: InterpretDL's rule, better cuts, and the detector.

Records the digits with 1 % uniform noise, once for each seed, with the settings of
configs/digits.yaml (30 epochs) and with the recipe detect. Samples are flagged by
  rule       a mean correct epoch more than 5 standard deviations above the mean (InterpretDL);
  score      the worst by the mean correct epoch, as many as --cut auto estimates;
  detector   the worst by the detector, as many as --cut auto estimates;
  detector*  the worst by the detector, as many as are wrong.
Prints Markdown, in %: mean and standard deviation over the seeds. --out keeps every figure. If
nothing is flagged, the precision counts as 0.

usage: .venv/bin/python -m scripts.experiments.forgetting [--detector builtin] [--seeds 0,1,...]
         [--work FOLDER] [--out FILE.json]
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.experiments.tables.detection import forgetting_table
from tdctl import runner
from tdctl.config import Config
from tdctl.dynamics import read_run
from tdctl.errors import TdctlError
from tdctl.files import write_json
from tdctl.metrics import cut_at
from tdctl.scores import find_score, late_learned
from tdctl.settings import load_config

RATE = 0.01


def settings(kind: str, seed: int) -> Config:
    noisy = {"noise.noise_ratio": RATE, "seed": seed, "data.num_valid": 0}
    if kind == "detect":
        return load_config(None, {"data.dataset": "digits", "recipe": "detect"} | noisy)
    return load_config(Path("configs/digits.yaml"), noisy)


def flagged(run: Path, detector: Path) -> dict[str, NDArray[np.bool_]]:
    score = find_score("mean-correct-epoch")
    dynamics, labels, _ = read_run(run)
    by_score = runner.detect(run, score, cut="auto")
    by_detector = runner.detect(run, detector, cut="auto")
    if by_score.flagged is None or by_detector.flagged is None:
        sys.exit("forgetting: error: no cut")
    wrong = float(labels.flipped.mean())
    return {
        "rule": late_learned(score(dynamics), dynamics.epochs),
        "score": by_score.flagged.rows,
        "detector": by_detector.flagged.rows,
        "detector*": by_detector.above(wrong).rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(usage=str(__doc__).replace("%", "%%"))
    parser.add_argument("--detector", default="builtin")
    parser.add_argument("--seeds", default="0,1,2,3,4,5,6,7,8,9")
    parser.add_argument("--work", type=Path, default=Path("replication/forgetting"))
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for kind in ("digits.yaml", "detect"):
        for seed in map(int, asked.seeds.split(",")):
            run = asked.work / f"{kind}_seed{seed}"
            runner.generate_td(settings(kind, seed), run, resume=(run / "manifest.json").exists())
            flipped = read_run(run)[1].flipped
            for how, found in flagged(run, Path(asked.detector)).items():
                cut = asdict(cut_at(found, flipped))
                row = {"settings": kind, "seed": seed, "by": how, "wrong": int(flipped.sum())}
                rows.append(row | {"flagged": int(found.sum())} | cut)
    print(forgetting_table(rows))
    if asked.out is not None:
        write_json(asked.out, rows)


if __name__ == "__main__":
    try:
        main()
    except TdctlError as error:
        sys.exit(f"forgetting: error: {error}")
