"""The probability of each share of wrong labels, from networks that have not seen the labels.

Shape suffixes: n samples, k classes, s rows of a slab, R shares, T sharpnesses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tdctl.dynamics import TrainingDynamics
from tdctl.errors import DynamicsError
from tdctl.scores.curve_values import Floats, rows_at_once
from tdctl.slabs import SLAB, slabs_of

__all__ = ["NoiseModel", "wrong_given_heldout"]

# The first half of the epochs is left out: the network has learned little then.
FROM = 0.5
# Each share of wrong labels that is tried, in [0, 1]; closer to each other where they are small.
SHARES = np.concatenate([[5e-4], np.arange(1, 60) / 400, np.arange(30, 121) / 200])
# Each sharpness that is tried: the exponent that is applied to the predicted probabilities.
SHARPNESSES = np.exp(np.linspace(np.log(0.2), np.log(8.0), 32))
# The prior of the share is an exponential distribution with this mean. Checks of well-known data
# sets found up to 10 % wrong labels; the human labels of CIFAR-10N have 9 to 40 %.
BEFORE = 0.1
# Mean probabilities below this value are raised to it: float16 rounds many of them to 0.
LEAST = 1e-5


@dataclass(frozen=True)
class NoiseModel:
    """The posterior distribution of the share of wrong labels, given held-out predictions.

    The model: the true class of a sample has the probabilities that the networks predict, raised
    to the power of a sharpness and scaled to sum 1. With the share r, the given label is another
    class, each with the same probability. So with q the sharpened probability of the given label,
    the given label has the probability (1 - r) q + r (1 - q) / (k - 1).

    The networks are not sure about hard images. Because of the sharpness, an error on such an image
    does not count as a wrong label. Only a sure prediction that contradicts the given label does.
    If the networks have learned little, many shares are about equally likely, and the interval is
    wide.

    Attributes:
        posterior_RT: float64 [R, T], the probability of each share and sharpness; they sum to 1.
        classes: k.
    """

    posterior_RT: Floats
    classes: int

    @classmethod
    def of(cls, heldout: TrainingDynamics) -> NoiseModel:
        """Fits the model.

        Args:
            heldout: the dynamics of networks that were not trained on the samples, with every
                class.

        Raises:
            DynamicsError: td has only one class, or lacks a class, or contains NaN.
        """
        k = int(heldout.td.shape[2])
        if k < 2 or not heldout.has_every_class:
            raise DynamicsError("dynamics: the noise model needs two classes or more, and all")
        likelihood = np.zeros((len(SHARES), len(SHARPNESSES)))
        for _, logs_sk in _slabs(heldout):
            for at, sharpness in enumerate(SHARPNESSES):
                right_s = _sharpened(logs_sk, float(sharpness))
                likelihood[:, at] += np.log(_chance(SHARES[:, None], right_s, k)).sum(axis=1)
        prior_R = np.exp(-SHARES / BEFORE) * np.gradient(SHARES)
        posterior = np.exp(likelihood - likelihood.max()) * prior_R[:, None]
        return cls(posterior / posterior.sum(), k)

    def quantiles(self, *levels: float) -> tuple[float, ...]:
        """The share below which the posterior has each level, in [0, 1]."""
        below = np.cumsum(self.posterior_RT.sum(axis=1))
        last = len(SHARES) - 1
        return tuple(float(SHARES[min(int(np.searchsorted(below, at)), last)]) for at in levels)

    def wrong(self, heldout: TrainingDynamics) -> Floats:
        """P(the given label is wrong), float64 [n] in [0, 1], averaged over the posterior.

        Args:
            heldout: as in ``of``.
        """
        weight_T = self.posterior_RT.sum(axis=0)
        # One mean share for each sharpness is enough, because there the range of shares is narrow.
        share_T = (self.posterior_RT * SHARES[:, None]).sum(axis=0) / np.maximum(weight_T, 1e-300)
        found = np.zeros(len(heldout))
        for (start, stop), logs_sk in _slabs(heldout):
            for sharpness, weight, share in zip(SHARPNESSES, weight_T, share_T, strict=True):
                right_s = _sharpened(logs_sk, float(sharpness))
                chance = _chance(np.array(share), right_s, self.classes)
                found[start:stop] += weight * (1 - (1 - share) * right_s / chance)
        return found


def wrong_given_heldout(heldout: TrainingDynamics) -> Floats:
    """P(the given label is wrong) by ``NoiseModel``, float64 [n] in [0, 1].

    Args:
        heldout: the dynamics of networks that were not trained on the samples.
    """
    return NoiseModel.of(heldout).wrong(heldout)


def _slabs(heldout: TrainingDynamics) -> Iterator[tuple[tuple[int, int], Floats]]:
    """Logarithms [s, k] of the mean probabilities, the given label's in column 0, by rows."""
    first = int(FROM * heldout.epochs)
    rows = min(rows_at_once(heldout), max(1, SLAB // (8 * len(SHARES))))
    for start, stop in slabs_of(len(heldout), rows):
        probs_sk = heldout.td[start:stop][:, first:].mean(axis=1, dtype=np.float64)
        if np.isnan(probs_sk).any():
            raise DynamicsError("dynamics: the held-out td holds NaN; record the run again")
        yield (start, stop), np.log(np.maximum(probs_sk, LEAST))


def _sharpened(logs_sk: Floats, sharpness: float) -> Floats:
    """The given label's probability, float64 [s], after a sharpness is applied."""
    powers = np.exp(sharpness * (logs_sk - logs_sk.max(axis=1, keepdims=True)))
    sharpened: Floats = powers[:, 0] / powers.sum(axis=1)
    return sharpened


def _chance(share: NDArray[np.float64], right_s: Floats, k: int) -> Floats:
    """The probability of the given label, for a share of wrong labels; above 0."""
    chance: Floats = (1 - share) * right_s + share * (1 - right_s) / (k - 1)
    return np.maximum(chance, 1e-300)
