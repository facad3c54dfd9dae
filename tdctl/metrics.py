"""How well a ranking finds the flipped labels. Positive class: mislabeled; undefined is None."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Cut", "DetectionMetrics", "cut_at", "detection_metrics"]


@dataclass(frozen=True)
class Cut:
    """Precision, recall and F1 in [0, 1] of calling the samples above a threshold mislabeled.

    ``precision`` is None where nothing is flagged, ``recall`` where nothing is mislabeled.
    """

    flagged: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class DetectionMetrics:
    """AUC and AP of a suspicion score, and two cuts through it; None where undefined.

    Attributes:
        auc: ROC-AUC in [0, 1], 0.5 is chance.
        ap: average precision in [0, 1] (the paper calls it mAP), ``realised_rate`` is chance.
        at_half: suspicion of at least 0.5 is called mislabeled.
        at_realised_rate: as many of the worst as there are flipped labels.
        realised_rate: share of flipped labels.
    """

    auc: float | None
    ap: float | None
    at_half: Cut | None
    at_realised_rate: Cut | None
    realised_rate: float | None

    def to_dict(self) -> dict[str, object]:
        """The metrics as JSON-ready values; undefined ones are None."""
        return asdict(self)


def cut_at(flagged: NDArray[np.bool_], flipped: NDArray[np.bool_]) -> Cut:
    """Precision, recall and F1 of a set of flagged samples against the flipped ones."""
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
        suspicion: float [n], higher means more likely mislabeled. The cut at 0.5 has a meaning
            only for probabilities in [0, 1].
        flipped: bool [n], True where the given label is not the true one.
        worst_first: int64 [n], the rows in the order of a ranking. By default by falling
            suspicion, and by row among equals.

    Returns:
        The figures. All are None where no label is flipped (the truth then counts as unknown)
        or all are.

    Raises:
        ValueError: the two differ in length.

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
