"""Judges what capture.sh recorded: the tables of replication/capture.md.

usage: .venv/bin/python -m scripts.experiments.capture [<work folder of capture.sh>]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from scripts.experiments.tables.detection import capture_differences, capture_table
from tdctl import load_detector, read_run
from tdctl.files import write_json
from tdctl.scores import SCORES, scores_of

CAPTURES = ("in-loop", "eval-pass")
HAND_MADE = {
    "AUM": "aum",
    "mean loss": "loss-mean",
    "mean probability": "p-mean",
    "last loss": "loss-last",
}


def suspicions_of(run: Path, detector: Path) -> dict[str, NDArray[np.float64]]:
    """Suspicion of each sample by each score; higher is worse."""
    dynamics, _, _ = read_run(run)
    computed = scores_of(dynamics, [SCORES[name] for name in HAND_MADE.values()])
    found = {shown: computed[name] for shown, name in HAND_MADE.items()}
    if detector.exists():
        found["LSTM"] = load_detector(detector).score(dynamics)
    return found


def main() -> None:
    work = Path(sys.argv[1] if len(sys.argv) > 1 else "replication/capture")
    rows = []
    for epochs in (10, 30):
        for noise in ("uniform0.2", "uniform0.4", "flip0.2", "human"):
            for capture in CAPTURES:
                run = work / f"{noise}_{epochs}_{capture}"
                if not (run / "training_dynamics.npz").exists():
                    continue
                _, labels, _ = read_run(run)
                seconds = json.loads((run / "manifest.json").read_text())["seconds"]
                found = suspicions_of(run, work / f"detector_{epochs}_{capture}.pth.tar")
                for name, values in found.items():
                    auc = float(roc_auc_score(labels.flipped, values))
                    ap = float(average_precision_score(labels.flipped, values))
                    facts = {"noise": noise, "epochs": epochs, "capture": capture}
                    rows.append({**facts, "score": name, "auc": auc, "ap": ap, "seconds": seconds})
    write_json(Path("replication/results/capture.json"), rows)
    print(capture_table(rows))
    print()
    print(capture_differences(rows))


if __name__ == "__main__":
    main()
