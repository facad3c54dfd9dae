"""The images that are trained on: a folder of yours, or one made from a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scripts.experiments.speed.measure import BenchError, say

CLASSES = 10


def make_folder(root: Path, train: int, test: int, side: int = 32, seed: int = 0) -> Path:
    """Writes a learnable image folder: ``train/<class>/*.png`` and ``test/<class>/*.png``.

    A class is three smooth coloured patterns. An image is one of them, shifted and faded, over
    a pattern of another class, with noise on every pixel: no single pixel gives it away.
    """
    say(f"making {train} + {test} images of {side}x{side} in {root}")
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 1, (CLASSES, 3, 6, 6, 3))
    patterns = np.stack([[_smooth(one, side) for one in kind] for kind in coarse])
    for split, count in (("train", train), ("test", test)):
        for label in range(CLASSES):
            (root / split / str(label)).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            label = number % CLASSES
            pixels = _draw(rng, patterns, label, side)
            Image.fromarray(pixels).save(root / split / str(label) / f"{number:06}.png")
    return root


def _smooth(coarse: NDArray[Any], side: int) -> NDArray[Any]:
    planes = [
        Image.fromarray(coarse[:, :, c].astype(np.float32)).resize((side, side), 3)
        for c in range(3)
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=2)


def _draw(
    rng: np.random.Generator, patterns: NDArray[Any], label: int, side: int
) -> NDArray[np.uint8]:
    other = (label + rng.integers(1, CLASSES)) % CLASSES
    share = rng.uniform(0.5, 0.9)
    mixed = np.zeros((side, side, 3))
    for which, weight in ((label, share), (other, 1 - share)):
        pattern = patterns[which, rng.integers(patterns.shape[1])]
        shift = rng.integers(-(side // 6), side // 6 + 1, 2)
        mixed += weight * np.roll(pattern, shift, axis=(0, 1))
    values = 128 + 35 * mixed + rng.normal(0, 45, mixed.shape)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def read_folder(
    root: Path, split: str, limit: int | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Pixels uint8 [n, H, W, 3], index and targets int64 [n] of one split.

    Index and limit are those of tdctl's ``folder``: classes and files sorted by name, and the
    first N by file name whatever their class.

    Raises:
        BenchError: there is no such split, or its images differ in size.
    """
    top = root / split
    if not top.is_dir():
        raise BenchError(f"{top}: no such folder; expected DIR/train/<class> and DIR/test/<class>")
    names = sorted(folder.name for folder in (root / "train").iterdir() if folder.is_dir())
    found = [
        (file, label)
        for label, name in enumerate(names)
        for file in sorted((top / name).glob("[!.]*"))
    ]
    rows = list(range(len(found)))
    if limit is not None:
        rows = sorted(sorted(rows, key=lambda row: (found[row][0].name, row))[:limit])
    pixels = [np.asarray(Image.open(found[row][0]).convert("RGB")) for row in rows]
    if len({image.shape for image in pixels}) != 1:
        raise BenchError(f"{top}: no images, or images of different sizes; give them one size")
    targets = np.asarray([found[row][1] for row in rows], dtype=np.int64)
    return np.stack(pixels), np.asarray(rows, dtype=np.int64), targets
