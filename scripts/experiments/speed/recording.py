"""Section 4: tdctl.Recorder against aum.AUMCalculator on the same logits, where its time goes, and
what it adds to a step of ResNet-32."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scripts.experiments.speed.measure import BenchError, Section
from scripts.experiments.speed.settings import Settings
from tdctl import Recorder
from tdctl.nets import CifarResNet
from tdctl.recorder import loop_epoch

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
        if device == "cpu":
            shares = parts(settings.fresh("recording"), classes, made.record_batches)
            for what, share in shares.items():
                section.add(f"{name}: tdctl's time for {what}", [share], "us")
    steps = step_overhead(settings.fresh("recording"), max(1, made.pairs), made.steps, made.depth)
    name = f"a step of ResNet-{made.depth} on cpu"
    section.add(f"{name}: recording, of the step's time", steps["share"], "%", "<= 2")
    section.add(f"{name}: the step", [1e3 * s for s in steps["step"]], "ms")
    section.add(f"{name}: recording and its disk", [1e6 * s for s in steps["record"]], "us")
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
    recorder = Recorder(folder)
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
            recorder.record(index, logits, targets)
            middle = _now(device)
            calculator.update(logits, targets, ids)
            seconds["tdctl"].append(middle - start)
            seconds["aum"].append(_now(device) - middle)
        start = _now(device)
        recorder._settle()  # the recorder works on many batches at once
        settled = _now(device)
        recorder.end_epoch()
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


# What is measured alone, by the function that does it.
PARTS = {
    "softmax, margin and loss": ("LoopEpoch", "_measured"),
    "checks of targets": ("LoopEpoch", "_check_targets"),
    "checks of logits": ("LoopEpoch", "_check_logits"),
    "checks of values": ("LoopEpoch", "_check_values"),
    "comparing labels with earlier epochs": ("LoopEpoch", "_check_labels"),
    "finding repeated samples": ("LoopEpoch", "_first"),
    "putting values side by side": ("LoopEpoch", "_stats_of"),
    "putting probabilities side by side": ("LoopEpoch", "_probs_of"),
    "writing the rows": (None, "_put"),
}


def parts(folder: Path, classes: int, batches: int) -> dict[str, float]:
    """Microseconds of a batch for each part of the work, in the second of two epochs."""
    spent = dict.fromkeys(PARTS, 0.0)
    n, stream = BATCH * batches, torch.Generator().manual_seed(0)
    targets, recorder = torch.randint(0, classes, (n,), generator=stream), Recorder(folder)
    with ExitStack() as undo:
        for what, (of, name) in PARTS.items():
            place: Any = loop_epoch if of is None else getattr(loop_epoch, of)
            undo.callback(setattr, place, name, getattr(place, name))
            setattr(place, name, _timed(getattr(place, name), what, spent))
        for _ in range(2):
            spent.update(dict.fromkeys(PARTS, 0.0))
            logits_NK, order = torch.randn(n, classes), torch.randperm(n, generator=stream)
            made = [(rows, logits_NK[rows], targets[rows]) for rows in order.split(BATCH)]
            start = time.perf_counter()
            for batch in made:
                recorder.record(*batch)
            recorder._settle()
            total = time.perf_counter() - start
            recorder.end_epoch()
    spent["copies and calls"] = total - sum(spent.values())
    return {what: 1e6 * seconds / batches for what, seconds in spent.items()}


def _timed(function: Callable[..., Any], what: str, spent: dict[str, float]) -> Callable[..., Any]:
    def run(*arguments: Any) -> Any:
        start = time.perf_counter()
        found = function(*arguments)
        spent[what] += time.perf_counter() - start
        return found

    return run


def step_overhead(folder: Path, epochs: int, steps: int, depth: int) -> dict[str, list[float]]:
    """Seconds of a step and of its recording, the epoch's end included, in each of some epochs."""
    net, stream = CifarResNet(depth, 10), torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    images = torch.randn(steps * BATCH, 3, 32, 32, generator=stream)
    targets = torch.randint(0, 10, (len(images),), generator=stream)
    recorder = Recorder(folder)
    found: dict[str, list[float]] = {"step": [], "record": [], "share": []}
    for epoch in range(1 + epochs):
        spent = {"step": 0.0, "record": 0.0}
        for rows in torch.randperm(len(images), generator=stream).split(BATCH):
            batch, labels = images[rows], targets[rows]
            start = time.perf_counter()
            logits = net(batch)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(logits, labels).backward()
            optimizer.step()
            middle = time.perf_counter()
            recorder.record(rows, logits, labels)
            spent["record"] += time.perf_counter() - middle
            spent["step"] += middle - start
        start = time.perf_counter()
        recorder.end_epoch()
        spent["record"] += time.perf_counter() - start
        if epoch:  # the first epoch warms up
            for name, seconds in spent.items():
                found[name].append(seconds / steps)
            found["share"].append(100 * spent["record"] / spent["step"])
    return found


def _now(device: str) -> float:
    """Seconds, once the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
