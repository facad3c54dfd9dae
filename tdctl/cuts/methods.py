"""The estimates by name, and what a user may give instead of a remove ratio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.cuts.evidence import Early, Evidence, Range
from tdctl.cuts.heldout import heldout_range
from tdctl.cuts.joint import joint_rate
from tdctl.cuts.mixture import mean_loss, mixture_rate
from tdctl.cuts.threshold_samples import Thresholds
from tdctl.dynamics import TrainingDynamics
from tdctl.dynamics.store import EVERY_CLASS
from tdctl.errors import ConfigError, DynamicsError
from tdctl.scores import SCORES, late_learned, pred_probs
from tdctl.scores.definition import NO_HELDOUT

__all__ = ["AUTO", "METHODS", "Estimate", "estimate_rate", "ratio_of"]

AUTO = "auto"
DEFAULT = "combined"


@dataclass(frozen=True)
class Estimate:
    """An estimated share of wrong labels, and its error if the truth is known.

    Attributes:
        method: one of ``METHODS``.
        rate: the estimated share of wrong labels, in [0, 1].
        realised: the true share; None if the truth is unknown.
        error: ``rate - realised``; None if the truth is unknown.
        limit: the largest rate that the method can give; None if there is no limit.
        rows: bool [n], the samples that a rule flags, if the run is ranked by the rule's own
            score. If None, a share ``rate`` of the worst samples is flagged.
        low, high: an interval for the rate, in [0, 1]; None if the method has none.
    """

    method: str
    rate: float
    realised: float | None
    error: float | None
    limit: float | None = None
    rows: NDArray[np.bool_] | None = None
    low: float | None = None
    high: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """All values except ``rows``, JSON-ready."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "rows"}


@dataclass(frozen=True)
class Known:
    """What the methods estimate from.

    Attributes:
        dynamics: the dynamics of the run.
        suspicion: float64 [n], by which the run is ranked.
        gives_probability: whether the suspicion is P(mislabeled).
        thresholds: the run's threshold samples; None if it has none.
        probability: float64 [n], P(mislabeled) by the shipped detector; None if it cannot read
            the run.
        early: the run's ``early_part``; None if it has none.
    """

    dynamics: TrainingDynamics
    suspicion: NDArray[np.float64]
    gives_probability: bool
    thresholds: Thresholds | None
    probability: NDArray[np.float64] | None = None
    early: Early | None = None


# Returns the estimate, or the samples that a rule flags.
Method = Callable[[Known], float | Range | NDArray[np.bool_]]


def _combined(known: Known) -> Range:
    if known.probability is None:
        raise DynamicsError(
            "auto:combined: the shipped detector cannot read the run; use auto:mixture"
        )
    return Evidence.of(known.dynamics, known.probability).range_with(known.early)


def _heldout(known: Known) -> Range:
    held = known.dynamics.heldout
    if held is None:
        raise DynamicsError(f"auto:heldout: {NO_HELDOUT}")
    if not held.has_every_class:
        raise DynamicsError(
            f"auto:heldout: needs {EVERY_CLASS}; use auto, or record the run with --store full"
        )
    return heldout_range(held)


def _mixture(known: Known) -> float:
    return mixture_rate(mean_loss(known.dynamics))


def _sum(known: Known) -> float:
    if not known.gives_probability:
        raise ConfigError(
            "auto:sum: needs P(mislabeled), but this ranking gives none (it is by scores, by a "
            "sum, or of several runs); give --detector builtin and one --td, or --cut auto"
        )
    return float(known.suspicion.mean())


def _joint(known: Known) -> float:
    dynamics = known.dynamics
    if not dynamics.has_every_class:
        raise DynamicsError(
            f"auto:joint: needs {EVERY_CLASS}; use auto, or record the run with --store full"
        )
    return joint_rate(pred_probs(dynamics), dynamics.labels[:, 0].astype(np.int64))


def _threshold(known: Known) -> NDArray[np.bool_]:
    if known.thresholds is None:
        raise DynamicsError(
            "auto:threshold: the run has no threshold samples; record it with generate-td "
            "--threshold-samples, or use auto"
        )
    return known.thresholds.flagged()


def _late(known: Known) -> NDArray[np.bool_]:
    score = SCORES[RULES["late"]]
    lack = score.why_not(known.dynamics)
    if lack is not None:
        raise DynamicsError(f"auto:late: {lack}")
    return late_learned(score(known.dynamics), known.dynamics.epochs)


METHODS: dict[str, Method] = {
    DEFAULT: _combined,
    "heldout": _heldout,
    "mixture": _mixture,
    "sum": _sum,
    "joint": _joint,
    "threshold": _threshold,
    "late": _late,
}
# Methods that are rules (they say for each sample whether it is flagged), and their scores.
RULES = {"threshold": "aum", "late": "mean-correct-epoch"}
# From Cantelli's inequality, see ``late_learned``.
LIMITS = {"late": 1 / 26}


def ratio_of(text: float | str) -> float | str:
    """Reads a remove ratio, or the name of a method that estimates it.

    A number is returned as it is. ``auto`` means ``auto:combined``. ``auto:NAME`` gives the name
    of a method:

    - ``combined``: ``Evidence.range_with``, which separates wrong labels from hard images;
    - ``heldout``: ``heldout_range`` of the held-out curves;
    - ``mixture``: ``mixture_rate`` of the mean loss;
    - ``sum``: the mean of a detector's P(mislabeled);
    - ``joint``: ``joint_rate`` of the mean softmax;
    - ``threshold``: the share that ``Thresholds.flagged`` flags;
    - ``late``: the share that ``late_learned`` flags.

    Raises:
        ConfigError: the text is neither a number nor the name of a method.
    """
    if not isinstance(text, str):
        return text
    kind, colon, name = text.partition(":")
    if kind == AUTO and (name if colon else DEFAULT) in METHODS:
        return name or DEFAULT
    try:
        return float(text)
    except ValueError:
        raise ConfigError(
            f"ratio: '{text}' is neither a share in [0, 1) nor one of auto, "
            f"{', '.join(f'{AUTO}:{name}' for name in METHODS)}"
        ) from None


def estimate_rate(
    method: str,
    dynamics: TrainingDynamics,
    suspicion: NDArray[np.float64],
    *,
    gives_probability: bool,
    flipped: NDArray[np.bool_],
    thresholds: Thresholds | None = None,
    score: str | None = None,
    probability: NDArray[np.float64] | None = None,
    early: Early | None = None,
) -> Estimate:
    """Estimates the share of wrong labels by a method.

    Args:
        method: one of ``METHODS``.
        dynamics: the dynamics of the run.
        suspicion: float64 [n], by which the run is ranked; higher means more likely mislabeled.
        gives_probability: whether the suspicion is P(mislabeled).
        flipped: bool [n]; if all are False, the truth counts as unknown.
        thresholds: the run's threshold samples; None if it has none.
        score: the name of the score that ranks; None if a detector ranks.
        probability: float64 [n], P(mislabeled) by the shipped detector, for ``combined``.
        early: the run's ``early_part``, for ``combined``; None if it has none.

    Raises:
        ConfigError: the method does not suit the ranker.
        DynamicsError: the run lacks what the method needs.
    """
    known = Known(dynamics, suspicion, gives_probability, thresholds, probability, early)
    found = METHODS[method](known)
    interval = (found.low, found.high) if isinstance(found, Range) else (None, None)
    rate = found.rate if isinstance(found, Range) else float(np.mean(found))
    realised = float(flipped.mean()) if flipped.any() else None
    error = None if realised is None else rate - realised
    rows = found if isinstance(found, np.ndarray) and RULES[method] == score else None
    return Estimate(method, rate, realised, error, LIMITS.get(method), rows, *interval)
