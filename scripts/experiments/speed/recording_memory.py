"""Memory of tdctl.Recorder over the epochs: prints megabytes after each of them.

python -m scripts.experiments.speed.recording_memory --samples 1000000 --epochs 10
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import torch

from tdctl import Recorder

BATCH = 1000


def measure(folder: Path, samples: int, epochs: int, classes: int, store: str) -> list[float]:
    """Megabytes after each epoch without mapped files, and the peak of the whole process."""
    stream = torch.Generator().manual_seed(0)
    targets = torch.randint(0, classes, (samples,), generator=stream)
    found = []
    with Recorder(folder, store=store) as recorder:
        for epoch in range(epochs):
            start = time.perf_counter()
            for rows in torch.randperm(samples, generator=stream).split(BATCH):
                logits = torch.randn(len(rows), classes, generator=stream)
                recorder.record(rows, logits, targets[rows])
            recorder.end_epoch()
            found.append(_megabytes())
            print(f"epoch {epoch}: {found[-1]:.0f} MB, {time.perf_counter() - start:.0f} s")
        start = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    seconds = time.perf_counter() - start
    print(f"finished: {_megabytes():.0f} MB, {seconds:.0f} s, peak {peak:.0f} MB")
    return [*found, peak]


def _megabytes() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("RssAnon"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--store", default="full")
    made = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder) / "r", made.samples, made.epochs, made.classes, made.store)


if __name__ == "__main__":
    main()
