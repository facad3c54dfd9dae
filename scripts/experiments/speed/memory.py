"""Section 3: memory of generate-td over epochs; memory and time of detect over curves."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scripts.experiments.speed.curves import given_curves, make_detector, make_run
from scripts.experiments.speed.images import make_folder
from scripts.experiments.speed.measure import BenchError, Section, say, tdctl, watch
from scripts.experiments.speed.settings import Settings
from tdctl.detector import load_detector, suspicion
from tdctl.detector.scoring import curves_at_once
from tdctl.runner import detect
from tdctl.training import pick_device

MB = 1e6


def measure(settings: Settings) -> Section:
    """All three parts, each run in its own process but for the scoring.

    Raises:
        BenchError: the system does not tell a process's memory.
    """
    if not Path("/proc/self/status").exists():
        raise BenchError("needs /proc/PID/status, which Linux has; measure on Linux")
    section = Section()
    section.details["recording"] = _recording(settings, section)
    detector = make_detector(settings.work / "random.pth.tar")
    section.details["detect"] = _detecting(settings, section, detector)
    section.details["scoring"] = _scoring(settings, section, detector)
    return section


def _recording(settings: Settings, section: Section) -> list[dict[str, Any]]:
    """Peak memory of generate-td at some numbers of epochs, on images of 8x8 with ResNet-8."""
    made = settings.options
    images = make_folder(settings.work / "small_images", made.memory_images, 100, side=8)
    found = []
    for epochs in sorted(made.memory_epochs):
        flags = settings.training(0, epochs, images=images)
        # The later flag wins.
        flags += ["--depth", "8", "--set", f"train.eval_every={epochs}", "--overwrite"]
        seen = watch(tdctl("generate-td", "--out", settings.work / "memory", *flags))
        found.append(
            {
                "epochs": epochs,
                "peak_anonymous": seen.peak_anonymous,
                "peak_rss": seen.peak_rss,
                "seconds": seen.seconds,
            }
        )
        name = f"generate-td, {epochs} epochs: peak memory without files"
        section.add(name, [seen.peak_anonymous / MB], "MB", "flat")
        section.add(f"generate-td, {epochs} epochs: peak memory", [seen.peak_rss / MB], "MB")
    key, few, many = "peak_anonymous", found[0], found[-1]
    name = f"peak memory, {many['epochs']} / {few['epochs']} epochs"
    section.add_ratio(name, [many[key]], [few[key]], "flat: 1")
    return found


def _detecting(settings: Settings, section: Section, detector: Path) -> list[dict[str, Any]]:
    """Peak memory and time of detect: three times of each size but the largest, in turns."""
    made = settings.options
    sizes = sorted(made.curves)
    runs = {n: make_run(settings.work / f"curves_{n}", n, made.curve_epochs, seed=n) for n in sizes}
    found: dict[int, list[Any]] = {n: [] for n in sizes}
    for turn in range(made.pairs):
        for n in sizes:
            if turn == 0 or n < 500_000:
                out = settings.work / f"ranking_{n}.csv"
                arguments = ["--td", runs[n], "--detector", detector, "--out", out, "--overwrite"]
                found[n].append(watch(tdctl("detect", *arguments)))
    for n, seen in found.items():
        section.add(f"detect, {n:,} curves: process", [one.seconds for one in seen], "s", "linear")
        memory = [one.peak_anonymous / MB for one in seen]
        section.add(f"detect, {n:,} curves: peak memory without files", memory, "MB", "flat")
        section.add(f"detect, {n:,} curves: peak memory", [o.peak_rss / MB for o in seen], "MB")
    if len(sizes) > 1:
        peaks = [max(one.peak_anonymous for one in found[n]) for n in sizes]
        more = (peaks[-1] - peaks[0]) / (sizes[-1] - sizes[0])
        section.add("detect: memory of one more curve", [more], "B", "flat")
    medians = [float(np.median([one.seconds for one in found[n]])) for n in sizes]
    # Seconds for one more curve: the start of the process falls out of it.
    slopes = [
        (after - before) / (n - m)
        for m, n, before, after in zip(sizes, sizes[1:], medians, medians[1:], strict=False)
    ]
    for n, slope in zip(sizes[1:], slopes, strict=True):
        section.add(f"detect: time of one more curve, up to {n:,}", [slope * 1e6], "us")
    if len(slopes) > 1 and min(slopes) > 0:
        section.add_ratio("detect: the last over the one before", slopes[-1:], slopes[-2:-1], "1")
    return [
        {
            "curves": n,
            "bytes": (runs[n] / "training_dynamics.npz").stat().st_size,
            "seconds": [one.seconds for one in seen],
            "peak_anonymous": [one.peak_anonymous for one in seen],
            "peak_rss": [one.peak_rss for one in seen],
        }
        for n, seen in found.items()
    ]


def _scoring(settings: Settings, section: Section, detector: Path) -> dict[str, Any]:
    """Scoring, and detect as a whole, over the bare LSTM on the same batches, in turns."""
    made, device = settings.options, pick_device("auto")
    n, epochs = made.curves_ratio, made.curve_epochs
    run = make_run(settings.work / "curves_ratio", n, epochs)
    curves = given_curves(np.arange(n) % 5 == 0, epochs, 0)
    net = load_detector(detector, device).net.eval()
    size = curves_at_once(device)
    batches = [
        torch.from_numpy(curves[start : start + size])[:, :, None].to(device)
        for start in range(0, n, size)
    ]

    @torch.no_grad()
    def bare() -> None:
        for batch in batches:
            net(batch)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    def whole() -> None:
        detect(run, detector, out=settings.work / "ratio.csv", overwrite=True)

    parts = {"bare": bare, "scoring": lambda: suspicion(net, curves), "detect": whole}
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    # The first turn warms up and does not count.
    for turn in range(made.pairs + 1):
        for name, part in parts.items():
            start = time.perf_counter()
            part()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    say(f"seconds of {n} curves: " + ", ".join(f"{k} {v[-1]:.2f}" for k, v in seconds.items()))
    for name in ("scoring", "detect"):
        what = f"{name} / bare LSTM, {n:,} curves"
        section.add_ratio(what, seconds[name], seconds["bare"], "<= 1.15")
    return {"curves": n, "batch": size, "seconds": seconds}
