"""The recipes that tdctl knows by name: settings that belong together.

Standard library only: the settings read it without loading torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["DETECT_UP_TO", "RECIPES", "Recipe"]

Sections = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Recipe:
    """Settings by name, above the data set's preset and below the user's.

    Attributes:
        about: one line for the user.
        settings: section to key to value; empty where the defaults are meant.
        changes: the recipe that it is but for a setting or two; None where it is its own.
    """

    about: str
    settings: Sections
    changes: str | None = None


# What suits the wide network, in the recording as in a retraining of it. Of trials on 4,000
# CIFAR-10 images, in AP of AUM with 20 % uniform noise / aggregate human labels (one seed each,
# in-loop): 30 epochs, decay 5e-4: 0.859 / 0.572, 2e-3: 0.869 / 0.565, 5e-3: 0.859 / 0.533; 60
# epochs, decay 5e-4: 0.867 / 0.590, 2e-3: 0.881 / 0.601. Twice the rate at half the decay ranks
# the same.
ONE_CYCLE = {
    "epochs": 60,
    "batch_size": 64,
    "lr": 0.1,
    "schedule": "one-cycle",
    "weight_decay": 2e-3,
    "label_smoothing": 0.1,
}

# Pixels a side of the largest images that `detect` is made for.
DETECT_UP_TO = 64
DETECT: Sections = {
    "net": {"net_type": "wide"},
    "train": ONE_CYCLE | {"capture": "in-loop"},
    "retrain": ONE_CYCLE,
}


def _detect(about: str, **train: Any) -> Recipe:
    """The recipe ``detect`` but for settings of the recording; the retraining is the same."""
    return Recipe(about, DETECT | {"train": DETECT["train"] | train}, changes="detect")


def _loss(name: str, about: str) -> Recipe:
    # Label smoothing is a part of cross-entropy alone.
    return _detect(about, loss=name, label_smoothing=0.0)


# Small images of the published code of AUM (Pleiss et al., NeurIPS 2020: asappresearch/aum,
# examples/paper_replication/small_dataset_aum.sh and runner.py): the rate never drops while margins
# are recorded, and the batch is small so that the network memorises less; then it retrains.
AUM: Sections = {
    "net": {"net_type": "resnet", "depth": 32},
    "train": {
        "epochs": 150,
        "batch_size": 64,
        "lr": 0.1,
        "schedule": "constant",
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "capture": "in-loop",
    },
    "retrain": {
        "epochs": 300,
        "batch_size": 256,
        "lr": 0.1,
        "schedule": "step",
        "lr_drops": (0.5, 0.75),
        "momentum": 0.9,
        "weight_decay": 1e-4,
    },
}

RECIPES: dict[str, Recipe] = {
    # The published code of Jia et al. (AAAI 2023): the settings' own defaults, and what the
    # catalogue says of a data set.
    "paper": Recipe("as published: 200 epochs of ResNet-32 on small images", {}),
    "aum": Recipe(
        "AUM's own: 150 epochs of ResNet-32 at a rate that never drops; its cut needs "
        "--threshold-samples as well",
        AUM,
    ),
    "detect": Recipe(
        "made to find wrong labels in less time, in images of 8 to 64 pixels, where it is the "
        "default: a small wide network, one-cycle rate, weight decay, label smoothing, 60 epochs",
        DETECT,
    ),
    "mixup": _detect(
        "mixed images, and a pass over single ones to record",
        mixup=0.2,
        capture="eval-pass",
    ),
    "bootstrap-soft": _loss("bootstrap-soft", "soft bootstrapping"),
    "bootstrap-hard": _loss("bootstrap-hard", "hard bootstrapping"),
    "gce": _loss("gce", "generalised cross-entropy"),
    "sce": _loss("sce", "symmetric cross-entropy"),
    "elr": _loss("elr", "early-learning regularisation"),
    "cosine": _detect("a rate that falls along half a cosine", schedule="cosine"),
    "cross-fold": _detect(
        "two networks on halves of the images, each also asked for the half it has not seen",
        folds=2,
    ),
    "k-fold": _detect(
        "five networks on four fifths each, also asked for the fifth, in four times the time",
        folds=5,
    ),
    "threshold": _detect(
        "two networks with AUM's threshold samples, in twice the time",
        threshold_samples=True,
    ),
}
