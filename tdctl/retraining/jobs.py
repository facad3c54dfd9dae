"""The retrainings of a denoising: the labels and the run folder of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.config import Config
from tdctl.errors import ConfigError
from tdctl.labels import Labels
from tdctl.rankers.ranked import DetectResult, Flagged
from tdctl.retraining.class_losses import ClassLoss, class_losses
from tdctl.retraining.cleaning import Cleaning, check_cleaning, cleaned
from tdctl.retraining.label_sets import (
    LabelSet,
    all_given,
    clean_subset,
    pruned,
    randomly_removed,
    true_labels,
)
from tdctl.run import RunFolder, Status

__all__ = ["Job", "Retraining", "plan_jobs"]


@dataclass(frozen=True)
class Retraining:
    """One row of the result: the labels of the training, and the errors of the network.

    Attributes:
        kind: ``pruned``, ``relabelled`` or ``reweighted``; or a control: ``all`` (all given
            labels), ``random`` (as many dropped at random as were flagged), ``clean`` (exactly the
            flipped labels dropped) or ``true`` (all samples with their true labels).
        action: ``prune``, ``relabel`` or ``reweight``; None for a control.
        remove_ratio: as requested or estimated; None without one.
        removed, kept: numbers of samples; None while a relabelling waits for the network that
            predicts the new labels.
        relabelled: the number of kept samples with another label than the given one.
        flipped_left: number of wrong labels among the kept; None if the truth is unknown.
        noise_before, noise_after: the shares of wrong labels among all samples, and among the
            kept ones with their new labels; None if the truth is unknown.
        folder: contains the model, the log and the results.
        test_error_last: of the last epoch, in [0, 1]; None without a test set.
        test_error_best: of the epoch that was best on held-out images; None without them.
        best_epoch: that epoch; None without held-out images.
        seconds: duration of the training.
        method: what estimated the ratio; None if the user gave it.
        spared: number of flagged samples that the floor per class kept.
        classes: the classes that lost the largest share of their labels; empty for a control.
    """

    kind: str
    remove_ratio: float | None
    removed: int | None
    kept: int | None
    flipped_left: int | None
    folder: str
    test_error_last: float | None = None
    test_error_best: float | None = None
    best_epoch: int | None = None
    seconds: float | None = None
    method: str | None = None
    spared: int = 0
    action: str | None = None
    relabelled: int | None = 0
    noise_before: float | None = None
    noise_after: float | None = None
    classes: tuple[ClassLoss, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """All values, JSON-ready."""
        return {**vars(self), "classes": [one.to_dict() for one in self.classes]}


class Job:
    """One retraining: its row of the result, its labels, and its run folder.

    Attributes:
        row: its row of the result, without the errors.
        label_set: the labels that it trains on; None while it waits for another job.
        waits_for: the job whose network predicts the labels of ``flagged``; None without one.
        flagged: bool [n], the flagged samples; None for a control that has none.
    """

    def __init__(
        self,
        row: Retraining,
        label_set: LabelSet | None,
        flagged: NDArray[np.bool_] | None = None,
        waits_for: Job | None = None,
    ) -> None:
        self.row, self.label_set = row, label_set
        self.flagged, self.waits_for = flagged, waits_for
        self.folder = RunFolder(Path(row.folder), "denoise")
        self.status: Status = "new"

    @property
    def stage(self) -> str:
        """The name of this retraining in progress reports."""
        ratio = self.row.remove_ratio
        if ratio is None:
            return self.row.kind
        # An estimated ratio has many digits without meaning, so it is not shown.
        return f"{self.row.kind} {ratio:g}" if self.row.method is None else f"{self.row.kind} auto"

    @property
    def labels(self) -> LabelSet:
        """The labels that it trains on; they are known by now."""
        if self.label_set is None:
            raise RuntimeError(f"{self.row.folder}: its labels are not predicted yet")
        return self.label_set

    def open(self, config: Config, labels: Labels, resume: bool, overwrite: bool) -> Status:
        """Finds out what the folder contains; changes nothing.

        Raises:
            RunError: the folder is occupied, or the retraining to resume used other labels.
        """
        self.status = self.folder.open(config, resume, overwrite)
        if self.label_set is not None:
            self.check(labels)
        return self.status

    def check(self, labels: Labels) -> None:
        """Refuses to continue a retraining that used other labels.

        Raises:
            RunError: it used other labels.
        """
        if self.status != "new":
            found = self.labels.fingerprint(labels)
            of = "images, labels or their ranking"
            self.folder.check_same("kept_fingerprint", found, of=of)

    def resolve(self, label_set: LabelSet, detection: DetectResult) -> None:
        """Gives the job its labels, once the network that predicts them is trained."""
        self.label_set = label_set
        self.row = replace(self.row, **_counts(label_set, detection, listed=True))

    def start(self, config: Config, labels: Labels, computation: dict[str, Any]) -> None:
        """Marks the folder as running.

        Raises:
            RunError: the retraining to resume started from other weights.
        """
        if self.goes_on:
            weights = computation["pretrained"]
            self.folder.check_same("pretrained", weights, of="the weights it starts from")
        facts = {
            "kind": self.row.kind,
            "remove_ratio": self.row.remove_ratio,
            "kept": self.row.kept,
            "relabelled": self.row.relabelled,
            "noise_before": self.row.noise_before,
            "noise_after": self.row.noise_after,
            "kept_fingerprint": self.labels.fingerprint(labels),
            "seed": config.seed,
            **computation,
        }
        self.folder.start(config, facts, "unfinished" if self.goes_on else "new")

    def began_with(self) -> dict[str, Any] | None:
        """How the retraining was computed when it began; None if it begins now."""
        return self.folder.began_with() if self.goes_on else None

    @property
    def goes_on(self) -> bool:
        """Whether a retraining that has begun is resumed."""
        return self.status == "unfinished" and self.folder.checkpoint.exists()


def plan_jobs(
    detection: DetectResult,
    ratios: Sequence[float | str],
    baselines: bool,
    base: Path,
    seed: int,
    keep_per_class: float | None = None,
    cleaning: Cleaning | None = None,
    place: Path | None = None,
) -> list[Job]:
    """Plans one retraining per ratio, and the controls if they are requested.

    A relabelling by a retrained network has two jobs: the pruning whose network predicts the new
    labels, and the relabelling that waits for it.

    Args:
        detection: the ranking.
        ratios: numbers in [0, 1), or names of methods in ``detection.estimates``. ``reweight``
            may have none; see ``p_mislabeled``.
        baselines: whether to add ``all``, ``random`` and ``clean``; with ``relabel`` also ``true``.
        base: the folder that will contain the run folders of the controls.
        seed: seed of the random removals.
        keep_per_class: see ``DetectResult.above``.
        cleaning: what is done with the flagged samples; by default they are dropped.
        place: the folder of the other run folders; by default it is named after the ranker.

    Raises:
        ConfigError: a ratio is outside [0, 1) or drops everything, or the floor is not valid or
            has no effect, or the cleaning needs true labels that are unknown.
        DynamicsError: as in ``check_cleaning``.
    """
    cleaning = (Cleaning() if cleaning is None else cleaning).with_floor(detection.runs)
    check_cleaning(cleaning, detection)
    place = base / detection.label if place is None else place
    labels = detection.labels
    jobs: list[Job] = []

    def control(kept: LabelSet, folder: str, of: Flagged | None = None) -> None:
        jobs.append(_job(detection, kept, base / folder, of))

    if baselines:
        control(all_given(labels), "baseline_all")
    if cleaning.action == "reweight":
        if keep_per_class is not None:
            raise ConfigError(
                "keep_per_class: reweight drops nothing, so it has no effect; leave it out"
            )
        shares: Sequence[float | str | None] = ratios or [None]
        jobs += [_reweighting(detection, share, place) for share in shares]
    else:
        for ratio in ratios:
            found = detection.above(ratio, keep_per_class)
            name = _folder_of(found, ratio, keep_per_class)
            jobs += _cleanings(detection, cleaning, found, place, name)
            if baselines:
                count = int(found.rows.sum())
                # With an estimate or a floor, the number of dropped samples depends on the ranker,
                # so the folder's name contains it.
                of = "" if found.method is None and not keep_per_class else f"_{count}"
                drawn = randomly_removed(labels, count, seed)
                control(drawn, f"baseline_random/{name}{of}", found)
    if baselines and labels.flipped.any():
        control(clean_subset(labels), "baseline_clean")
        if cleaning.action == "relabel":
            control(true_labels(labels), "baseline_true")
    return jobs


def _cleanings(
    detection: DetectResult, cleaning: Cleaning, found: Flagged, place: Path, name: str
) -> list[Job]:
    """The pruning or relabelling of the flagged samples, and what it waits for."""
    folder = place / f"{name}{cleaning.suffix}"
    if cleaning.relabel_by != "retrained":
        after = cleaned(cleaning, detection, found.rows)
        return [_job(detection, after, folder, found, cleaning.action)]
    first = pruned(detection.labels, found.rows)
    pruning = _job(detection, first, place / name, found, "prune")
    known = bool(detection.labels.flipped.any())
    row = Retraining(
        "relabelled",
        found.ratio,
        None,
        None,
        None,
        str(folder),
        method=found.method,
        spared=found.spared,
        action=cleaning.action,
        relabelled=None,
        noise_before=float(detection.labels.flipped.mean()) if known else None,
    )
    return [pruning, Job(row, None, found.rows, pruning)]


def _reweighting(detection: DetectResult, ratio: float | str | None, place: Path) -> Job:
    cleaning, found, name = Cleaning("reweight"), None, ""
    if ratio is not None:
        found = detection.above(ratio, 0.0)
        name = _folder_of(found, ratio, None)
    none = np.zeros(len(detection.labels), dtype=np.bool_)
    after = cleaned(cleaning, detection, none, None if found is None else found.ratio)
    folder = f"{name}{cleaning.suffix}".removeprefix("_")
    return _job(detection, after, place / folder, found, "reweight")


def _folder_of(found: Flagged, ratio: float | str, keep_per_class: float | None) -> str:
    folder = f"percremoveauto_{ratio}" if found.method else f"percremove{ratio}"
    return folder if keep_per_class is None else f"{folder}_keep{keep_per_class:g}"


def _job(
    detection: DetectResult,
    after: LabelSet,
    folder: Path,
    of: Flagged | None = None,
    action: str | None = None,
) -> Job:
    counts = _counts(after, detection, listed=action is not None)
    row = Retraining(after.kind, None, folder=str(folder), action=action, **counts)
    if of is not None:
        row = replace(row, remove_ratio=of.ratio, method=of.method, spared=of.spared)
    return Job(row, after, None if of is None else of.rows)


def _counts(after: LabelSet, detection: DetectResult, listed: bool) -> dict[str, Any]:
    """The values of a row that the labels determine."""
    labels = detection.labels
    facts = after.facts(labels)
    facts["flipped_left"] = facts.pop("wrong_left")
    if listed:
        facts["classes"] = class_losses(labels, after, detection.class_names)
    return facts
