"""Confident learning with the package cleanlab, for class probabilities of any origin.

The probabilities may come from one run, as a mean over its epochs or from the last epoch. Then the
network has seen the labels that it judges. Or they come from networks that have not seen them.

Shape suffixes: n samples, E epochs, k classes, s rows of a slab.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tdctl.dynamics import TrainingDynamics
from tdctl.errors import ConfigError, DynamicsError
from tdctl.scores.curve_values import Floats, rows_at_once
from tdctl.slabs import slabs_of

__all__ = [
    "NO_CLEANLAB",
    "Quality",
    "cleanlab_missing",
    "issue_rank",
    "label_quality",
    "pred_probs",
]

Quality = Literal["self_confidence", "normalized_margin"]
# cleanlab counts every pair of classes; with this many classes that takes 0.8 GB.
MOST_CLASSES = 10_000
NO_CLEANLAB = "it needs the package cleanlab; pip install 'tdctl[cleanlab]'"


def cleanlab_missing() -> bool:
    """Whether cleanlab is not installed; it is not imported for this check."""
    return find_spec("cleanlab") is None


def pred_probs(dynamics: TrainingDynamics, last: bool = False) -> NDArray[np.float32]:
    """The softmax averaged over the epochs, float32 [n, k]; column c is class c.

    Each row sums to 1, except for rounding of the recorded float16 values.

    Args:
        dynamics: recorded with the store ``full``.
        last: use only the last epoch.
    """
    probs_nk = np.zeros((len(dynamics), dynamics.num_classes), dtype=np.float32)
    for start, stop in slabs_of(len(dynamics), rows_at_once(dynamics)):
        td = dynamics.td[start:stop]
        values_sk = td[:, -1] if last else td.mean(axis=1, dtype=np.float64)
        columns_sk = dynamics.labels[start:stop].astype(np.int64)
        # Values in files of other code may exceed 1 by a rounding error; cleanlab refuses these.
        values_sk = np.minimum(values_sk, 1).astype(np.float32)
        np.put_along_axis(probs_nk[start:stop], columns_sk, values_sk, axis=1)
    return probs_nk


def label_quality(
    pred_probs_nk: NDArray[np.floating], given: NDArray[np.integer], method: Quality
) -> Floats:
    """1 minus cleanlab's label quality, float64 [n] in [0, 1]; higher means more suspicious.

    With p the given label's probability and q the largest other probability, the method
    ``self_confidence`` gives 1 - p, and ``normalized_margin`` gives (1 - p + q) / 2.

    Args:
        pred_probs_nk: [n, k] in [0, 1], column c is class c.
        given: int [n], the given labels.
        method: ``self_confidence`` or ``normalized_margin``.

    Raises:
        ConfigError: cleanlab is not installed.
        DynamicsError: the two arrays do not fit together, or a value is not a probability.

    Source: ``cleanlab.rank.get_label_quality_scores``; Kuan and Mueller, "Model-agnostic label
        quality scoring to detect real-world label errors", 2022.
    """
    given = _checked(pred_probs_nk, given)
    from cleanlab.rank import get_label_quality_scores

    quality = get_label_quality_scores(given, pred_probs_nk, method=method)
    return 1.0 - np.asarray(quality, dtype=np.float64)


def issue_rank(pred_probs_nk: NDArray[np.floating], given: NDArray[np.integer]) -> Floats:
    """Ranks samples off the diagonal of the confident joint first, float64 [n] in [0, 1].

    Higher means more suspicious. With p the given label's probability, it is (1 + 1 - p) / 2 for
    samples that cleanlab calls issues, and (1 - p) / 2 for all others. So issues get at least 0.5,
    and both groups are ranked by self-confidence.

    A sample is an issue if two things hold. Its given label is not the predicted class. And the
    class that it confidently belongs to is another one: among the classes whose probability is at
    least their mean probability on samples with that given label, it is the most probable.

    Args:
        pred_probs_nk: [n, k] in [0, 1], column c is class c.
        given: int [n], the given labels, at least two different ones.

    Raises:
        ConfigError: cleanlab is not installed.
        DynamicsError: as in ``label_quality``; or all given labels are the same; or there are more
            than 10,000 classes, because cleanlab would count every pair of them.

    Source: ``cleanlab.filter.find_label_issues`` with ``filter_by="confident_learning"``;
        Northcutt et al., "Confident Learning: Estimating Uncertainty in Dataset Labels",
        JAIR 2021 (arXiv 1911.00068).
    """
    given = _checked(pred_probs_nk, given)
    worse = label_quality(pred_probs_nk, given, "self_confidence")
    if len(np.unique(given)) < 2:
        raise DynamicsError(f"labels: all are {given[0]}; the confident joint needs two classes")
    if pred_probs_nk.shape[1] > MOST_CLASSES:
        raise DynamicsError(
            f"the confident joint of {pred_probs_nk.shape[1]} classes takes too much memory "
            f"(at most {MOST_CLASSES} classes); use cl-margin"
        )
    from cleanlab.filter import find_label_issues

    # With more than one process, cleanlab would fork, which is not safe if threads are running.
    issue = find_label_issues(given, pred_probs_nk, filter_by="confident_learning", n_jobs=1)
    return (np.asarray(issue, dtype=np.float64) + worse) / 2


def _checked(pred_probs_nk: NDArray[np.floating], given: NDArray[np.integer]) -> NDArray[np.int64]:
    """The labels as int64, because cleanlab computes numbers up to n times k in their type."""
    if cleanlab_missing():
        raise ConfigError(f"confident learning: {NO_CLEANLAB}")
    if pred_probs_nk.ndim != 2 or given.shape != pred_probs_nk.shape[:1] or not len(given):
        raise DynamicsError(
            f"pred_probs {pred_probs_nk.shape} and labels {given.shape} do not fit; expected "
            "[n, k] and [n]"
        )
    if pred_probs_nk.shape[1] < 2 or not 0 <= given.min() <= given.max() < pred_probs_nk.shape[1]:
        raise DynamicsError(
            f"labels {given.min()} to {given.max()} and {pred_probs_nk.shape[1]} columns of "
            "pred_probs do not fit; expected a column for each of two classes or more"
        )
    # NaN fails both comparisons.
    if not (pred_probs_nk.min() >= 0 and pred_probs_nk.max() <= 1 + 1e-6):
        raise DynamicsError("pred_probs holds NaN or values outside [0, 1]; expected probabilities")
    return given.astype(np.int64)
