"""The tables of in-loop against eval-pass capture that replication/README.md shows.

usage: .venv/bin/python scripts/capture_table.py [<work folder of scripts/capture.sh>]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

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
    print_table(rows)


def print_table(rows: list[dict[str, float | str]]) -> None:
    """AUC / AP in % by noise, length and score, in-loop and eval-pass beside each other."""
    found = {(r["noise"], r["epochs"], r["score"], r["capture"]): r for r in rows}
    print("| noise | epochs | score | in-loop AUC / AP | eval-pass AUC / AP |")
    print("| --- | --- | --- | --- | --- |")
    for noise, epochs, score, capture in found:
        if capture != CAPTURES[0] or (noise, epochs, score, CAPTURES[1]) not in found:
            continue
        both = [found[noise, epochs, score, name] for name in CAPTURES]
        cells = [f"{100 * float(r['auc']):.1f} / {100 * float(r['ap']):.1f}" for r in both]
        print(f"| {noise} | {epochs} | {score} | {cells[0]} | {cells[1]} |")
    for score in (*HAND_MADE, "LSTM"):
        gaps = [
            100 * (float(found[n, e, s, CAPTURES[1]]["ap"]) - float(row["ap"]))
            for (n, e, s, c), row in found.items()
            if s == score and c == CAPTURES[0] and (n, e, s, CAPTURES[1]) in found
        ]
        if gaps:
            print(
                f"{score}: eval-pass minus in-loop, AP: mean {np.mean(gaps):+.2f} points, "
                f"{min(gaps):+.2f} to {max(gaps):+.2f}, {len(gaps)} settings"
            )


if __name__ == "__main__":
    main()
