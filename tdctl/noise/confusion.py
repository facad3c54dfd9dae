"""Which true labels were given as which: counted, and as the noise makes expect.

Shapes: n samples, k classes, m pairs of a true and a given label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tdctl.noise.draws import Drawn, Floats, Ints

__all__ = ["Confusion", "confusion_of"]

# Up to as many classes every pair is listed that could occur; above, those that do.
LISTED_IN_FULL = 100


@dataclass(frozen=True)
class Confusion:
    """Pairs of a true and a given label, ordered by both.

    Up to 100 classes all pairs that occur or are expected; above, those that occur.

    Attributes:
        num_classes: k.
        true, given: int64 [m].
        count: int64 [m], how many samples have this pair.
        expected: float64 [m], the mean of that count over all draws.
        expected_rate: the mean share of labels that differ from the true ones, over all draws.
        realised_rate: the share that does; both in [0, 1], and 0 where there is no sample.
    """

    num_classes: int
    true: Ints
    given: Ints
    count: Ints
    expected: Floats
    expected_rate: float
    realised_rate: float

    def largest_flips(self, most: int) -> list[int]:
        """Positions of the most frequent pairs whose labels differ, at most so many."""
        off = np.flatnonzero((self.true != self.given) & (self.count > 0))
        return [int(at) for at in off[np.argsort(-self.count[off], kind="stable")][:most]]

    def table(self, class_names: list[str]) -> dict[str, Any]:
        """Columns ``true_label, given_label, count, expected``, classes by name."""
        names = np.asarray(class_names, dtype=object)
        return {
            "true_label": names[self.true],
            "given_label": names[self.given],
            "count": self.count,
            "expected": self.expected.round(6),
        }


def confusion_of(true: Ints, drawn: Drawn, num_classes: int) -> Confusion:
    """The confusion of given labels with the true ones."""
    key = true * num_classes + drawn.given
    if num_classes <= LISTED_IN_FULL:
        pairs = np.arange(num_classes**2, dtype=np.int64)
        count = np.bincount(key, minlength=len(pairs)).astype(np.int64)
    else:
        # Not numpy's unique: its hash table takes a second, and memory, for a million.
        key = np.sort(key)
        starts = np.flatnonzero(np.diff(key, prepend=-1))
        pairs, count = key[starts], np.diff(starts, append=len(key))
    expected = drawn.expected(pairs // num_classes, pairs % num_classes)
    listed = (count > 0) | (expected > 0)
    pairs = pairs[listed]
    some = len(true) > 0
    return Confusion(
        num_classes=num_classes,
        true=pairs // num_classes,
        given=pairs % num_classes,
        count=count[listed],
        expected=expected[listed],
        expected_rate=float(drawn.rates.mean()) if some else 0.0,
        realised_rate=float((drawn.given != true).mean()) if some else 0.0,
    )
