"""What the benchmark records: rows of noise, seeds, lengths, and kinds of training.

Standard library only.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "FAMILIES", "FULL", "KINDS", "OWN_LENGTH", "RECIPES", "ROWS", "Cell", "Settings",
    "block_table", "data_of", "kind_of",
]  # fmt: skip

# Noise of each row; the human labels are columns of the label table.
ROWS: dict[str, tuple[str, ...]] = {
    "uniform0.2": ("--noise-type", "uniform", "--noise-ratio", "0.2"),
    "uniform0.4": ("--noise-type", "uniform", "--noise-ratio", "0.4"),
    "flip0.3": ("--noise-type", "flip", "--noise-ratio", "0.3"),
    "pair0.3": ("--noise-type", "pair", "--noise-ratio", "0.3"),
    "instance0.3": ("--noise-type", "instance", "--noise-ratio", "0.3"),
    "aggregate": ("--label-column", "aggregate", "--true-column", "label"),
    "random1": ("--label-column", "random1", "--true-column", "label"),
    "digits": ("--noise-ratio", "0.2"),
    "letters": ("--noise-ratio", "0.2"),
}
FAMILIES = ("cifar", "digits", "letters")

# Variants of ours, each named as its recipe.
RECIPES = (
    "mixup", "bootstrap-soft", "bootstrap-hard", "gce", "sce", "elr",
    "cosine", "cross-fold",
)  # fmt: skip
# Ours; the paper's recipe and networks that predict what they have not seen, for the same time;
# the paper's recipe at its own length; ours at the whole resolution, for as many epochs; variants
# of ours for the same time.
KINDS: dict[str, tuple[str, ...]] = {
    "ours": ("--recipe", "detect"),
    "paper": ("--recipe", "paper"),
    "folds": ("--recipe", "k-fold", "--folds", "3"),
    "full": ("--recipe", "paper"),
    "whole": ("--recipe", "detect", "--set", "net.stride=1"),
} | {name: ("--recipe", name) for name in RECIPES}
FULL = 200
# These have their own length; the others have the time of ours.
OWN_LENGTH = ("ours", "full", "whole")


@dataclass(frozen=True)
class Settings:
    """What the command line says.

    Attributes:
        data: folder of CIFAR-10's image files.
        labels: its label table, a row an image.
        work: where runs go.
        images: of CIFAR-10 in each run.
    """

    data: Path
    labels: Path
    work: Path
    images: int


@dataclass(frozen=True)
class Cell:
    """One training."""

    row: str
    seed: int
    length: int
    kind: str

    @property
    def name(self) -> str:
        """Its folder."""
        return f"{self.row}_seed{self.seed}_{self.length}_{self.kind}"

    @property
    def family(self) -> str:
        """Which images."""
        return self.row if self.row in FAMILIES else "cifar"


def kind_of(kind: str, epochs: int) -> list[str]:
    """Arguments of a kind of training."""
    return [*KINDS[kind], "--set", f"train.epochs={epochs}"]


def data_of(settings: Settings, family: str, seed: int) -> list[str]:
    """Arguments that name the images of a seed."""
    if family == "digits":
        return ["--dataset", "digits"]
    if family == "letters":
        return ["--dataset", "folder", "--data-dir", str(settings.work / f"letters{seed}")]
    table = block_table(settings, seed)
    return ["--dataset", "table", "--data-dir", str(settings.data), "--labels", str(table)]


def block_table(settings: Settings, seed: int) -> Path:
    """A table of the images of a seed: its own block of the label table, all to train on."""
    path = settings.work / f"block{seed}_{settings.images}.csv"
    if path.exists():
        return path
    with settings.labels.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[settings.images * seed : settings.images * (seed + 1)]
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "split"])
        writer.writeheader()
        writer.writerows(row | {"split": "train"} for row in rows)
    part.rename(path)
    return path
