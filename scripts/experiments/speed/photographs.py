"""Section 7: ResNet-18 on large photographs, from the decode cache and from the files."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from scripts.experiments.speed.measure import Section, say, tdctl, watch
from scripts.experiments.speed.settings import Settings

CLASSES = 10


def measure(settings: Settings) -> Section:
    """Epochs of ``generate-td``, images held in the cache and streamed in turns."""
    made = settings.options
    root = make_photographs(
        settings.work / "photographs", made.photographs, made.photograph_width, made.photograph_side
    )
    flags = ["--dataset", "folder", "--data-dir", root, "--image-size", made.photograph_side]
    flags += ["--test-share", "0", "--cache-dir", settings.work / "photograph_cache"]
    flags += ["--recipe", "paper", "--net-type", "resnet18", "--batch-size", "32"]
    flags += ["--no-compile", "--quiet"]
    flags += ["--epochs", made.photograph_epochs, "--workers", made.workers]
    seconds: dict[str, list[float]] = {"cache": [], "stream": []}
    # The first turn fills the cache and does not count.
    for turn in range(made.pairs + 1):
        for way, found in seconds.items():
            run = settings.fresh(f"photographs_{way}")
            seen = watch(
                tdctl("generate-td", *flags, "--images", way, "--out", run),
                commits=run / "checkpoint.pth",
            )
            if turn:
                found.append(median(seen.epochs))
    section, what = Section(), f"{made.photographs} photographs of {made.photograph_width} px"
    for way, found in seconds.items():
        section.add(f"an epoch of ResNet-18, {what}, {way}", found, "s")
    section.add_ratio(
        f"from the files / from the cache, {what}", seconds["stream"], seconds["cache"], "> 1"
    )
    section.details["seconds"] = seconds
    return section


def make_photographs(root: Path, count: int, width: int, side: int, seed: int = 0) -> Path:
    """Writes ``<class>/<number>.jpg`` of width x 3/4 width, smooth shapes under fine grain."""
    say(f"making {count} photographs of {width}x{width * 3 // 4} in {root}")
    rng = np.random.default_rng(seed)
    size = (width, max(side, width * 3 // 4))
    for number in range(count):
        folder = root / str(number % CLASSES)
        folder.mkdir(parents=True, exist_ok=True)
        coarse = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))
        grain = rng.normal(0, 12, smooth.shape)
        pixels = np.clip(smooth + grain, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:05}.jpg", quality=90)
    return root
