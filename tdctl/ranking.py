"""The order of all samples from worst to best, and what is kept after pruning. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tdctl.errors import ConfigError, DynamicsError

__all__ = ["Ranking", "num_kept", "num_removed"]


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

    def kept(
        self,
        remove_ratio: float,
        given: NDArray[np.int64] | None = None,
        keep_per_class: float = 0.0,
        flagged: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.bool_]:
        """Bool [n]: False for the ``num_removed`` worst samples that their classes can spare.

        What a class's floor keeps is not made up for by better samples of other classes: they
        would be dropped for no suspicion of their own.

        Args:
            remove_ratio: share to drop, in [0, 1).
            given: int [n], the given labels; needed where there is a floor.
            keep_per_class: what stays of each given class, its best; see ``num_kept``.
            flagged: bool [n], samples to drop in place of a share of the worst.

        Raises:
            ConfigError: the ratio is outside [0, 1), nothing would be left, or the floor is none.
            DynamicsError: there is a floor, and the given labels are not n.
        """
        worst = self.worst_first()
        if flagged is None:
            worst = worst[: num_removed(len(self.index), remove_ratio)]
        else:
            worst = worst[flagged[worst]]
        if keep_per_class:
            if given is None or given.shape != self.index.shape:
                raise DynamicsError("ranking: a floor per class needs the n given labels")
            _, of_class, sizes = np.unique(given, return_inverse=True, return_counts=True)
            spare = sizes - num_kept(sizes, keep_per_class)
            worst = worst[_place_in_class(of_class[worst]) < spare[of_class[worst]]]
        keep = np.ones(len(self.index), dtype=np.bool_)
        keep[worst] = False
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
            f"ratio: {remove_ratio} is outside [0, 1); it is the share to drop or flag, such as 0.2"
        )
    count = round(n * remove_ratio)
    if count >= n:
        raise ConfigError(f"ratio: {remove_ratio} of {n} samples is all of them; take less")
    return count


def num_kept(sizes: NDArray[np.int64], keep_per_class: float) -> NDArray[np.int64]:
    """How many samples of each class a floor keeps, int64, at most all of them.

    Args:
        sizes: int64, samples of each class.
        keep_per_class: below 1 a share, rounded up; from 1 on a whole number of samples.

    Raises:
        ConfigError: it is negative, not finite, or above 1 and not whole.
    """
    whole = keep_per_class >= 1
    if not 0 <= keep_per_class < np.inf or (whole and keep_per_class != int(keep_per_class)):
        raise ConfigError(
            f"keep_per_class: {keep_per_class} is neither a share in [0, 1) nor a whole number of "
            "samples; such as 0.5 or 100"
        )
    if whole:
        return sizes if keep_per_class >= sizes.sum() else np.minimum(sizes, int(keep_per_class))
    # 0.7 of 10 is a little more than 7 in floats, and means 7.
    return np.ceil(np.round(sizes * keep_per_class, 6)).astype(np.int64)


def _place_in_class(of_class: NDArray[np.int64]) -> NDArray[np.int64]:
    """Int64: how many of the same class stand before each."""
    order = np.argsort(of_class, kind="stable")
    ordered = of_class[order]
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    return place
