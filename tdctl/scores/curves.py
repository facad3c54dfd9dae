"""Scores from the recorded values: margins, probabilities, losses and the whole softmax.

Each function takes arrays with a value for each of n samples and E epochs, and returns the
suspicion, float64 [n]; higher means more likely mislabeled. In the formulas, t runs over the E
epochs, p is the given label's probability, and q is the largest other probability.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdctl.scores.curve_values import Floats

__all__ = [
    "aum",
    "aum_softmax",
    "el2n",
    "loss_last",
    "loss_mean",
    "mean_entropy",
    "p_last",
    "p_mean",
    "signed_entropy",
    "variability",
]


def aum(margin: ArrayLike) -> Floats:
    """Minus the mean over t of (given label's logit - largest other logit); any number.

    Source: Pleiss et al., "Identifying Mislabeled Data using the Area Under the Margin Ranking",
        NeurIPS 2020 (arXiv 2001.10528). Its AUM is the negative of this.
    """
    return -_mean(_floats(margin))


def aum_softmax(given: ArrayLike, other: ArrayLike) -> Floats:
    """Mean over t of q - p, in [-1, 1]: AUM with probabilities instead of logits.

    Source: the margin of Pleiss et al. 2020, for files without logits.
    """
    return _mean(_floats(other) - _floats(given))


def p_mean(given: ArrayLike) -> Floats:
    """Minus the mean over t of p, in [-1, 0].

    cleanlab's self-confidence of the mean softmax is the negative of this, so it ranks the same.

    Source: the confidence of Swayamdipta et al., "Dataset Cartography: Mapping and Diagnosing
        Datasets with Training Dynamics", EMNLP 2020 (arXiv 2009.10795), negated.
    """
    return -_mean(_floats(given))


def p_last(given: ArrayLike) -> Floats:
    """Minus p of the last epoch, in [-1, 0].

    cleanlab's self-confidence of the last softmax is the negative of this, so it ranks the same.
    ``loss_last`` ranks the same too, except for float16 rounding; but it needs a recorded loss.
    """
    return -_floats(given)[:, -1]


def variability(given: ArrayLike) -> Floats:
    """Standard deviation of p over t, in [0, 0.5]; divided by E, not by E - 1.

    The direction of this score depends on the run; no other score here has this property. Higher
    counts as more suspicious. This is right if training continues until wrong labels are fitted:
    their curves rise late from 0 to 1 and vary most, while those of right labels rise early and
    stay. If wrong labels are never fitted (in short or regularised training), their curves stay
    low and flat, and then lower would be more suspicious.

    Source: Swayamdipta et al. 2020 (see ``p_mean``). In their data maps, wrong labels are in the
        hard-to-learn corner, with low confidence and low variability.
    """
    return np.asarray(_floats(given).std(axis=1), dtype=np.float64)


def loss_mean(loss: ArrayLike) -> Floats:
    """Mean over t of the cross-entropy -ln p in nats, at least 0.

    The loss summed over the epochs is E times this, so it ranks the same.

    Source: the small-loss rule, as in Arazo et al., "Unsupervised Label Noise Modeling and Loss
        Correction", ICML 2019 (arXiv 1904.11238).
    """
    return _mean(_floats(loss))


def loss_last(loss: ArrayLike) -> Floats:
    """Cross-entropy -ln p of the last epoch in nats, at least 0.

    It ranks like ``p_last``, but uses the float32 loss instead of the float16 probability.

    Source: the small-loss rule; see ``loss_mean``.
    """
    return _floats(loss)[:, -1]


def el2n(probs: ArrayLike, first: int | None = None) -> Floats:
    """Mean over t of the length of (softmax - one-hot given label), in [0, sqrt 2].

    Args:
        probs: [n, E, k], the softmax, with the given label's probability first.
        first: use only this many epochs from the start; None uses all.

    Source: Paul et al., "Deep Learning on a Data Diet: Finding Important Examples Early in
        Training", NeurIPS 2021 (arXiv 2107.07075). They average one early epoch over ten networks;
        here the epochs of one network are averaged.
    """
    probs_stk = _floats(probs)[:, :first]
    squares_st = ((1 - probs_stk[:, :, 0]) ** 2) + (probs_stk[:, :, 1:] ** 2).sum(axis=2)
    return _mean(np.sqrt(squares_st))


def mean_entropy(entropy: ArrayLike) -> Floats:
    """Mean over t of the softmax's entropy in nats, in [0, ln k].

    It does not use the given label: uncertainty is enough to make it high.

    Args:
        entropy: [n, E], as ``softmax_entropy`` gives it.

    Source: uncertainty sampling, as in Settles, "Active Learning Literature Survey", 2009.
    """
    return _mean(_floats(entropy))


def signed_entropy(entropy: ArrayLike, right: NDArray[np.bool_]) -> Floats:
    """Minus the signed entropy integral, in nats, in [-E ln k, E ln k].

    The integral is the sum over t of the entropy, which counts as positive in epochs in which the
    network predicts the given label, and as negative in the others. A right label is soon
    predicted, so its integral is positive. A wrong label is contradicted while the network is
    still unsure, so its integral is negative, and the suspicion, which is minus the integral, is
    high. A network that contradicts a label with certainty adds little.

    Args:
        entropy: [n, E], as ``softmax_entropy`` gives it.
        right: bool [n, E], whether the given label is predicted: p >= q.

    Example::

        >>> tdctl.scores.signed_entropy([[0.7, 0.2], [0.7, 0.2]], [[False, True], [True, True]])
        array([ 0.5, -0.9])
    """
    return np.asarray(np.where(right, -_floats(entropy), _floats(entropy)).sum(axis=1))


def _floats(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _mean(values_st: Floats) -> Floats:
    """Float64 [s]: the mean over the epochs."""
    mean: Floats = values_st.mean(axis=1)
    return mean
