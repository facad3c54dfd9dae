"""P(wrong) from the number of wrong epochs, by a mixture for each given class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tdctl.dynamics import TrainingDynamics
from tdctl.scores.curve_values import Floats, Rows, rows_at_once
from tdctl.slabs import slabs_of

__all__ = ["wrong_event_mixture", "wrong_event_mixture_of_run"]

# A mixture has four parameters. A class with fewer samples than this uses that of all samples.
FEWEST = 50
# Added to the variance of the shares: counts of few epochs have few values.
LEAST_VARIANCE = 1e-3


def wrong_event_mixture(shares: Floats, given: NDArray[np.integer]) -> Floats:
    """The probability that a sample belongs to the upper of two components of its given class.

    In each class, two normal components with one variance are fitted to the shares of wrong
    epochs. So a class that is hard to learn has more wrong epochs before they count as suspicious.
    A class with fewer than 50 samples, or with equal shares, uses the components of all samples.

    Args:
        shares: float64 [n], the share of the epochs that did not predict the given label, in
            [0, 1].
        given: int [n], the given labels.

    Returns:
        Float64 [n] in [0, 1]; higher means more likely mislabeled. It is 0.5 for all samples if
        all shares are equal.

    Source: "wrong events", accumulated over the epochs, with a two-component mixture: Zhang et al.,
        "Handling Label Noise via Instance-Level Difficulty Modeling and Dynamic Optimization"
        (arXiv 2505.00812). They fit one beta mixture to all samples.

    Example::

        >>> shares = np.array([0.1, 0.9, 0.2, 0.1])
        >>> wrong_event_mixture(shares, np.zeros(4, int)).argmax()
        1
    """
    found = _upper(shares, shares)
    for label in np.unique(given):
        rows = given == label
        if rows.sum() >= FEWEST and shares[rows].min() < shares[rows].max():
            found[rows] = _upper(shares[rows], shares[rows])
    return found


def wrong_event_mixture_of_run(dynamics: TrainingDynamics) -> Floats:
    """``wrong_event_mixture`` of the epochs of a run, float64 [n]."""
    shares = np.empty(len(dynamics))
    for start, stop in slabs_of(len(dynamics), rows_at_once(dynamics)):
        shares[start:stop] = (~Rows(dynamics, start, stop).right).mean(axis=1)
    return wrong_event_mixture(shares, np.asarray(dynamics.labels[:, 0]).astype(np.int64))


def _upper(fitted: Floats, asked: Floats) -> Floats:
    """The probability of the upper component; both have one variance, so it rises with the share.

    Args:
        fitted: float64 [m], the shares that the components are fitted to.
        asked: float64 [n], the shares to judge.
    """
    from scipy.special import expit
    from sklearn.mixture import GaussianMixture

    if fitted.min() == fitted.max():
        return np.full(len(asked), 0.5)
    middle = (fitted.min() + fitted.max()) / 2
    start = np.array([[fitted[fitted <= middle].mean()], [fitted[fitted > middle].mean()]])
    # With all parameters given to start from, nothing is drawn at random.
    fit = GaussianMixture(
        2,
        covariance_type="tied",
        reg_covar=LEAST_VARIANCE,
        weights_init=np.array([(fitted <= middle).mean(), (fitted > middle).mean()]),
        means_init=start,
        precisions_init=np.array([[1 / (fitted.var() + LEAST_VARIANCE)]]),
    ).fit(fitted[:, None])
    low, high = np.argsort(fit.means_[:, 0])
    (m0, m1), (w0, w1) = fit.means_[[low, high], 0], fit.weights_[[low, high]]
    steep = (m1 - m0) / fit.covariances_[0, 0]
    odds = steep * (asked - (m0 + m1) / 2) + np.log(w1) - np.log(w0)
    return np.asarray(expit(odds), dtype=np.float64)
