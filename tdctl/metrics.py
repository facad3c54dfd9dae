"""How well a ranking finds the flipped labels. Positive class: mislabeled; undefined is None."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

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
    suspicion: NDArray[np.float64],
    flipped: NDArray[np.bool_],
    worst_first: NDArray[np.int64],
) -> DetectionMetrics:
    """Metrics of a suspicion score in which higher means more likely mislabeled.

    Args:
        suspicion: [n], in [0, 1] for the cut at 0.5 to mean anything.
        flipped: bool [n]; where all are False the truth counts as unknown, and where all are
            True there is nothing to tell apart: all is None.
        worst_first: int64 [n], the rows in the order of the ranking, ties broken as it does.
    """
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
