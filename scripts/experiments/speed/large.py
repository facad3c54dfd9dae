"""Section 6: a folder of very many small images and classes: its index, its memory, an epoch."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from scripts.experiments.speed.measure import BenchError, Section, Watched, say, tdctl, watch
from scripts.experiments.speed.settings import Settings

MB = 1e6
OPEN = """import sys
from tdctl.config import DataConfig
from tdctl.data import open_dataset
folder, cache = sys.argv[1:]
config = DataConfig(
    dataset="folder", data_dir=folder, test_share=0.01, images="cache", cache_dir=cache
)
print(len(open_dataset(config).train))
"""


def measure(settings: Settings) -> Section:
    """The first start decodes into the cache, the next ones read it; then one epoch is recorded.

    Raises:
        BenchError: there are fewer images than classes.
    """
    made = settings.options
    if made.large_images < made.large_classes:
        raise BenchError("fewer images than classes; give a larger --large-images")
    root = make_many(settings.work / "large", made.large_images, made.large_classes)
    flags = ["--dataset", "folder", "--data-dir", root, "--test-share", "0.01"]
    flags += ["--images", "cache", "--cache-dir", settings.work / "large_cache"]
    flags += ["--recipe", "paper", "--depth", "8", "--epochs", "1"]
    flags += ["--store", "given", "--no-compile"]
    section, what = Section(), f"{made.large_images:,} images, {made.large_classes:,} classes"

    def seen(name: str, found: Watched, target: str = "") -> None:
        section.add(f"{name}: process", [found.seconds], "s", target)
        section.add(f"{name}: peak memory", [found.peak_rss / MB], "MB", "< 2000")

    loads = watch([sys.executable, "-c", "import tdctl.data"])
    section.add("loading torch and tdctl.data: process", [loads.seconds], "s")
    opens = [sys.executable, "-c", OPEN, root, settings.work / "large_cache"]
    seen(f"opened for the first time, {what}", watch(opens))
    starts = [watch(opens) for _ in range(made.pairs)]
    for one in starts:
        seen(f"opened again, {what}", one, "seconds")
    index = [one.seconds - loads.seconds for one in starts]
    section.add(f"opened again, less the loading of torch, {what}", index, "s", "seconds")
    recorded = tdctl("generate-td", *flags, "--out", settings.work / "large_run", "--quiet")
    seen(f"one recorded epoch, {what}", watch(recorded))
    return section


def make_many(root: Path, images: int, classes: int, side: int = 32, seed: int = 0) -> Path:
    """Writes ``<class>/<number>.jpg``: a class is a coarse coloured pattern under noise."""
    say(f"making {images:,} images of {classes:,} classes in {root}")
    rng = np.random.default_rng(seed)
    for label in range(classes):
        folder = root / f"class{label:06}"
        folder.mkdir(parents=True)
        pattern = rng.integers(40, 216, (4, 4, 3)).repeat(side // 4, 0).repeat(side // 4, 1)
        for number in range(label, images, classes):
            pixels = pattern + rng.integers(-40, 40, pattern.shape)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:07}.jpg", quality=85)
    return root
