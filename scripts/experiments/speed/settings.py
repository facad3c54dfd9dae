"""What all sections share: sizes, repetitions, and the folders they work in."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from scripts.experiments.speed.images import make_folder

# What --quick makes of the sizes: enough to see that everything runs, for no figure.
QUICK = {
    "train_images": 256,
    "test_images": 64,
    "depth": 8,
    "epochs_timed": 2,
    "epochs_quality": 2,
    "epochs_bare": 4,
    "epochs_two": 2,
    "seeds": 1,
    "pairs": 1,
    "memory_images": 200,
    "memory_epochs": [2, 8],
    "curves": [500, 2000],
    "curves_ratio": 2000,
    "record_batches": 4,
    "steps": 2,
    "large_images": 200,
    "large_classes": 50,
    "photographs": 64,
    "photograph_width": 80,
    "photograph_side": 40,
    "busy_nets": ["small"],
    "busy_seconds": 0.2,
}


@dataclass(frozen=True)
class Settings:
    """The options of a call, and its work folder."""

    options: argparse.Namespace
    work: Path

    def images(self) -> Path:
        """The image folder of the call: the user's, or a made one."""
        given: Path | None = self.options.data_dir
        if given is not None:
            return given.absolute()
        root = self.work / "images"
        if not root.exists():
            make_folder(root, self.options.train_images, self.options.test_images)
        return root

    def describe_images(self) -> str:
        """Which images are trained on, for the record."""
        if self.options.data_dir is not None:
            return f"folder {self.options.data_dir.name}, {self.limit or 'all'} training images"
        made = self.options
        return f"synthetic, seed 0: {made.train_images} training and {made.test_images} test images"

    @property
    def limit(self) -> int | None:
        """How many images of the user's folder are trained on; None for all."""
        return None if self.options.data_dir is None else self.options.train_images

    @property
    def classes(self) -> int:
        """k of the images."""
        return sum(folder.is_dir() for folder in (self.images() / "train").iterdir())

    def fresh(self, name: str) -> Path:
        """A path in the work folder that nothing has written to."""
        number = 0
        while (path := self.work / f"{name}_{number}").exists():
            number += 1
        return path

    def training(self, seed: int, epochs: int, *, images: Path | None = None) -> list[str]:
        """The flags of a recording, the same for every section."""
        made = self.options
        flags = ["--dataset", "folder", "--data-dir", str(images or self.images())]
        flags += ["--recipe", "paper", "--depth", str(made.depth)]
        flags += ["--noise-ratio", str(made.noise_ratio)]
        flags += ["--seed", str(seed), "--epochs", str(epochs), "--quiet"]
        if self.limit is not None and images is None:
            flags += ["--limit", str(self.limit)]
        return flags


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options behind ``Settings``."""
    add = parser.add_argument
    add("--data-dir", type=Path, help="image folder (train/<class>, test/<class>); default: made")
    add("--train-images", type=int, default=5000, help="training images, made or taken")
    add("--test-images", type=int, default=1000, help="test images, where made")
    add("--noise-ratio", type=float, default=0.2)
    add("--depth", type=int, default=32, help="of the CIFAR-style ResNet")
    add("--pairs", type=int, default=3, help="repetitions of what is measured in alternation")
    add("--seeds", type=int, default=2, help="seeds of the comparison in quality")
    add("--epochs-timed", type=int, default=3, help="epochs that are timed after the first")
    add("--epochs-quality", type=int, default=15, help="epochs of the runs judged by AUC and error")
    add("--epochs-bare", type=int, default=5, help="epochs of each run beside the bare loop")
    add("--epochs-two", type=int, default=8, help="epochs of each run of one or two processes")
    add("--memory-images", type=int, default=4000)
    add("--memory-epochs", type=int, nargs="+", default=[10, 50, 200])
    add("--curves", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    add("--curve-epochs", type=int, default=100)
    add("--curves-ratio", type=int, default=40_000, help="curves scored beside the bare LSTM")
    add("--record-batches", type=int, default=400, help="batches recorded in each repetition")
    add("--steps", type=int, default=40, help="steps of the network beside which is recorded")
    add("--large-images", type=int, default=200_000)
    add("--large-classes", type=int, default=10_000)
    add("--photographs", type=int, default=400)
    add("--photograph-width", type=int, default=500, help="pixels of the JPEG files")
    add("--photograph-side", type=int, default=224, help="pixels that are trained on")
    add("--photograph-epochs", type=int, default=3)
    nets = ["small", "wide", "photograph"]
    add("--busy-nets", nargs="+", choices=nets, default=nets, help="section busy: networks")
    add("--busy-seconds", type=float, default=4.0, help="for which each load is looked at")
    add("--busy-images", type=int, default=1000, help="images of the wide network's training")
    add("--busy-photographs", type=int, default=128)
    add(
        "--workers",
        type=int,
        default=2,
        help="processes that decode: the plain pipeline's, and streamed images'",
    )
    add("--tdctl-flags", default="", help="further flags of generate-td: --tdctl-flags=--compile")
    add("--compile", choices=["default", "on", "off"], default="default", help="section bare")
    add("--profile", action="store_true", help="section bare: a profile of one epoch as text")
