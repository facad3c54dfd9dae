"""Section 1: generate-td against the plain pipeline, in time and in quality."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import torch

from scripts.experiments.speed.measure import Section, Spread, say, tdctl, watch
from scripts.experiments.speed.quality import check_same_labels, plain_quality, tdctl_quality
from scripts.experiments.speed.settings import Settings
from tdctl.config import TrainConfig
from tdctl.run import CHECKPOINT_FILE
from tdctl.training import pick_precision


def measure(settings: Settings) -> Section:
    """Pairs of runs, plain then tdctl, each in its own process.

    The short runs are timed alone; the longer ones are timed and judged. A run's time per
    epoch is the median over its epochs but the first; each epoch holds the training, the
    capture, the test pass and, for tdctl, the commit to the disk.
    """
    made = settings.options
    runs = [(0, made.epochs_timed + 1, False)] * made.pairs
    runs += [(seed, made.epochs_quality, True) for seed in range(made.seeds)]
    pairs: list[dict[str, Any]] = []
    for seed, epochs, judged in runs:
        plain = _plain(settings, seed, epochs)
        ours = _tdctl(settings, seed, epochs)
        check_same_labels(plain["folder"], ours["folder"])
        if judged:
            plain["quality"] = plain_quality(plain["folder"])
            ours["quality"] = tdctl_quality(ours["folder"])
        say(f"seconds an epoch: plain {plain['epoch']:.2f}, tdctl {ours['epoch']:.2f}")
        pair = {"seed": seed, "epochs": epochs, "plain": plain, "tdctl": ours}
        pairs.append(pair)
    return _report(settings, pairs)


def _plain(settings: Settings, seed: int, epochs: int) -> dict[str, Any]:
    made, out = settings.options, settings.fresh("plain")
    command = [sys.executable, "-m", "scripts.experiments.speed.plain", "--data", settings.images()]
    command += ["--out", out, "--epochs", epochs, "--seed", seed, "--depth", made.depth]
    command += ["--noise-ratio", made.noise_ratio, "--workers", made.workers]
    if settings.limit is not None:
        command += ["--limit", settings.limit]
    seen = watch([str(word) for word in command])
    seconds = json.loads((out / "times.json").read_text())["seconds"]
    return _times(out, seconds[1:], seen.seconds)


def _tdctl(settings: Settings, seed: int, epochs: int) -> dict[str, Any]:
    out = settings.fresh("tdctl")
    flags = settings.training(seed, epochs) + shlex.split(settings.options.tdctl_flags)
    command = tdctl("generate-td", "--out", out, *flags)
    seen = watch(command, commits=out / CHECKPOINT_FILE)
    return _times(out, seen.epochs, seen.seconds)


def _times(folder: Path, epochs: list[float], total: float) -> dict[str, Any]:
    """Seconds of a run: an epoch's (the median), all of them, and the process's."""
    return {
        "folder": folder,
        "epoch": Spread.of(epochs).median,
        "epochs": epochs,
        "process": total,
    }


def _report(settings: Settings, pairs: list[dict[str, Any]]) -> Section:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    target = ">= 5" if pick_precision(TrainConfig(), device) != "float32" else ">= 2"
    if device.type == "cuda":
        target = ">= 20"
    section = Section()
    of = {side: [pair[side]["epoch"] for pair in pairs] for side in ("plain", "tdctl")}
    section.add_ratio("epoch: plain / tdctl", of["plain"], of["tdctl"], target)
    section.add("epoch, plain", of["plain"], "s")
    section.add("epoch, tdctl", of["tdctl"], "s")
    judged = [pair for pair in pairs if "quality" in pair["plain"]]
    if judged:
        plain, ours = ([pair[side]["process"] for pair in judged] for side in ("plain", "tdctl"))
        epochs = settings.options.epochs_quality
        section.add_ratio(f"whole process, {epochs} epochs: plain / tdctl", plain, ours)
    for side, score in (
        ("plain", "aum_softmax"),
        ("tdctl", "aum_softmax"),
        ("tdctl", "aum_logits"),
    ):
        found = [pair[side]["quality"].get(score) for pair in judged]
        for metric in ("auc", "ap"):
            values = [100 * one[metric] for one in found if one is not None]
            if values:
                section.add(f"{metric.upper()} of {score}, {side}", values, "%", "equal")
    for side in ("plain", "tdctl"):
        errors = [100 * pair[side]["quality"]["test_error"] for pair in judged]
        if errors:
            section.add(f"test error, last epoch, {side}", errors, "%", "equal")
    for pair in pairs:
        for side in ("plain", "tdctl"):
            del pair[side]["folder"]
    section.details = {"images": settings.describe_images(), "pairs": pairs}
    return section
