"""Gives each sample of a run its suspicion: a trained detector, or a hand-made score."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.detector import Detector
from tdctl.detector.builtin import BUILTIN
from tdctl.detector.channels import check_channels
from tdctl.detector.detector_files import detector_label
from tdctl.detector.probe import check_informative
from tdctl.detector.reader import check_readable
from tdctl.dynamics import TrainingDynamics
from tdctl.errors import DynamicsError
from tdctl.scores import Score
from tdctl.slabs import rows_per_slab, slabs_of
from tdctl.training import Report, World

__all__ = ["ByDetector", "ByScore", "all_alike"]

ALIKE = (
    "because it cannot tell the curves of this run apart; use another --detector or a --score, or "
    "record more epochs"
)


@dataclass(frozen=True)
class ByDetector:
    """Ranks by a trained detector; each process scores a part of the curves.

    Attributes:
        file: the detector's file, as the user named it.
        detector: the loaded detector.
        gives_probability: whether the suspicion is P(mislabeled), so that 0.5 is a threshold.
    """

    file: Path
    detector: Detector
    gives_probability: ClassVar[bool] = True

    @property
    def is_shipped(self) -> bool:
        """Whether this is the shipped detector, by the name that the user gave."""
        return str(self.file) == BUILTIN

    @property
    def label(self) -> str:
        """The name of the output folder, as in the paper's code."""
        return f"detector_{detector_label(self.file)}"

    @property
    def facts(self) -> dict[str, str | None]:
        """The file, as the user named it."""
        return {"detector": str(self.file), "score": None}

    def suspicion(
        self, run: Path, dynamics: TrainingDynamics, world: World, report: Report | None = None
    ) -> NDArray[np.float64]:
        """P(mislabeled) of each sample, float64 [n], in [0, 1].

        Every process gets the whole array. The first process reports the progress.

        Raises:
            DynamicsError: all curves are the same, or the run lacks what the detector needs.
            DetectorError: the detector gives the same value for all samples.
        """
        if len(dynamics) > 1 and all_alike(dynamics):
            raise DynamicsError(f"{run}: all curves are the same; there is nothing to rank by")
        part = world.part(0, len(dynamics))

        def scored() -> NDArray[np.float64]:
            told = report if world.is_first else None
            stage = f"ranking {run.name}"
            try:
                return self.detector.score(
                    dynamics, part.start, part.stop, report=told, stage=stage
                )
            except DynamicsError as error:
                raise DynamicsError(f"{run}: {error}") from None

        own = torch.from_numpy(world.together(scored))
        every = world.gather_to_all({"scores": own.to(world.device)})
        scores: NDArray[np.float64] = torch.cat([found["scores"] for found in every]).cpu().numpy()
        # The detector told other curves apart when it was loaded, so this run is the reason.
        check_informative(scores, f"{self.file} on {run}", ALIKE)
        return scores

    def why_not(self, dynamics: TrainingDynamics) -> str | None:
        """What this detector needs and the run lacks; None if it can rank the run."""
        reader = self.detector.reader
        try:
            check_readable(dynamics, reader)
            check_channels(reader.channels, dynamics)
        except DynamicsError as error:
            return f"{self.file}: {error}"
        return None

    def has_seen(self, fingerprint: str) -> bool | None:
        """Whether the detector was trained on the run; None if its file does not say."""
        return self.detector.has_seen(fingerprint)

    def fingerprints(self) -> dict[str, str]:
        """The fingerprint of the detector's weights."""
        return {"detector": self.detector.fingerprint()}


@dataclass(frozen=True)
class ByScore:
    """Ranks by a hand-made score, which needs no training; has the same methods as ``ByDetector``.

    Attributes:
        score: the score.
        gives_probability: False: the suspicion is not P(mislabeled).
    """

    score: Score
    gives_probability: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """The name of the output folder, built like the one of a detector."""
        return f"score_{self.score.name}"

    @property
    def facts(self) -> dict[str, str | None]:
        """The name of the score."""
        return {"detector": None, "score": self.score.name}

    def suspicion(
        self, run: Path, dynamics: TrainingDynamics, world: World, report: Report | None = None
    ) -> NDArray[np.float64]:
        """The score of each sample, float64 [n]; higher means more likely mislabeled.

        Every process computes all of it. It is fast, so nothing is reported.

        Raises:
            DynamicsError: the run lacks what the score needs, or the score is the same for all
                samples.
        """
        return world.together(lambda: self.scored(run, dynamics))

    def scored(self, run: Path, dynamics: TrainingDynamics) -> NDArray[np.float64]:
        """The score of each sample, computed by this process without the others."""
        lack = self.score.why_not(dynamics)
        if lack is not None:
            raise DynamicsError(f"{run}: {lack}")
        try:
            scores = self.score(dynamics)
        except DynamicsError as error:
            raise DynamicsError(f"{run}: {error}") from None
        if len(scores) > 1 and float(np.ptp(scores)) == 0:
            raise DynamicsError(
                f"{run}: the score {self.score.name} is {scores[0]:g} for every sample; there is "
                "nothing to rank by, use another --score"
            )
        return scores

    def why_not(self, dynamics: TrainingDynamics) -> str | None:
        """What this score needs and the run lacks; None if it can rank the run."""
        return self.score.why_not(dynamics)

    def has_seen(self, fingerprint: str) -> bool | None:
        """Always False: a score is not trained."""
        return False

    def fingerprints(self) -> dict[str, str]:
        """Empty: a score has no weights."""
        return {}


def all_alike(dynamics: TrainingDynamics) -> bool:
    """Whether all samples have the same curve."""
    first = dynamics.given_curve(0, 1)
    slabs = slabs_of(len(dynamics), rows_per_slab(dynamics.td))
    return all(bool((dynamics.given_curve(*slab) == first).all()) for slab in slabs)
