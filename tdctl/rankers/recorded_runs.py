"""The runs that are ranked together: one, or several of the same samples and given labels."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tdctl.cuts import Early, Estimate, Thresholds, estimate_rate, judged_by_heldout
from tdctl.detector.ranks import mid_ranks
from tdctl.dynamics import TrainingDynamics, read_run, suggestions_of_all
from tdctl.errors import ConfigError, DynamicsError
from tdctl.labels import Labels
from tdctl.rankers.automatic import Automatic, early_of, probability_of
from tdctl.rankers.open_ranker import Ranker, shipped
from tdctl.rankers.ranker import ByDetector
from tdctl.recorder import goes_on, read_so_far
from tdctl.run.class_and_file_names import names_something
from tdctl.training import Report, World

__all__ = ["RecordedRuns", "fingerprint_of", "seen_by"]


@dataclass(frozen=True)
class RecordedRuns:
    """One or several recordings of the same samples.

    Attributes:
        folders: the run folders.
        dynamics: the dynamics of each run; all have the same order of rows.
        labels: given labels, which are the same in all runs; the true labels come from a run that
            knows them.
        valid_indices: int64 [m], the samples that the first run held out.
        planned: how many epochs the recording is to have, if it is not finished; else None.
    """

    folders: tuple[Path, ...]
    dynamics: tuple[TrainingDynamics, ...]
    labels: Labels
    valid_indices: NDArray[np.int64]
    planned: int | None = None

    @classmethod
    def read(cls, folders: Sequence[Path]) -> RecordedRuns:
        """Opens the runs and checks that they fit together; the dynamics stay in their files.

        Raises:
            ConfigError: a folder is named twice.
            DynamicsError: a run is missing or malformed, or two runs differ in samples or labels.
        """
        places = [folder.resolve() for folder in folders]
        for folder, place in zip(folders, places, strict=True):
            if places.count(place) > 1:
                raise ConfigError(f"td: {folder} is named twice; leave one out")
        found = [read_run(folder) for folder in folders]
        (_, labels, valid), first = found[0], folders[0]
        for folder, (_, others, _) in zip(folders[1:], found[1:], strict=True):
            _check_alike(first, labels, folder, others)
            # A run without flipped labels does not know the true labels.
            if not labels.flipped.any():
                labels, first = others, folder
        return cls(tuple(folders), tuple(dynamics for dynamics, _, _ in found), labels, valid)

    @classmethod
    def so_far(cls, folder: Path) -> RecordedRuns:
        """Opens a run that may not be finished, with the epochs that are over.

        Raises:
            DynamicsError: as ``read``; or the run has no whole epoch yet.
        """
        if not goes_on(folder):
            return cls.read([folder])
        found = read_so_far(folder)
        none = np.zeros(0, dtype=np.int64)
        return cls((folder,), (found.dynamics,), found.labels, none, found.planned)

    @property
    def index(self) -> NDArray[np.int64]:
        """Int64 [n], the index of each row."""
        return self.dynamics[0].index

    @property
    def num_classes(self) -> int:
        """One more than the largest class number in the recordings."""
        return max(dynamics.num_classes for dynamics in self.dynamics)

    @property
    def naming(self) -> Path:
        """The first folder with class or file names; the first folder if none has names."""
        ours = [folder for folder in self.folders if names_something(folder)]
        return (ours or self.folders)[0]

    def gives_probability(self, ranker: Ranker) -> bool:
        """Whether the suspicion is P(mislabeled). With several runs it is a mean rank instead."""
        return ranker.gives_probability and len(self.folders) == 1

    def suspicion(
        self, ranker: Ranker, world: World, report: Report | None = None
    ) -> NDArray[np.float64]:
        """The suspicion of each sample, float64 [n]; higher means more likely mislabeled.

        With one run it is the ranker's suspicion. With several runs it is the mean of their ranks.
        The ranks of a run are scaled to (0, 1), and equal values share their middle rank. So each
        run has the same weight, whatever the scale of its suspicion.

        Raises:
            DynamicsError, DetectorError: as in the ranker.
        """
        pairs = zip(self.folders, self.dynamics, strict=True)
        found = [ranker.suspicion(folder, dynamics, world, report) for folder, dynamics in pairs]
        if len(found) == 1:
            return found[0]
        mean: NDArray[np.float64] = np.mean(
            [mid_ranks(scores) for scores in found], axis=0, dtype=np.float64
        )
        return mean

    def suggested(self) -> NDArray[np.int64]:
        """Int64 [n]: the class with the largest mean probability over the epochs of all runs."""
        return self.suggestions()[0]

    def suggestions(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The classes of ``suggested``, and their mean probabilities, float64 [n] in [0, 1].

        With few images, it is the mean over the runs with held-out curves: networks that have
        memorised a wrong label suggest it.
        """
        read = self.dynamics
        if self.judged_by_heldout:
            judges = filter(judged_by_heldout, read)
            read = tuple(one.heldout for one in judges if one.heldout is not None)
        return read[0].suggestions() if len(read) == 1 else suggestions_of_all(read)

    @property
    def judged_by_heldout(self) -> bool:
        """Whether networks that have not seen a sample judge it, in one of the runs."""
        return any(map(judged_by_heldout, self.dynamics))

    def estimate(
        self,
        method: str,
        ranker: Ranker,
        suspicion: NDArray[np.float64],
        flipped: NDArray[np.bool_],
        world: World,
    ) -> Estimate:
        """Estimates the share of wrong labels; with several runs, the mean of their estimates.

        With few images, ``heldout`` is used for ``combined``, on the runs with held-out curves.
        Otherwise ``combined`` needs the shipped detector. If that detector cannot read a run, the
        method ``mixture`` is used. The estimate has the name of the method that is used.

        Args:
            method: a name in ``tdctl.cuts.METHODS``.
            ranker: what ranked the runs.
            suspicion: float64 [n], higher means more likely mislabeled.
            flipped: bool [n]; all False if the truth is unknown.
            world: the processes.

        Raises:
            ConfigError: the method does not suit the ranker.
            DynamicsError: a run lacks what the method needs.
        """
        judges = [i for i, one in enumerate(self.dynamics) if judged_by_heldout(one)]
        if method == "combined" and 0 < len(judges) < len(self.folders):
            fewer = replace(
                self,
                folders=tuple(self.folders[i] for i in judges),
                dynamics=tuple(self.dynamics[i] for i in judges),
            )
            return fewer.estimate(method, ranker, suspicion, flipped, world)
        thresholds: list[Thresholds | None] = [None] * len(self.folders)
        if method == "threshold":
            pairs = zip(self.folders, self.dynamics, strict=True)
            thresholds = [Thresholds.read(folder, run.index) for folder, run in pairs]
        probabilities: list[NDArray[np.float64] | None] = [None] * len(self.folders)
        early: list[Early | None] = [None] * len(self.folders)
        by = method
        if method == "combined" and self.judged_by_heldout:
            by = "heldout"
        elif method == "combined" and all(one.on_features for one in self.dynamics):
            by = "mixture"  # the shipped detector does not know these curves
        elif method == "combined":
            probabilities = self._probabilities(ranker, suspicion, world)
            by = "mixture" if any(one is None for one in probabilities) else method
            early = self._early(ranker, world) if by == method else early
        each = world.together(
            lambda: self._each(by, ranker, suspicion, flipped, thresholds, probabilities, early)
        )
        if len(each) == 1:
            return each[0]
        rate = math.fsum(found.rate for found in each) / len(each)
        realised = each[0].realised
        error = None if realised is None else rate - realised
        low, high = (_mean_of([getattr(one, end) for one in each]) for end in ("low", "high"))
        return Estimate(by, rate, realised, error, each[0].limit, low=low, high=high)

    def _each(
        self,
        method: str,
        ranker: Ranker,
        suspicion: NDArray[np.float64],
        flipped: NDArray[np.bool_],
        thresholds: Sequence[Thresholds | None],
        probabilities: Sequence[NDArray[np.float64] | None],
        early: Sequence[Early | None],
    ) -> list[Estimate]:
        """The estimate of each run on its own."""
        return [
            estimate_rate(
                method,
                dynamics,
                suspicion,
                gives_probability=self.gives_probability(ranker),
                flipped=flipped,
                thresholds=threshold,
                score=ranker.facts["score"],
                probability=probability,
                early=part,
            )
            for dynamics, threshold, probability, part in zip(
                self.dynamics, thresholds, probabilities, early, strict=True
            )
        ]

    def _probabilities(
        self, ranker: Ranker, suspicion: NDArray[np.float64], world: World
    ) -> list[NDArray[np.float64] | None]:
        """P(mislabeled) by the shipped detector for each run; None for a run it cannot read."""
        if isinstance(ranker, ByDetector) and ranker.is_shipped and len(self.folders) == 1:
            return [suspicion]
        detector = ranker.detector if isinstance(ranker, Automatic) else shipped(world)
        pairs = zip(self.folders, self.dynamics, strict=True)
        return [probability_of(ranker, run, found, detector, world) for run, found in pairs]

    def _early(self, ranker: Ranker, world: World) -> list[Early | None]:
        """The early part of each run that has one."""
        if isinstance(ranker, Automatic) and all(run in ranker.early for run in self.folders):
            return [ranker.early[run] for run in self.folders]
        detector = ranker.detector if isinstance(ranker, Automatic) else shipped(world)
        pairs = zip(self.folders, self.dynamics, strict=True)
        return [early_of(run, found, detector, world) for run, found in pairs]

    def prints(self) -> tuple[str, ...]:
        """The fingerprints of the runs' dynamics."""
        return tuple(dynamics.fingerprint() for dynamics in self.dynamics)


def _mean_of(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if len(known) == len(values) else None


def fingerprint_of(prints: Sequence[str]) -> str:
    """The fingerprint of one run, or one digest of all runs that does not depend on their order."""
    if len(prints) == 1:
        return prints[0]
    return hashlib.sha256("".join(sorted(prints)).encode()).hexdigest()


def seen_by(ranker: Ranker, prints: Sequence[str]) -> bool | None:
    """Whether the ranker was trained on one of the runs; None if that is unknown."""
    seen = [ranker.has_seen(one) for one in prints]
    return True if True in seen else None if None in seen else False


def _check_alike(first: Path, labels: Labels, other: Path, others: Labels) -> None:
    """Refuses a run with other samples or labels than the first; names the first difference."""
    then = "runs that are ranked together must have the same images with the same labels"
    if not np.array_equal(labels.index, others.index):
        index = np.setxor1d(labels.index, others.index)[0]
        has, lacks = (first, other) if index in labels.index else (other, first)
        raise DynamicsError(f"{lacks}: has no index {index}, which {has} has; {then}")
    both = labels.flipped.any() and others.flipped.any()
    kinds = [("given", labels.assigned, others.assigned)]
    kinds += [("true", labels.true, others.true)] if both else []
    for kind, own, found in kinds:
        differ = np.flatnonzero(own != found)
        if len(differ):
            row = differ[0]
            raise DynamicsError(
                f"{other}: the {kind} label of index {labels.index[row]} is {found[row]}, and "
                f"{own[row]} in {first} ({len(differ)} such); {then}"
            )
