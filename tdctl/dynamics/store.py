"""Which part of each epoch's softmax is kept, and in which arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tdctl.errors import ConfigError

__all__ = ["EVERY_CLASS", "Layout", "Store", "class_type", "file_layout"]

# For how many classes the mean probability is kept, for suggestions, without the full softmax.
MEANS = 5
# Up to this number of classes, the softmax of every class is summed over the epochs. With more
# classes, the sums would take more space than everything else that is kept.
MANY = 4096

# Why a run without all classes is refused; it follows "needs" in a message.
EVERY_CLASS = (
    "the probability of every class, but the run has only some of them, as with --store given "
    "or topk:K"
)
# Type and shape of each array, by name.
Layout = dict[str, tuple[np.dtype[Any], tuple[int, ...]]]


@dataclass(frozen=True)
class Store:
    """Which probabilities of each epoch are kept.

    Attributes:
        name: ``full``, ``given``, ``topk:K`` or ``few:K``, as in the settings.
        others: how many of the largest other classes are kept; 0 means all.
        sums: whether the means cover all probabilities of a class, or only the kept ones. In the
            second case a class counts as 0 in an epoch in which it was not among the largest.
    """

    name: str
    others: int
    sums: bool = True

    @classmethod
    def of(cls, name: str, num_classes: int) -> Store:
        """The store that a setting names.

        Args:
            name: the setting.
            num_classes: k.

        Raises:
            ConfigError: the name is unknown, or the store would keep all classes.
        """
        if name == "full":
            return cls(name, 0)
        kind, colon, count = name.partition(":")
        if name != "given" and not (
            kind in ("topk", "few") and count.isdecimal() and int(count) > 0
        ):
            raise ConfigError(f"train.store: '{name}' is unknown; use full, given, topk:K or few:K")
        others = int(count) if colon else 1
        if others >= num_classes:
            raise ConfigError(
                f"train.store: {name} of {num_classes} classes would keep them all; use full"
            )
        return cls(name, others, num_classes <= MANY and kind != "few")

    def means(self, num_classes: int) -> int:
        """For how many classes the mean probability is kept for suggestions."""
        if not self.sums:
            return self.others + 1  # the kept values always have this many different classes
        return min(num_classes, max(MEANS, self.others))


def class_type(num_classes: int) -> np.dtype[Any]:
    """The smallest integer type for class numbers; at least int16, as in the published files."""
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
            "entropy": (half, (n, epochs)),
            "mean": (half, (n, means)),
            "mean_class": (columns, (n, means)),
        }
    return layout
