"""The order of all samples from worst to best, and what is kept after pruning. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tdctl.errors import ConfigError, DynamicsError

__all__ = ["Ranking", "num_removed"]


@dataclass(frozen=True)
class Ranking:
    """Suspicion by index, and the order it makes.

    Attributes:
        index: int64 [n], the samples' positions in the source data set.
        suspicion: float64 [n], higher means more likely mislabeled.

    Raises:
        DynamicsError: a suspicion is not finite, or the lengths differ.
    """

    index: NDArray[np.int64]
    suspicion: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.index.shape != self.suspicion.shape:
            raise DynamicsError(
                f"ranking: {len(self.index)} indices and {len(self.suspicion)} scores"
            )
        if not np.isfinite(self.suspicion).all():
            raise DynamicsError("ranking: a suspicion is NaN or infinite; nothing can be ranked")

    def worst_first(self) -> NDArray[np.int64]:
        """Int64 [n]: the rows by falling suspicion, ties by rising index."""
        return np.lexsort((self.index, -self.suspicion)).astype(np.int64)

    def kept(self, remove_ratio: float) -> NDArray[np.bool_]:
        """Bool [n]: False for the ``num_removed`` worst samples.

        Raises:
            ConfigError: the ratio is outside [0, 1), or nothing would be left.
        """
        keep = np.ones(len(self.index), dtype=np.bool_)
        keep[self.worst_first()[: num_removed(len(keep), remove_ratio)]] = False
        return keep


def num_removed(n: int, remove_ratio: float) -> int:
    """How many of n samples a remove ratio drops: the nearest whole number, halves to even.

    Raises:
        ConfigError: the ratio is outside [0, 1), or nothing would be left.

    Source: the published code keeps ``int(n * (1 - ratio))``, in which the rounding of floats
        can drop one sample more.
    """
    if not 0.0 <= remove_ratio < 1.0:
        raise ConfigError(
            f"remove_ratio: {remove_ratio} is outside [0, 1); it is the share to drop, such as 0.2"
        )
    count = round(n * remove_ratio)
    if count >= n:
        raise ConfigError(f"remove_ratio: {remove_ratio} would drop all {n} samples")
    return count
