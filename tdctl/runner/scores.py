"""How well hand-made scores find the wrong labels of one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tdctl.dynamics import TrainingDynamics, read_run
from tdctl.errors import DynamicsError
from tdctl.labels import Labels
from tdctl.metrics import DetectionMetrics, detection_metrics
from tdctl.ranking import Ranking
from tdctl.scores import Score, scores_of

__all__ = ["JudgedScore", "ScoreTable", "judge_scores"]


@dataclass(frozen=True)
class JudgedScore:
    """The metrics of a score on a run.

    Attributes:
        score: its name.
        metrics: each is None if the truth is unknown; None if the score was left out.
        left_out: what the score needs and the run lacks; None if it was computed.
    """

    score: str
    metrics: DetectionMetrics | None
    left_out: str | None


@dataclass(frozen=True)
class ScoreTable:
    """All scores that were asked for, in that order.

    Attributes:
        samples: number of samples of the run.
        truth_known: whether labels are known to be flipped.
        rows: one per score.
    """

    samples: int
    truth_known: bool
    rows: list[JudgedScore]

    def to_dict(self) -> dict[str, Any]:
        """The table as JSON-ready values."""
        return asdict(self)


def judge_scores(run: Path, scores: Sequence[Score], leave_out: bool = False) -> ScoreTable:
    """Metrics of several scores on one run, from one pass over its dynamics.

    A score that is the same for every sample has AUC 0.5.

    Args:
        run: the run folder.
        scores: the scores.
        leave_out: if the run lacks what a score needs, leave the score out and say why; otherwise
            this is an error.

    Raises:
        DynamicsError: the run is missing or malformed, or lacks what a score needs.
    """
    dynamics, labels, _ = read_run(run)
    lacks = {score.name: score.why_not(dynamics) for score in scores}
    lacking = next((lack for lack in lacks.values() if lack is not None), None)
    if lacking is not None and not leave_out:
        raise DynamicsError(f"{run}: {lacking}")
    found = scores_of(dynamics, [score for score in scores if lacks[score.name] is None])
    rows = []
    for name, lack in lacks.items():
        metrics = None if lack is not None else _judged(dynamics, labels, found[name])
        rows.append(JudgedScore(name, metrics, lack))
    return ScoreTable(len(labels), bool(labels.flipped.any()), rows)


def _judged(dynamics: TrainingDynamics, labels: Labels, suspicion: Any) -> DetectionMetrics:
    worst_first = Ranking(dynamics.index, suspicion).worst_first()
    # The cut at 0.5 has no meaning for a score.
    return replace(detection_metrics(suspicion, labels.flipped, worst_first), at_half=None)
