"""Scores of the values themselves: margins, probabilities, losses and the whole softmax.

Each takes a slab of rows and gives its suspicion, float64 [s], higher is worse. In the formulas
t runs over the E epochs, p is the given label's probability, q the largest other.
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
    """Mean over t of q - p, in [-1, 1]: AUM with probabilities in place of logits.

    Source: the margin of Pleiss et al. 2020, for files that hold no logits.
    """
    return _mean(rows.other - rows.given)


def p_mean(rows: Rows) -> Floats:
    """Minus the mean over t of p, in [-1, 0].

    Source: the confidence of Swayamdipta et al., "Dataset Cartography: Mapping and Diagnosing
        Datasets with Training Dynamics", EMNLP 2020 (arXiv 2009.10795), negated. On the mean
        softmax, cleanlab's self-confidence is its negative, hence the same ranking.
    """
    return -_mean(rows.given)


def p_last(rows: Rows) -> Floats:
    """Minus p of the last epoch, in [-1, 0].

    On the last softmax, cleanlab's self-confidence is its negative, hence the same ranking. So is
    that of ``loss_last``, but for what float16 rounds away; this one needs no recorded loss.
    """
    return -rows.given[:, -1]


def variability(rows: Rows) -> Floats:
    """Standard deviation of p over t, in [0, 0.5]; divided by E, not by E - 1.

    Higher counts as worse: where training goes on until wrong labels are fitted, their curves
    climb late from 0 to 1 and vary most, while those of right labels rise at once and stay. Where
    they are never fitted (short or regularised training) they lie low and flat, and the direction
    turns: it is the one score here whose direction depends on the run.

    Source: Swayamdipta et al. 2020 (see ``p_mean``), where the hard-to-learn corner that holds
        the wrong labels has low confidence and low variability.
    """
    return np.asarray(rows.given.std(axis=1), dtype=np.float64)


def loss_mean(rows: Rows) -> Floats:
    """Mean over t of the cross-entropy -ln p in nats, at least 0.

    The loss summed over the epochs is E times this, hence the same ranking.

    Source: the small-loss rule, as in Arazo et al., "Unsupervised Label Noise Modeling and Loss
        Correction", ICML 2019 (arXiv 1904.11238).
    """
    return _mean(rows.loss)


def loss_last(rows: Rows) -> Floats:
    """Cross-entropy -ln p of the last epoch in nats, at least 0.

    The ranking of ``p_last``, with the float32 of the loss in place of the float16 of p.

    Source: the small-loss rule; see ``loss_mean``.
    """
    return rows.loss[:, -1]


def el2n(rows: Rows, first: int | None = None) -> Floats:
    """Mean over t of the length of (softmax - one-hot given label), in [0, sqrt 2].

    Args:
        first: epochs that count, from the beginning; by default, or where there are fewer, all.

    Source: Paul et al., "Deep Learning on a Data Diet: Finding Important Examples Early in
        Training", NeurIPS 2021 (arXiv 2107.07075). It averages one early epoch of ten networks;
        here one network's epochs are averaged.
    """
    probs_stk = rows.probs[:, :first]
    squares_st = ((1 - probs_stk[:, :, 0]) ** 2) + (probs_stk[:, :, 1:] ** 2).sum(axis=2)
    return _mean(np.sqrt(squares_st))


def entropy(rows: Rows) -> Floats:
    """Mean over t of -sum of p_c ln p_c over the classes c, in nats, in [0, ln k].

    It does not look at the given label: doubt alone makes it high.

    Source: uncertainty sampling, as in Settles, "Active Learning Literature Survey", 2009.
    """
    probs = rows.probs
    logs = np.log(probs, out=np.zeros_like(probs), where=probs > 0)
    return -_mean((probs * logs).sum(axis=2))


def _mean(values_st: Floats) -> Floats:
    """Float64 [s]: the mean over the epochs."""
    mean: Floats = values_st.mean(axis=1)
    return mean
