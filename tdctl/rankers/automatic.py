"""What ranks a run where the user names neither a detector nor a score."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tdctl.cuts import Evidence, separation
from tdctl.detector.ranks import mid_ranks
from tdctl.dynamics import TrainingDynamics
from tdctl.errors import DynamicsError, TdctlError
from tdctl.rankers.ranker import ByDetector, ByScore
from tdctl.run import read_config
from tdctl.scores import find_score
from tdctl.training import Report, World

__all__ = ["AUTOMATIC", "STRANGE", "Automatic", "probability_of", "stands_out"]

# What --detector calls it.
AUTOMATIC = "auto"
# Losses whose curves the shipped detectors have not seen: the mean loss ranks them better.
STRANGE = {"gce", "sce", "elr"}
# Components of the AUM so far apart, in standard deviations, are right and wrong labels.
STAND_OUT = 3.5
# With fewer wrong labels than the first AUM ranks, with fewer than the second both do: the detector
# was trained on 5 to 40 %.
VERY_FEW, FEW = 0.07, 0.09
# What is told of a run that AUM ranks because wrong labels stand out.
STANDS_OUT = "aum, as wrong labels stand out"
# How much AUM's ranks count then, beside the detector's.
OF_AUM = 3


@dataclass(frozen=True)
class Automatic:
    """Ranks by the shipped detector, or by a score where that was better in our trials.

    - Runs of the losses gce, sce and elr: by the mean loss, where it is recorded.
    - Runs whose wrong labels stand out (two far components of AUM): by AUM.
    - Runs with few wrong labels by ``Evidence``: by AUM where they are very few, else by the
      detector's and AUM's ranks together.
    - All others: by the detector.

    The rule sees the curves alone, never the truth. It and its numbers come from runs with known
    flips: replication/README.md, "Easy and nearly clean data".

    Attributes:
        detector: the one that ships.
        chosen: of each run that was ranked, what ranked it.
        probabilities: of each run that was ranked, the detector's P(mislabeled), float64 [n].
    """

    detector: ByDetector
    chosen: dict[Path, str] = field(default_factory=dict)
    probabilities: dict[Path, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def gives_probability(self) -> bool:
        """Whether the suspicion of all runs that were ranked is P(mislabeled)."""
        return set(self.chosen.values()) <= {str(self.detector.file)}

    @property
    def label(self) -> str:
        """The name of the folder."""
        return f"detector_{AUTOMATIC}"

    @property
    def facts(self) -> dict[str, str | None]:
        """The name of the choice; ``chosen`` says what it was."""
        return {"detector": AUTOMATIC, "score": None}

    def suspicion(
        self, run: Path, dynamics: TrainingDynamics, world: World, report: Report | None = None
    ) -> NDArray[np.float64]:
        """The suspicion of each sample, float64 [n], higher is worse; every process gets all.

        Raises:
            DynamicsError, DetectorError: as of ``ByDetector``.
        """
        probability = self.detector.suspicion(run, dynamics, world, report)
        self.probabilities[run] = probability
        chosen, suspicion = world.together(lambda: self._choose(run, dynamics, probability))
        self.chosen[run] = chosen
        return suspicion

    def _choose(
        self, run: Path, dynamics: TrainingDynamics, probability: NDArray[np.float64]
    ) -> tuple[str, NDArray[np.float64]]:
        by_loss, by_aum = ByScore(find_score("loss-mean")), ByScore(find_score("aum"))
        if _loss_of(run) in STRANGE and by_loss.why_not(dynamics) is None:
            return "loss-mean", by_loss.scored(run, dynamics)
        name = str(self.detector.file)
        if by_aum.why_not(dynamics) is not None:
            return name, probability
        aum = by_aum.scored(run, dynamics)
        if stands_out(aum):
            return STANDS_OUT, aum
        rate = Evidence.of(dynamics, probability).range().rate
        if rate < VERY_FEW:
            return "aum", aum
        if rate < FEW:
            shared = (mid_ranks(probability) + OF_AUM * mid_ranks(aum)) / (1 + OF_AUM)
            return f"{name} and aum", shared.astype(np.float64)
        return name, probability

    def notes(self) -> tuple[str, ...]:
        """A line for each run that another score than the detector ranked, and why."""
        detector = self.detector.file
        why = {
            STANDS_OUT: "there AUM ranks them better",
            "aum": "few of its labels look wrong, and there AUM ranks them better",
            "loss-mean": f"{detector} was not trained on curves of its loss",
            f"{detector} and aum": "few of its labels look wrong",
        }
        return tuple(
            f"{run} is ranked by {name}: {why[name]}; --detector {detector} ranks by that alone"
            for run, name in self.chosen.items()
            if name in why
        )

    def why_not(self, dynamics: TrainingDynamics) -> str | None:
        """What the run lacks for the detector; None where it serves."""
        return self.detector.why_not(dynamics)

    def has_seen(self, fingerprint: str) -> bool | None:
        """Whether the detector was trained on the run; None where its file does not say."""
        return self.detector.has_seen(fingerprint)

    def fingerprints(self) -> dict[str, str]:
        """Of the detector's weights; the choice follows from these and from the run."""
        return {**self.detector.fingerprints(), "ranker": AUTOMATIC}


def stands_out(aum: NDArray[np.float64]) -> bool:
    """Whether wrong labels stand out in a run: the two components of its AUM are far apart.

    Args:
        aum: float64 [n], the score ``aum`` of each sample.
    """
    return separation(aum) >= STAND_OUT


def _loss_of(run: Path) -> str | None:
    # A run of other code holds no settings; one whose settings do not read is ranked all the same.
    with suppress(TdctlError):
        return read_config(run).train.loss
    return None


def probability_of(
    ranker: object, run: Path, dynamics: TrainingDynamics, detector: ByDetector, world: World
) -> NDArray[np.float64] | None:
    """P(mislabeled) by the shipped detector, as far as it can read the run; float64 [n] or None.

    Args:
        ranker: what ranked the run; what it has computed already is taken over.
    """
    if isinstance(ranker, Automatic) and run in ranker.probabilities:
        return ranker.probabilities[run]
    if detector.why_not(dynamics) is not None:
        return None
    try:
        return detector.suspicion(run, dynamics, world)
    except DynamicsError:
        # All curves are alike: there is nothing to estimate from.
        return None
