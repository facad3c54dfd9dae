"""The order of all samples, the most suspicious first, and which samples pruning keeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdctl.errors import ConfigError, DynamicsError

__all__ = ["Ranking", "num_kept", "num_removed", "prune", "rank", "relabel"]


@dataclass(frozen=True)
class Ranking:
    """The suspicion of each sample, and the order that it gives.

    Attributes:
        index: int64 [n], positions of the samples in the source data set.
        suspicion: float64 [n], finite; higher means more likely mislabeled.

    Raises:
        DynamicsError: a suspicion is not finite, or the two lengths differ.

    Example::

        >>> ranking = Ranking(np.array([7, 8, 9]), np.array([0.1, 0.9, 0.2]))
        >>> ranking.index[ranking.worst_first()].tolist()
        [8, 9, 7]
        >>> ranking.kept(remove_ratio=1 / 3).tolist()
        [True, False, True]
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
        """Int64 [n]: rows from the highest suspicion to the lowest; equal ones by rising index."""
        return np.lexsort((self.index, -self.suspicion)).astype(np.int64)

    def kept(
        self,
        remove_ratio: float,
        given: NDArray[np.int64] | None = None,
        keep_per_class: float = 0.0,
        flagged: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.bool_]:
        """Which samples stay when the most suspicious ones are dropped.

        A floor per class can make the number of dropped samples smaller than the ratio asks for.
        No other samples are dropped instead, because their suspicion is lower.

        Args:
            remove_ratio: the share of samples to drop, in [0, 1).
            given: int [n], the given labels; only needed with a floor per class.
            keep_per_class: how many samples of each given class always stay; see ``num_kept``.
            flagged: bool [n], drop these samples instead of the worst share.

        Returns:
            Bool [n]: True for the samples that stay.

        Raises:
            ConfigError: the ratio is outside [0, 1), no sample would stay, or the floor is not
                valid.
            DynamicsError: there is a floor, but the given labels do not have length n.
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


def rank(suspicion: ArrayLike) -> NDArray[np.int64]:
    """The rows from the most suspicious to the least; equal ones in their order.

    Args:
        suspicion: float [n], finite; higher means more likely mislabeled.

    Returns:
        Int64 [n].

    Raises:
        DynamicsError: a suspicion is not finite, or it is no array [n].

    Example::

        >>> tdctl.rank([0.1, 0.9, 0.4]).tolist()
        [1, 2, 0]
    """
    return _ranking(suspicion).worst_first()


def prune(
    suspicion: ArrayLike,
    remove_ratio: float,
    given: ArrayLike | None = None,
    keep_per_class: float = 0.0,
) -> NDArray[np.bool_]:
    """Which samples stay when the most suspicious ones are dropped.

    Args:
        suspicion: float [n], as in ``rank``.
        remove_ratio: the share of samples to drop, in [0, 1).
        given: int [n], the given labels; only needed with a floor per class.
        keep_per_class: how many samples of each given class always stay: a share below 1, or a
            whole number.

    Returns:
        Bool [n]: True for the samples that stay.

    Raises:
        ConfigError: the ratio or the floor is out of range.
        DynamicsError: as in ``rank``, or there is a floor and ``given`` is not [n].

    Example::

        >>> tdctl.prune([0.1, 0.9, 0.4], remove_ratio=1 / 3).tolist()
        [True, False, True]
    """
    labels = None if given is None else np.asarray(given, dtype=np.int64)
    return _ranking(suspicion).kept(remove_ratio, labels, keep_per_class)


def relabel(
    suspicion: ArrayLike, given: ArrayLike, suggested: ArrayLike, ratio: float
) -> NDArray[np.int64]:
    """The given labels, with the suggested ones for the most suspicious samples.

    Args:
        suspicion: float [n], as in ``rank``.
        given: int [n], the given labels.
        suggested: int [n], for example ``TrainingDynamics.suggested()``.
        ratio: the share of samples that get the suggested label, in [0, 1).

    Returns:
        Int64 [n].

    Raises:
        ConfigError: the ratio is out of range.
        DynamicsError: as in ``rank``, or the labels are not [n].

    Example::

        >>> tdctl.relabel([0.1, 0.9, 0.4], given=[3, 3, 3], suggested=[5, 6, 7], ratio=1 / 3)
        array([3, 6, 3])
    """
    ranking = _ranking(suspicion)
    old, new = np.asarray(given, dtype=np.int64), np.asarray(suggested, dtype=np.int64)
    if not old.shape == new.shape == ranking.index.shape:
        raise DynamicsError(
            f"relabel: given {old.shape} and suggested {new.shape}; expected two arrays "
            f"({len(ranking.index)},)"
        )
    return np.where(ranking.kept(ratio), old, new)


def _ranking(suspicion: ArrayLike) -> Ranking:
    values = np.asarray(suspicion, dtype=np.float64)
    if values.ndim != 1:
        raise DynamicsError(f"suspicion: is {values.shape}; expected [n], one for each sample")
    return Ranking(np.arange(len(values)), values)


def num_removed(n: int, remove_ratio: float) -> int:
    """How many of n samples a remove ratio drops: the nearest whole number, halves to even.

    Args:
        n: the number of samples.
        remove_ratio: the share to drop, in [0, 1).

    Raises:
        ConfigError: the ratio is outside [0, 1), or no sample would stay.

    Source: the published code keeps ``int(n * (1 - ratio))``. Rounding of floats can make it drop
        one sample more.
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
    """How many samples of each class a floor keeps, int64 [k]; never more than the class has.

    Args:
        sizes: int64 [k], the number of samples of each class.
        keep_per_class: a value below 1 is a share, rounded up; a value from 1 on is a whole number
            of samples.

    Raises:
        ConfigError: the value is negative, or not finite, or above 1 but not a whole number.
    """
    whole = keep_per_class >= 1
    if not 0 <= keep_per_class < np.inf or (whole and keep_per_class != int(keep_per_class)):
        raise ConfigError(
            f"keep_per_class: {keep_per_class} is neither a share in [0, 1) nor a whole number of "
            "samples; such as 0.5 or 100"
        )
    if whole:
        return sizes if keep_per_class >= sizes.sum() else np.minimum(sizes, int(keep_per_class))
    # As floats, 0.7 times 10 is slightly more than 7, but 7 is meant.
    return np.ceil(np.round(sizes * keep_per_class, 6)).astype(np.int64)


def _place_in_class(of_class: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each entry, how many entries before it have the same class; int64 [n]."""
    order = np.argsort(of_class, kind="stable")
    ordered = of_class[order]
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    return place
