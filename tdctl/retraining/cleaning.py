"""What is done with the samples that a ranking flags: prune, relabel or reweight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from tdctl.detector.ranks import mid_ranks
from tdctl.errors import ConfigError, DynamicsError
from tdctl.files import LEFT_OUT_FILE
from tdctl.labels import Labels
from tdctl.rankers.ranked import DetectResult
from tdctl.retraining.label_sets import LabelSet, pruned, relabelled, reweighted

__all__ = [
    "ACTIONS",
    "FLOORS",
    "RELABEL_BY",
    "Action",
    "Cleaning",
    "RelabelBy",
    "check_cleaning",
    "cleaned",
    "cleaning_of",
    "p_mislabeled",
    "with_true_labels",
]

Action = Literal["prune", "relabel", "reweight"]
ACTIONS: tuple[Action, ...] = get_args(Action)
RelabelBy = Literal["mean-softmax", "retrained", "truth"]
RELABEL_BY: tuple[RelabelBy, ...] = get_args(RelabelBy)
Below = Literal["drop", "keep"]
BELOW: tuple[Below, ...] = get_args(Below)
# The default floors for each source of new labels. ``docs/retrain.md`` has the measurements. A mean
# over all epochs gives much lower probabilities than a network at the end of its training.
FLOORS: dict[RelabelBy, float] = {"mean-softmax": 0.4, "retrained": 0.9}
# The default floor after a recording that left samples out: their softmax is a prediction in eval
# mode, which gives higher probabilities than the softmax of a training step.
LEFT_OUT_FLOOR = 0.7
BY, FLOOR, UNDER = "--relabel-by", "--confidence-floor", "--below"


@dataclass(frozen=True)
class Cleaning:
    """What is done with the flagged samples.

    Attributes:
        action: ``prune`` drops them; ``relabel`` gives them another label; ``reweight`` drops
            nothing and multiplies the loss of each sample by 1 - P(mislabeled).
        relabel_by: where the new labels come from: ``mean-softmax``, the class with the largest
            mean softmax over the recorded epochs; ``retrained``, the prediction of a network that
            is trained on the samples that are not flagged; or ``truth``, the true labels. With
            the action ``relabel``, None means ``mean-softmax``.
        confidence_floor: the least probability of the new label, in [0, 1]. None means the
            default; see ``with_floor``.
        below: whether a flagged sample below the floor is dropped or keeps its given label. A
            flagged sample whose suggested label is the given one counts as below the floor. With
            a floor, None means ``drop``.

    Raises:
        ConfigError: a value is unknown or out of range, or an option has no effect on the action.
    """

    action: Action = "prune"
    relabel_by: RelabelBy | None = None
    confidence_floor: float | None = None
    below: Below | None = None

    def __post_init__(self) -> None:
        _one_of("action", self.action, ACTIONS)
        options = {BY: self.relabel_by, FLOOR: self.confidence_floor, UNDER: self.below}
        given = [flag for flag, value in options.items() if value is not None]
        if self.action != "relabel":
            if given:
                raise ConfigError(
                    f"{given[0]}: only --action relabel uses it, and the action is {self.action}; "
                    f"leave out {given[0]}"
                )
            return
        by = "mean-softmax" if self.relabel_by is None else self.relabel_by
        _one_of("relabel_by", by, RELABEL_BY)
        object.__setattr__(self, "relabel_by", by)
        if by == "truth":
            if self.confidence_floor is not None or self.below is not None:
                raise ConfigError(f"{given[-1]}: true labels have no confidence; leave it out")
            return
        floor = self.confidence_floor
        if floor is not None and not (math.isfinite(floor) and 0 <= floor <= 1):
            raise ConfigError(
                f"confidence_floor: {floor} is outside [0, 1]; give a number such as 0.5"
            )
        below = "drop" if self.below is None else self.below
        _one_of("below", below, BELOW)
        object.__setattr__(self, "below", below)

    def with_floor(self, runs: Sequence[Path]) -> Cleaning:
        """The same cleaning with the default floor, if it needs a floor and has none.

        Args:
            runs: the run folders that were ranked. If one of them left samples out, the default
                floor of ``mean-softmax`` is higher.
        """
        if self.relabel_by in (None, "truth") or self.confidence_floor is not None:
            return self
        floor = FLOORS[self.relabel_by]
        unseen = any((run / LEFT_OUT_FILE).exists() for run in runs)
        if self.relabel_by == "mean-softmax" and unseen:
            floor = LEFT_OUT_FLOOR
        return replace(self, confidence_floor=floor)

    @property
    def suffix(self) -> str:
        """The part of a folder name for the action; empty for ``prune``.

        It always contains the floor, so that another default floor gives another folder.
        """
        if self.action == "prune":
            return ""
        if self.action == "reweight":
            return "_reweight"
        if self.relabel_by == "truth":
            return "_relabel-truth"
        floor = "" if self.confidence_floor is None else f"{self.confidence_floor:g}"
        return f"_relabel-{self.relabel_by}_floor{floor}_{self.below}"

    def facts(self) -> dict[str, Any]:
        """The options that have a value, JSON-ready."""
        options = {
            "action": self.action,
            "relabel_by": self.relabel_by,
            "confidence_floor": self.confidence_floor,
            "below": self.below,
        }
        return {name: value for name, value in options.items() if value is not None}


def cleaning_of(
    action: str,
    relabel_by: str | None = None,
    confidence_floor: float | None = None,
    below: str | None = None,
) -> Cleaning:
    """The cleaning for words that a user gave; see ``Cleaning``.

    Raises:
        ConfigError: as ``Cleaning``.
    """
    return Cleaning(
        cast(Action, action),
        cast("RelabelBy | None", relabel_by),
        confidence_floor,
        cast("Below | None", below),
    )


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{name}: '{value}' is unknown; use one of {', '.join(known)}")


def check_cleaning(cleaning: Cleaning, detection: DetectResult) -> None:
    """Refuses an action that the recordings do not allow.

    Raises:
        ConfigError: the cleaning needs the true labels, and they are unknown.
        DynamicsError: the recordings contain only the given label's probability.
    """
    run = detection.runs[0]
    if cleaning.relabel_by == "truth" and not detection.labels.flipped.any():
        raise ConfigError(
            f"relabel_by: truth needs true labels, and no label of {run} is known to be wrong; use "
            "--relabel-by mean-softmax"
        )
    if cleaning.relabel_by == "mean-softmax" and detection.confidence is None:
        raise DynamicsError(
            f"{run}: contains only the probability of the given label, so no other label can be "
            "suggested; use --relabel-by retrained, or record it with --store full"
        )


def cleaned(
    cleaning: Cleaning,
    detection: DetectResult,
    flagged: NDArray[np.bool_],
    share: float | None = None,
) -> LabelSet:
    """The labels after a cleaning that trains no other network.

    Args:
        cleaning: the action; ``retrained`` labels are not made here.
        detection: the ranking of the n samples.
        flagged: bool [n]; not used by ``reweight``.
        share: the share of wrong labels, for ``reweight``; see ``p_mislabeled``.

    Raises:
        ConfigError, DynamicsError: as in ``check_cleaning``, or all weights are 0.
    """
    check_cleaning(cleaning, detection)
    labels, cleaning = (
        detection.labels,
        cleaning.with_floor(detection.runs),
    )
    if cleaning.action == "prune":
        return pruned(labels, flagged)
    if cleaning.action == "reweight":
        weights = 1 - p_mislabeled(detection, share)
        if not weights.any():
            raise ConfigError(
                "reweight: the weight of every sample would be 0; give another --remove-ratio"
            )
        return reweighted(labels, weights)
    if cleaning.relabel_by == "truth":
        return with_true_labels(labels, flagged)
    floor, below = cleaning.confidence_floor or 0.0, cleaning.below or "drop"
    suggested, confidence = detection.suggested, detection.confidence
    return relabelled(labels, flagged, suggested, confidence, floor, below)


def with_true_labels(labels: Labels, flagged: NDArray[np.bool_]) -> LabelSet:
    """The flagged samples get their true label; those whose true label is unknown are dropped.

    Args:
        labels: the labels of the n samples.
        flagged: bool [n].
    """
    known = labels.true >= 0
    assigned = np.where(flagged & known, labels.true, labels.assigned)
    return LabelSet("relabelled", known | ~flagged, assigned)


def p_mislabeled(detection: DetectResult, share: float | None = None) -> NDArray[np.float64]:
    """P(mislabeled) of each sample, float64 [n] in [0, 1].

    Without a share, it is the suspicion of a detector that gives P(mislabeled). With a share r, it
    is made from the ranks: a sample whose suspicion has rank u in (0, 1) gets ``u ** (1 / r - 1)``.
    The mean of this function over uniform ranks is r, so the expected share of wrong labels is r.

    Args:
        detection: the ranking of the n samples.
        share: the share of wrong labels, in (0, 1); needed if the suspicion is not P(mislabeled).

    Raises:
        ConfigError: the share is needed and missing, or outside (0, 1).
    """
    suspicion = detection.ranking.suspicion
    if share is None:
        if not detection.gives_probability:
            raise ConfigError(
                "reweight: this suspicion is not P(mislabeled), so the share of wrong labels is "
                "needed; give --remove-ratio R, --remove-ratio auto, or --detector builtin"
            )
        return np.clip(suspicion, 0.0, 1.0)
    if not 0 < share < 1:
        raise ConfigError(
            f"reweight: the share of wrong labels is {share:g}; expected above 0 and below 1"
        )
    return mid_ranks(suspicion).astype(np.float64) ** (1 / share - 1)
