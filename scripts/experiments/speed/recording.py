"""Section 4: the recorder against aum.AUMCalculator on the same logits."""

from __future__ import annotations

import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scripts.experiments.speed.measure import BenchError, Section
from scripts.experiments.speed.settings import Settings
from tdctl.labels import Labels
from tdctl.recorder import Recorder

BATCH = 128


def measure(settings: Settings) -> Section:
    """Both record the same batches in turns: a batch here, the same batch there."""
    section = Section()
    made, devices = settings.options, ["cpu"] + ["cuda"] * torch.cuda.is_available()
    for classes, device in product((10, 100), devices):
        folder = settings.fresh("recording")
        epochs = 1 + max(1, made.pairs)
        found = alternate(folder, classes, made.record_batches, epochs, device)
        name = f"{BATCH} x {classes} logits on {device}"
        section.add_ratio(f"{name}: aum / tdctl", found["aum_epoch"], found["tdctl_work"], ">= 100")
        section.add_ratio(
            f"{name}: aum / tdctl and its disk", found["aum_epoch"], found["tdctl_epoch"]
        )
        section.add(f"{name}: aum", [1e6 * s for s in found["aum"]], "us")
        section.add(f"{name}: tdctl", [1e6 * s for s in found["tdctl"]], "us")
        section.add(f"{name}: AUM, largest difference", [found["difference"]], "logits", "same")
        section.details[f"{device}_{classes}_classes"] = {
            key: found[key]
            for key in ("aum_epoch", "tdctl_work", "tdctl_epoch", "difference", "largest_aum")
        }
    return section


def alternate(
    folder: Path, classes: int, batches: int, epochs: int, device: str = "cpu"
) -> dict[str, Any]:
    """Seconds of each batch and epoch in both, but those of the first epoch, and how far the
    two AUMs of a sample differ at most. An epoch's sum counts what a batch leaves for later."""
    try:
        from aum import AUMCalculator
    except ImportError:
        raise BenchError("needs the package aum; pip install 'tdctl[bench]'") from None
    rng = np.random.default_rng(0)
    n = BATCH * batches
    given = rng.integers(0, classes, n)
    labels = Labels(np.arange(n), given, given)
    recorder = Recorder.create(folder, labels, classes, epochs, device)
    calculator = AUMCalculator(str(folder), compressed=True)
    stream = torch.Generator().manual_seed(0)
    found: dict[str, Any] = {"aum": [], "tdctl": []}
    found |= {"aum_epoch": [], "tdctl_work": [], "tdctl_epoch": []}
    for epoch in range(epochs):
        logits_NK = 3 * torch.randn(n, classes, generator=stream)
        order = torch.randperm(n, generator=stream)
        seconds: dict[str, list[float]] = {"aum": [], "tdctl": []}
        for rows in order.split(BATCH):
            logits, index = logits_NK[rows].to(device), rows.to(device)
            targets, ids = torch.from_numpy(given)[rows].to(device), rows.tolist()
            start = _now(device)
            recorder.record(index, logits)
            middle = _now(device)
            calculator.update(logits, targets, ids)
            seconds["tdctl"].append(middle - start)
            seconds["aum"].append(_now(device) - middle)
        start = _now(device)
        recorder.rows.settle()  # the recorder works on many batches at once
        settled = _now(device)
        recorder.commit(epoch)
        commit = _now(device) - settled
        if epoch:
            found["aum"] += seconds["aum"]
            found["tdctl"] += seconds["tdctl"]
            found["aum_epoch"].append(sum(seconds["aum"]))
            found["tdctl_work"].append(sum(seconds["tdctl"]) + settled - start)
            found["tdctl_epoch"].append(found["tdctl_work"][-1] + commit)
    recorder.finish()
    theirs = np.asarray([calculator.sums[row] / calculator.counts[row] for row in range(n)])
    with np.load(folder / "training_dynamics.npz", allow_pickle=False) as file:
        ours = file["margin"].mean(axis=1, dtype=np.float64)
    found["difference"] = float(np.abs(ours - theirs).max())
    found["largest_aum"] = float(np.abs(theirs).max())
    return found


def _now(device: str) -> float:
    """Seconds, once the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
