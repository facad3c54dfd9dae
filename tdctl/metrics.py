"""How well a ranking finds flipped labels. The positive class is "mislabeled"."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Cut", "DetectionMetrics", "cut_at", "detection_metrics"]


@dataclass(frozen=True)
class Cut:
    """Precision, recall and F1, in [0, 1], of calling the flagged samples mislabeled.

    Attributes:
        flagged: how many samples are flagged.
        precision: share of the flagged samples that are mislabeled; None if none is flagged.
        recall: share of the mislabeled samples that are flagged; None if none is mislabeled.
        f1: harmonic mean of the two; None if nothing is flagged and nothing is mislabeled.
    """

    flagged: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class DetectionMetrics:
    """AUC and AP of a suspicion, and the figures of two cuts; undefined values are None.

    Attributes:
        auc: ROC-AUC in [0, 1]; 0.5 is chance.
        ap: average precision in [0, 1] (the paper calls it mAP); ``realised_rate`` is chance.
        at_half: the cut that flags samples with a suspicion of at least 0.5.
        at_realised_rate: the cut that flags as many samples as there are flipped labels.
        realised_rate: the share of flipped labels.
    """

    auc: float | None
    ap: float | None
    at_half: Cut | None
    at_realised_rate: Cut | None
    realised_rate: float | None

    def to_dict(self) -> dict[str, object]:
        """The metrics as JSON-ready values; undefined values are None."""
        return asdict(self)


def cut_at(flagged: NDArray[np.bool_], flipped: NDArray[np.bool_]) -> Cut:
    """Precision, recall and F1 of a set of flagged samples.

    Args:
        flagged: bool [n], True for flagged samples.
        flipped: bool [n], True if the given label is not the true label.
    """
    hits = int((flagged & flipped).sum())
    called, wrong = int(flagged.sum()), int(flipped.sum())
    return Cut(
        flagged=called,
        precision=hits / called if called else None,
        recall=hits / wrong if wrong else None,
        f1=2 * hits / (called + wrong) if called + wrong else None,
    )


def detection_metrics(
    suspicion: ArrayLike,
    flipped: ArrayLike,
    worst_first: NDArray[np.int64] | None = None,
) -> DetectionMetrics:
    """How well a suspicion finds the flipped labels.

    Args:
        suspicion: float [n], higher means more likely mislabeled. The cut at 0.5 makes sense only
            for probabilities in [0, 1].
        flipped: bool [n], True if the given label is not the true label.
        worst_first: int64 [n], the rows in the order of a ranking. By default the order is by
            falling suspicion, and equal ones by row.

    Returns:
        The metrics. All are None if no label is flipped (the truth is then taken as unknown) or
        if all labels are flipped.

    Raises:
        ValueError: the two arrays differ in length, or are not one-dimensional.

    Example::

        >>> detection_metrics([0.9, 0.1, 0.8], [True, False, False]).auc
        1.0
    """
    suspicion = np.asarray(suspicion, dtype=np.float64)
    flipped = np.asarray(flipped, dtype=np.bool_)
    if suspicion.shape != flipped.shape or suspicion.ndim != 1:
        raise ValueError(
            f"suspicion {suspicion.shape} and flipped {flipped.shape}: expected two arrays [n]"
        )
    if worst_first is None:
        worst_first = np.argsort(-suspicion, kind="stable")
    count = int(flipped.sum())
    if count in (0, len(flipped)):
        return DetectionMetrics(None, None, None, None, None)
    from sklearn.metrics import average_precision_score, roc_auc_score

    worst = np.zeros(len(flipped), dtype=np.bool_)
    worst[worst_first[:count]] = True
    return DetectionMetrics(
        auc=float(roc_auc_score(flipped, suspicion)),
        ap=float(average_precision_score(flipped, suspicion)),
        at_half=cut_at(suspicion >= 0.5, flipped),
        at_realised_rate=cut_at(worst, flipped),
        realised_rate=count / len(flipped),
    )
