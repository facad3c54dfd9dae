"""Pictures a second from photographs to pixels: tdctl, Pillow alone, and DataLoader workers.

    python -m scripts.experiments.speed.decoding WORK [--count 2000] [--sample 120] [--rounds 3]

It makes photographs of 12 megapixels below WORK; 2,000 of them need some 3 GB. It measures all ways
in turns, each in a process of its own. It prints medians, ratios, and the most memory that each
process and its children needed. The plain ways decode a sample: at full size they take
minutes. Where the machine is shared, only the ratios count.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
from PIL import Image, ImageDraw, ImageOps

WIDTH, HEIGHT = 4000, 3000
CLASSES, BASES = 10, 12
# How a photograph lies: the ways that EXIF knows, the most usual one first.
TURNS = (1, 1, 1, 6, 8, 3)
WAYS = ("Pillow, a plain loop", "Pillow, DataLoader workers", "tdctl, full", "tdctl")


def main(arguments: list[str] | None = None) -> None:
    """Makes the photographs that are missing, measures and prints."""
    options = _parser().parse_args(arguments)
    if options.way is not None:
        print(json.dumps(_measured(options)))
        return
    make_photographs(options.work / "photographs", options.count)
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(options.rounds):
        for way, seen in found.items():
            seen.append(_in_a_process(way, options))
            print(f"{way}: {seen[-1]}", file=sys.stderr)
    first = found[WAYS[0]]
    print("| way | pictures | a second | times the plain loop | CPU ms each | memory, MB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for way, seen in found.items():
        speed, cpu, memory = (
            median(one[name] for one in seen) for name in ("speed", "cpu", "memory")
        )
        times = median(one["speed"] / base["speed"] for one, base in zip(seen, first, strict=True))
        figures = f"{speed:.1f} | {times:.1f} | {cpu:.0f} | {memory:.0f}"
        print(f"| {way} | {seen[0]['count']:,.0f} | {figures} |")


def make_photographs(root: Path, count: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    """Writes ``<class>/<number>.jpg``: shapes under grain, of different quality and orientation.

    Photographs that are there already stay.
    """
    bases: list[Image.Image] = []
    for number in range(count):
        path = root / str(number % CLASSES) / f"{number:05}.jpg"
        if path.exists():
            continue
        if not bases:
            bases = [_base(seed, size) for seed in range(BASES)]
        rng = np.random.default_rng(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = bases[number % BASES].copy()
        drawn = ImageDraw.Draw(picture)
        for _ in range(6):
            x, y = rng.integers(0, size[0]), rng.integers(0, size[1])
            r = int(rng.integers(50, 600))
            colour = tuple(int(value) for value in rng.integers(0, 256, 3))
            drawn.ellipse((x - r, y - r, x + r, y + r), outline=colour, width=r // 4)
        exif = Image.Exif()
        exif[0x0112] = TURNS[number % len(TURNS)]
        quality = int(rng.integers(60, 90))
        picture.save(path, quality=quality, exif=exif, progressive=number % 10 == 0)
    return root


def _base(seed: int, size: tuple[int, int]) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3)).astype(np.uint8))
    smooth = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC)).astype(np.int16)
    grain = rng.normal(0, 5, smooth.shape[:2]).astype(np.int16)[..., None]
    return Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8))


def _measured(options: argparse.Namespace) -> dict[str, float]:
    """One way in this process: pictures a second, without the imports."""
    paths = sorted((options.work / "photographs").glob("*/*.jpg"))
    sample = paths[:: max(1, len(paths) // options.sample)][: options.sample]
    way = {
        WAYS[0]: lambda: _plainly(sample, options.side),
        WAYS[1]: lambda: _by_workers(sample, options.side, options.workers),
        WAYS[2]: lambda: _by_tdctl(options.work / "photographs", options.side, "full", len(sample)),
        WAYS[3]: lambda: _by_tdctl(options.work / "photographs", options.side, "reduced", None),
    }[options.way]
    return way()


def _plain(path: Path, side: int) -> np.ndarray[Any, Any]:
    with Image.open(path) as file:
        upright = ImageOps.exif_transpose(file).convert("RGB")
        return np.array(ImageOps.fit(upright, (side, side), Image.Resampling.BILINEAR))


def _plainly(paths: list[Path], side: int) -> dict[str, float]:
    start = _Start()
    for path in paths:
        _plain(path, side)
    return start.speed(len(paths))


class _Pictures:
    def __init__(self, paths: list[Path], side: int) -> None:
        self.paths, self.side = paths, side

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> np.ndarray[Any, Any]:
        return _plain(self.paths[row], self.side)


def _by_workers(paths: list[Path], side: int, workers: int) -> dict[str, float]:
    from torch.utils.data import DataLoader

    start = _Start()
    pictures: Any = _Pictures(paths, side)
    for _ in DataLoader(pictures, batch_size=16, num_workers=workers):
        pass
    return start.speed(len(paths))


def _by_tdctl(root: Path, side: int, decode: str, count: int | None) -> dict[str, float]:
    """What a training waits for: listing, survey, decoding, and the check for odd images."""
    from tdctl.config import DataConfig
    from tdctl.data import open_dataset

    settings: Any = {"dataset": "folder", "data_dir": root, "image_size": side, "decode": decode}
    start = _Start()
    data = open_dataset(DataConfig(images="memory", limit=count, **settings))
    return start.speed(len(data.train))


class _Start:
    """The time when a way began, and the processor time of this process and its children."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), sum(os.times()[:4])

    def speed(self, count: int) -> dict[str, float]:
        wall, cpu = time.perf_counter() - self.wall, sum(os.times()[:4]) - self.cpu
        return {"count": count, "speed": count / wall, "cpu": 1000 * cpu / count}


def _in_a_process(way: str, options: argparse.Namespace) -> dict[str, float]:
    """Runs one way in a process, and adds the memory that it and its children need at most."""
    command = [sys.executable, "-m", "scripts.experiments.speed.decoding", str(options.work)]
    for name in ("side", "sample", "workers"):
        command += [f"--{name}", str(getattr(options, name))]
    run = subprocess.Popen([*command, "--way", way], stdout=subprocess.PIPE, text=True)
    most = [0]
    watching = threading.Thread(target=_watch, args=(run.pid, most), daemon=True)
    watching.start()
    out, _ = run.communicate()
    if run.returncode:
        raise SystemExit(f"{way}: failed")
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    return found | {"memory": most[0] / 1e6}


def _watch(pid: int, most: list[int]) -> None:
    """Keeps the largest sum of unshared memory of a process and its children, in bytes."""
    while True:
        total = 0
        try:
            whole = psutil.Process(pid)
            for process in (whole, *whole.children(recursive=True)):
                total += process.memory_full_info().uss
        except psutil.Error:
            if not psutil.pid_exists(pid):
                return
        most[0] = max(most[0], total)
        time.sleep(0.1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", type=Path, help="folder of the photographs")
    parser.add_argument("--count", type=int, default=2000, help="photographs to make")
    parser.add_argument("--sample", type=int, default=120, help="of them for the slow ways")
    parser.add_argument("--side", type=int, default=64, help="pixels a side")
    parser.add_argument("--workers", type=int, default=2, help="of the DataLoader")
    parser.add_argument("--rounds", type=int, default=3, help="turns through all ways")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
