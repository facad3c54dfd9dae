"""Scores from the recorded values: margins, probabilities, losses and the whole softmax.

Each function takes a slab of rows and returns the suspicion, float64 [s]; higher means more likely
mislabeled. In the formulas, t runs over the E epochs, p is the given label's probability, and q is
the largest other probability.
"""

from __future__ import annotations

import numpy as np

from tdctl.scores.curve_values import Floats, Rows

__all__ = [
    "aum",
    "aum_softmax",
    "el2n",
    "entropy",
    "loss_last",
    "loss_mean",
    "p_last",
    "p_mean",
    "variability",
]


def aum(rows: Rows) -> Floats:
    """Minus the mean over t of (given label's logit - largest other logit); any number.

    Source: Pleiss et al., "Identifying Mislabeled Data using the Area Under the Margin Ranking",
        NeurIPS 2020 (arXiv 2001.10528). Its AUM is the negative of this.
    """
    return -_mean(rows.margin)


def aum_softmax(rows: Rows) -> Floats:
    """Mean over t of q - p, in [-1, 1]: AUM with probabilities instead of logits.

    Source: the margin of Pleiss et al. 2020, for files without logits.
    """
    return _mean(rows.other - rows.given)


def p_mean(rows: Rows) -> Floats:
    """Minus the mean over t of p, in [-1, 0].

    cleanlab's self-confidence of the mean softmax is the negative of this, so it ranks the same.

    Source: the confidence of Swayamdipta et al., "Dataset Cartography: Mapping and Diagnosing
        Datasets with Training Dynamics", EMNLP 2020 (arXiv 2009.10795), negated.
    """
    return -_mean(rows.given)


def p_last(rows: Rows) -> Floats:
    """Minus p of the last epoch, in [-1, 0].

    cleanlab's self-confidence of the last softmax is the negative of this, so it ranks the same.
    ``loss_last`` ranks the same too, except for float16 rounding; but it needs a recorded loss.
    """
    return -rows.given[:, -1]


def variability(rows: Rows) -> Floats:
    """Standard deviation of p over t, in [0, 0.5]; divided by E, not by E - 1.

    The direction of this score depends on the run; no other score here has this property. Higher
    counts as more suspicious. This is right if training continues until wrong labels are fitted:
    their curves rise late from 0 to 1 and vary most, while those of right labels rise early and
    stay. If wrong labels are never fitted (in short or regularised training), their curves stay
    low and flat, and then lower would be more suspicious.

    Source: Swayamdipta et al. 2020 (see ``p_mean``). In their data maps, wrong labels are in the
        hard-to-learn corner, with low confidence and low variability.
    """
    return np.asarray(rows.given.std(axis=1), dtype=np.float64)


def loss_mean(rows: Rows) -> Floats:
    """Mean over t of the cross-entropy -ln p in nats, at least 0.

    The loss summed over the epochs is E times this, so it ranks the same.

    Source: the small-loss rule, as in Arazo et al., "Unsupervised Label Noise Modeling and Loss
        Correction", ICML 2019 (arXiv 1904.11238).
    """
    return _mean(rows.loss)


def loss_last(rows: Rows) -> Floats:
    """Cross-entropy -ln p of the last epoch in nats, at least 0.

    It ranks like ``p_last``, but uses the float32 loss instead of the float16 probability.

    Source: the small-loss rule; see ``loss_mean``.
    """
    return rows.loss[:, -1]


def el2n(rows: Rows, first: int | None = None) -> Floats:
    """Mean over t of the length of (softmax - one-hot given label), in [0, sqrt 2].

    Args:
        rows: the slab.
        first: use only this many epochs from the start; None uses all.

    Source: Paul et al., "Deep Learning on a Data Diet: Finding Important Examples Early in
        Training", NeurIPS 2021 (arXiv 2107.07075). They average one early epoch over ten networks;
        here the epochs of one network are averaged.
    """
    probs_stk = rows.probs[:, :first]
    squares_st = ((1 - probs_stk[:, :, 0]) ** 2) + (probs_stk[:, :, 1:] ** 2).sum(axis=2)
    return _mean(np.sqrt(squares_st))


def entropy(rows: Rows) -> Floats:
    """Mean over t of -sum of p_c ln p_c over the classes c, in nats, in [0, ln k].

    It does not use the given label: uncertainty is enough to make it high.

    Source: uncertainty sampling, as in Settles, "Active Learning Literature Survey", 2009.
    """
    probs = rows.probs
    logs = np.log(probs, out=np.zeros_like(probs), where=probs > 0)
    return -_mean((probs * logs).sum(axis=2))


def _mean(values_st: Floats) -> Floats:
    """Float64 [s]: the mean over the epochs."""
    mean: Floats = values_st.mean(axis=1)
    return mean
