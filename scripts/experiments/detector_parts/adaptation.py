"""Does a detector gain from being adapted to the run that it judges, without the true labels?

Four ways, each beside the detector as it is:
  statistics   its inputs are centred and scaled half by the run's own mean and deviation;
  taught       two copies, each trained for four passes on one half of the run with what the
               detector says, and used on the other half;
  both         the sum of the log-odds of the detector and of the taught copies;
  linear       the sum of the log-odds of the detector and a third of those of a logistic regression
               on each curve's mean, last value and deviation, trained in five folds.
Prints Markdown: AP in % of the detector, and what each way adds. The wrong labels of the runs must
be known; only the AP uses them.

usage: .venv/bin/python -m scripts.experiments.detector_parts.adaptation [--detector builtin]
         [--seed 0] [--out FILE] RUN...
"""

from __future__ import annotations

import argparse
import copy
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scripts.experiments.tables.detectors import adaptation_table
from tdctl.detector import Detector, load_detector, suspicion
from tdctl.detector.distort_curves import augmented
from tdctl.detector.nets import PooledDetector
from tdctl.detector.ranking_loss import detection_loss
from tdctl.dynamics import read_run
from tdctl.errors import TdctlError
from tdctl.files import write_json

Floats = NDArray[np.float64]
OWN = 0.5  # of the run's own statistics
PASSES, BATCH, RATE = 4, 256, 3e-4


def log_odds(share: Floats) -> Floats:
    kept = np.clip(share, 1e-7, 1 - 1e-7)
    return np.asarray(np.log(kept / (1 - kept)))


def by_statistics(net: PooledDetector, curves: NDArray[np.float32]) -> Floats:
    flat = curves.reshape(-1, curves.shape[2])
    mean, spread = (torch.from_numpy(f(flat, axis=0)).float() for f in (np.mean, np.std))
    own = copy.deepcopy(net)
    # What is the same in the whole run, such as its evenness, is not to be made nothing of.
    varies = spread > 1e-3
    own.centre.copy_(torch.where(varies, net.centre.lerp(mean, OWN), net.centre))
    own.scale.copy_(torch.where(varies, net.scale.lerp(spread, OWN), net.scale))
    return suspicion(own, curves)


def by_teaching(
    net: PooledDetector, curves: NDArray[np.float32], taken: NDArray[np.bool_], seed: int
) -> Floats:
    torch.manual_seed(seed)
    half = torch.randperm(len(curves)) % 2 == 0
    values, goals = torch.from_numpy(curves), torch.from_numpy(taken.astype(np.int64))
    found = np.empty(len(curves))
    for judged in (half, ~half):
        own = copy.deepcopy(net).train()
        optimizer = torch.optim.AdamW(own.parameters(), lr=RATE)
        rows = torch.nonzero(~judged)[:, 0]
        for _ in range(PASSES):
            for batch in rows[torch.randperm(len(rows))].split(BATCH):
                loss = detection_loss(own(augmented(values[batch])), goals[batch], 1.0)
                optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                optimizer.step()
        found[judged.numpy()] = suspicion(own, curves[judged.numpy()])
    return found


def by_regression(curves: NDArray[np.float32], taken: NDArray[np.bool_], seed: int) -> Floats:
    seen = np.concatenate([curves.mean(axis=1), curves[:, -1], curves.std(axis=1)], axis=1)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    fifths = StratifiedKFold(5, shuffle=True, random_state=seed)
    found = cross_val_predict(model, seen, taken, cv=fifths, method="predict_proba")
    return np.asarray(found[:, 1], dtype=np.float64)


def adapted(detector: Detector, run: Path, seed: int) -> dict[str, float]:
    """AP of each way, on one run."""
    dynamics, labels, _ = read_run(run)
    net = detector.net
    if not isinstance(net, PooledDetector):
        sys.exit("adaptation: error: the detector is the paper's; name one of several channels")
    if labels.flipped.all() or not labels.flipped.any():
        sys.exit(f"adaptation: error: {run}: holds no flips, or nothing else; nothing to judge by")
    curves = detector.reader.open(dynamics).rows()
    plain = suspicion(net, curves)
    taken = plain > 0.5
    if taken.sum() < 10:
        sys.exit(f"adaptation: error: {run}: fewer than ten are called wrong; nothing to teach by")
    taught = by_teaching(net, curves, taken, seed)
    linear = by_regression(curves, taken, seed)
    ways = {
        "detector": plain,
        "statistics": by_statistics(net, curves),
        "taught": taught,
        "both": log_odds(plain) + log_odds(taught),
        "linear": log_odds(plain) + log_odds(linear) / 3,
    }
    return {way: float(average_precision_score(labels.flipped, s)) for way, s in ways.items()}


def main() -> None:
    parser = argparse.ArgumentParser(usage=str(__doc__).replace("%", "%%"))
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--detector", type=Path, default=Path("builtin"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    detector = load_detector(asked.detector)
    rows = {run.resolve().name: adapted(detector, run, asked.seed) for run in asked.runs}
    ways = next(iter(rows.values()))
    rows["mean"] = {way: float(np.mean([row[way] for row in rows.values()])) for way in ways}
    print(adaptation_table(rows))
    if asked.out is not None:
        write_json(asked.out, rows)


if __name__ == "__main__":
    try:
        main()
    except TdctlError as error:
        sys.exit(f"adaptation: error: {error}")
