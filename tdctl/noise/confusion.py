"""The confusion of true and given labels: the counts, and the counts that the noise predicts.

Shapes: n samples, k classes, m pairs of a true and a given label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tdctl.noise.draws import Drawn, Floats, Ints

__all__ = ["Confusion", "confusion_of"]

# With at most this many classes, every pair that can occur is listed. With more, only pairs that
# do occur.
LISTED_IN_FULL = 100


@dataclass(frozen=True)
class Confusion:
    """Counts of the pairs of a true and a given label, ordered by both labels.

    With at most 100 classes, these are all pairs that occur or are expected. With more classes,
    they are only the pairs that occur.

    Attributes:
        num_classes: k.
        true, given: int64 [m], the labels of each pair.
        count: int64 [m], the number of samples with this pair.
        expected: float64 [m], the mean of this number over all draws of the noise.
        expected_rate: the mean share of given labels that differ from the true ones, over all
            draws; in [0, 1], and 0 if there is no sample.
        realised_rate: the share of given labels that do differ; in [0, 1], and 0 if there is no
            sample.
    """

    num_classes: int
    true: Ints
    given: Ints
    count: Ints
    expected: Floats
    expected_rate: float
    realised_rate: float

    def largest_flips(self, most: int) -> list[int]:
        """Positions of the most frequent pairs of different labels, at most ``most`` of them."""
        off = np.flatnonzero((self.true != self.given) & (self.count > 0))
        return [int(at) for at in off[np.argsort(-self.count[off], kind="stable")][:most]]

    def table(self, class_names: list[str]) -> dict[str, Any]:
        """A table of the columns ``true_label, given_label, count, expected``, with class names."""
        names = np.asarray(class_names, dtype=object)
        return {
            "true_label": names[self.true],
            "given_label": names[self.given],
            "count": self.count,
            "expected": self.expected.round(6),
        }


def confusion_of(true: Ints, drawn: Drawn, num_classes: int) -> Confusion:
    """The confusion of the true and the given labels.

    Args:
        true: int64 [n] in [0, k), the true labels.
        drawn: the given labels, and what the noise predicts.
        num_classes: k.
    """
    key = true * num_classes + drawn.given
    if num_classes <= LISTED_IN_FULL:
        pairs = np.arange(num_classes**2, dtype=np.int64)
        count = np.bincount(key, minlength=len(pairs)).astype(np.int64)
    else:
        # numpy's unique is avoided: for a million values its hash table takes a second, and memory.
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
