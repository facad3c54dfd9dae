"""What is kept of each epoch's softmax, and which arrays that makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tdctl.errors import ConfigError

__all__ = ["EVERY_CLASS", "Layout", "Store", "class_type", "file_layout"]

# Classes whose mean probability is kept for suggestions, where the full softmax is not.
MEANS = 5
# Up to so many classes the softmax of every class is summed over the epochs; beyond, the sums
# would take more room than all that is kept.
MANY = 4096

# What a run lacks that keeps a part of the classes, as a message goes on after "needs".
EVERY_CLASS = (
    "the probability of every class, but the run holds a part, as the stores given and topk:K "
    "keep it"
)
# Type and shape of each array, by name.
Layout = dict[str, tuple[np.dtype[Any], tuple[int, ...]]]


@dataclass(frozen=True)
class Store:
    """Which probabilities of each epoch are kept.

    Attributes:
        name: ``full``, ``given`` or ``topk:K``, as the setting has it.
        others: how many of the largest other classes are kept; 0 where all are.
        sums: whether the mean of every class is known, or only that of the kept values (a class
            counts as 0 in an epoch in which it was not among the largest).
    """

    name: str
    others: int
    sums: bool = True

    @classmethod
    def of(cls, name: str, num_classes: int) -> Store:
        """The store of a setting, for so many classes.

        Raises:
            ConfigError: it is none, or keeps no fewer classes than there are.
        """
        if name == "full":
            return cls(name, 0)
        kind, colon, count = name.partition(":")
        if name != "given" and not (kind == "topk" and count.isdecimal() and int(count) > 0):
            raise ConfigError(f"train.store: '{name}' is unknown; use full, given or topk:K")
        others = int(count) if colon else 1
        if others >= num_classes:
            raise ConfigError(
                f"train.store: {name} of {num_classes} classes would keep them all; use full"
            )
        return cls(name, others, num_classes <= MANY)

    def means(self, num_classes: int) -> int:
        """How many classes' mean probabilities are kept for suggestions."""
        if not self.sums:
            return self.others + 1  # as many different classes are among the kept for sure
        return min(num_classes, max(MEANS, self.others))


def class_type(num_classes: int) -> np.dtype[Any]:
    """The smallest type for the numbers of so many classes, at least int16 as is published."""
    return np.dtype(np.int16 if num_classes <= np.iinfo(np.int16).max else np.int32)


def file_layout(n: int, num_classes: int, epochs: int, store: Store) -> Layout:
    """The arrays of ``training_dynamics.npz``, in their order."""
    half, single, columns = np.dtype(np.float16), np.dtype(np.float32), class_type(num_classes)
    kept = 1 if store.others else num_classes
    layout: Layout = {
        "td": (half, (n, epochs, kept)),
        "labels": (columns, (n, kept)),
        "index": (np.dtype(np.int64), (n,)),
        "margin": (single, (n, epochs)),
        "loss": (single, (n, epochs)),
    }
    if store.others:
        means = store.means(num_classes)
        layout |= {
            "other": (half, (n, epochs, store.others)),
            "other_class": (columns, (n, epochs, store.others)),
            "mean": (half, (n, means)),
            "mean_class": (columns, (n, means)),
        }
    return layout
