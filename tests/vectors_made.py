"""Embeddings that tests make: a cloud for each class, with some labels planted wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["Cloud", "cloud", "write_table"]


class Cloud:
    """Vectors about the centres of their true classes.

    Attributes:
        values: float32 [n, d].
        true, given: int64 [n]; the first ``wrong`` samples of each class have another label.
    """

    def __init__(self, values: NDArray[np.float32], true: NDArray[np.int64], wrong: int) -> None:
        self.values, self.true = values, true
        self.given = true.copy()
        k = int(true.max()) + 1
        for label in range(k):
            self.given[np.flatnonzero(true == label)[:wrong]] = (label + 1) % k

    @property
    def flipped(self) -> NDArray[np.bool_]:
        """Which labels are wrong."""
        return self.true != self.given


def cloud(
    n: int = 300, d: int = 16, k: int = 4, wrong: int = 3, spread: float = 0.25, seed: int = 0
) -> Cloud:
    """A cloud; with the default spread its classes hardly overlap."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((k, d))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    true = np.arange(n) % k
    values = centres[true] + rng.standard_normal((n, d)) * (spread / d**0.5 * 2)
    return Cloud(values.astype(np.float32), true, wrong)


def write_table(path: Path, made: Cloud, index: bool = True) -> Path:
    """A label table ``index,label,true`` of class names ``c0``, ``c1``, ..."""
    rows = [f"{i},c{g},c{t}" for i, (g, t) in enumerate(zip(made.given, made.true, strict=True))]
    head = "index,label,true"
    if not index:
        head, rows = "label,true", [row.partition(",")[2] for row in rows]
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path
