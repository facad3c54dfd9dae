"""The recipes that tdctl knows by name: settings that belong together.

Standard library only: the settings read it without loading torch.
"""

from __future__ import annotations

from typing import Any

__all__ = ["RECIPES"]

# What suits the wide network, in the recording as in a retraining of it. Batch and peak rate are
# the best of five pairs by AP of AUM (10 epochs of 4,000 CIFAR-10 images, 20 % uniform, one seed):
# 128 at 0.1 and 0.3, 64 at 0.05 and 0.1, 32 at 0.05 lay within 0.014, the last as good and slower.
ONE_CYCLE = {
    "epochs": 30,
    "batch_size": 64,
    "lr": 0.1,
    "schedule": "one-cycle",
    "weight_decay": 5e-4,
    "label_smoothing": 0.1,
}

DETECT: dict[str, dict[str, Any]] = {
    "net": {"net_type": "wide"},
    "train": ONE_CYCLE | {"capture": "in-loop"},
    "retrain": ONE_CYCLE,
}

# Each lies above the data set's preset and below the user's settings.
RECIPES: dict[str, dict[str, dict[str, Any]]] = {
    # The published code of Jia et al. (AAAI 2023): the settings' own defaults, and what the
    # catalogue says of a data set.
    "paper": {},
    "detect": DETECT,
    "cross-fold": DETECT | {"train": DETECT["train"] | {"folds": 2}},
    "k-fold": DETECT | {"train": DETECT["train"] | {"folds": 5}},
}
