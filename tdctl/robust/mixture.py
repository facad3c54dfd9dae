"""Divides labels into right and wrong ones by two components of their losses.

Shapes: n samples.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tdctl.streams import ROBUST_DIVISION

__all__ = ["Division", "divide", "normalised", "with_floor"]

# Two components are too close if their means are closer than this share of the range of the losses,
# or closer than this number of standard deviations.
APART, DEVIATIONS_APART = 0.05, 1.0
# If the labelled share is below or above these, the components are not right and wrong labels.
LEAST_LABELLED, MOST_LABELLED = 0.05, 0.95


@dataclass(frozen=True)
class Division:
    """Which samples are labelled, and the probability that their label is right.

    Attributes:
        clean: float64 [n], the probability that the label is right.
        labelled: bool [n], the samples whose label is used.
        kept_before: why this is the division of an earlier epoch, in words; None if it is new.
    """

    clean: NDArray[np.float64]
    labelled: NDArray[np.bool_]
    kept_before: str | None = None

    @classmethod
    def of_all(cls, n: int) -> Division:
        """The division in which all labels are used."""
        return cls(np.ones(n), np.ones(n, dtype=np.bool_))


def normalised(losses: NDArray[np.floating]) -> NDArray[np.float64]:
    """The losses scaled to [0, 1] by the smallest and the largest one; float64 [n].

    Source: Li et al. (ICLR 2020), published code.
    """
    values = losses.astype(np.float64)
    span = float(np.ptp(values))
    return (values - values.min()) / span if span > 0 else np.zeros_like(values)


def divide(losses: NDArray[np.floating], above: float, before: Division | None) -> Division:
    """Divides the samples by two normal components of their losses.

    The probability that a label is right is the probability of the component with the lower mean.
    The division is unusable if the two means are too close, or if too few or nearly all samples
    would be labelled. Then the division of the epoch before is used again. If there is none, all
    samples are labelled.

    Args:
        losses: [n], of the given labels.
        above: a sample is labelled if the probability is above this value.
        before: the division of the epoch before, of the same samples; None if there is none.

    Source: Li et al. (ICLR 2020), section 3.1 and published code: the settings of the mixture.
        The check whether a division is usable is ours.
    """
    values = normalised(losses)
    clean, why = _lower_component(values)
    if why is None:
        share = float((clean > above).mean())
        if LEAST_LABELLED <= share <= MOST_LABELLED:
            return Division(clean, clean > above)
        why = f"{share:.1%} of the labels would be taken as right"
    if before is None:
        before = Division.of_all(len(losses))
    return Division(before.clean, before.labelled, why)


def _lower_component(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], str | None]:
    """Each value's probability of the lower component; and why this is unusable, else None."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    if len(np.unique(values)) < 2:
        return np.ones(len(values)), "all losses are equal"
    mixture = GaussianMixture(
        2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=ROBUST_DIVISION.number()
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # ten iterations are intended
        mixture.fit(values[:, None])
    means, variances = mixture.means_[:, 0], mixture.covariances_[:, 0, 0]
    distance = abs(means[0] - means[1])
    probability = mixture.predict_proba(values[:, None])[:, means.argmin()]
    if distance < max(APART, DEVIATIONS_APART * np.sqrt(variances.mean())):
        return (
            probability,
            f"the two components are only {distance:.3f} of the range of losses apart",
        )
    return probability, None


def with_floor(
    kept: NDArray[np.bool_],
    certainty: NDArray[np.floating],
    labels: NDArray[np.int64],
    share: float,
) -> NDArray[np.bool_]:
    """Bool [n]: the kept samples, and in addition the surest ones of a label with too few kept.

    Args:
        kept: bool [n].
        certainty: [n], higher is surer.
        labels: int64 [n].
        share: the least share of each label's samples that is kept, in [0, 1); 0 adds none.
    """
    kept = kept.copy()
    for label in np.unique(labels) if share > 0 else ():
        rows = np.flatnonzero(labels == label)
        least = int(np.ceil(share * len(rows)))
        if kept[rows].sum() < least:
            kept[rows[np.argsort(-certainty[rows], kind="stable")[:least]]] = True
    return kept
