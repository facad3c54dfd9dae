"""Time and memory of ``tdctl report`` on a run of very many samples with given curves.

The run is made, not trained: 15 % of the labels are wrong, and their curves rise late.

usage: .venv/bin/python -m scripts.experiments.speed.report_of_many FOLDER [--samples 1000000]
           [--classes 10] [--epochs 10]
  FOLDER  gets the run and report.html; a run that is there is used again
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from tdctl.labels import Labels
from tdctl.recorder import RunRecorder

__all__ = ["main", "make_run", "measured"]

BATCH = 50_000


def make_run(folder: Path, n: int, classes: int, epochs: int) -> None:
    """Records n samples with the store ``given``."""
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    true = rng.integers(0, classes, n)
    flipped = rng.random(n) < 0.15
    given = np.where(flipped, (true + 1 + rng.integers(0, classes - 1, n)) % classes, true)
    # The harder a sample, the later the network learns it.
    ease = (1.2 / rng.gamma(2.0, 0.5, n).clip(0.2)).astype(np.float32)
    labels = Labels(np.arange(n), given, true)
    recorder = RunRecorder.create(folder, labels, classes, epochs, store="given")
    for epoch in range(epochs):
        late = max(0.0, epoch - 0.6 * epochs)
        for start in range(0, n, BATCH):
            rows = slice(start, min(n, start + BATCH))
            index = torch.arange(rows.start, rows.stop)
            logits = torch.randn(len(index), classes, generator=generator)
            learned = torch.from_numpy((ease[rows] * (epoch + 1)).clip(0, 12))
            logits.scatter_add_(1, torch.from_numpy(true[rows])[:, None], learned[:, None])
            memorised = torch.from_numpy(flipped[rows].astype(np.float32) * late)
            logits.scatter_add_(1, torch.from_numpy(given[rows])[:, None], memorised[:, None])
            recorder.record(index, logits)
        recorder.commit(epoch)
    recorder.finish()


def measured(run: Path, out: Path) -> dict[str, float]:
    """Seconds, CPU seconds, peak memory and page size of the report, in a process of its own."""
    command = [sys.executable, "-m", "tdctl", "report", "--td", str(run), "--out", str(out)]
    began = time.perf_counter()
    process = subprocess.Popen([*command, "--overwrite", "--quiet"], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"report_of_many: error: {' '.join(command)} failed")
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mb": round(usage.ru_maxrss / 1024, 0),
        "page_mb": round(out.stat().st_size / 1e6, 2),
    }


def main() -> None:
    """Makes the run where it is missing, and prints one line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=10)
    asked = parser.parse_args()
    run = asked.folder / f"run_{asked.samples}_{asked.classes}_{asked.epochs}"
    if not (run / "training_dynamics.npz").exists():
        make_run(run, asked.samples, asked.classes, asked.epochs)
    print(json.dumps(measured(run, asked.folder / "report.html")))


if __name__ == "__main__":
    main()
