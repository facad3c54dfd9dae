"""The retrainings of a denoising: which samples each of them keeps, and its run folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.config import Config
from tdctl.labels import Labels
from tdctl.rankers.ranked import DetectResult, Flagged
from tdctl.run import RunFolder, Status
from tdctl.streams import RANDOM_REMOVAL

__all__ = ["Job", "Retraining", "plan_jobs"]


@dataclass(frozen=True)
class Retraining:
    """One row of the result: what was dropped, and the errors of the network trained on the rest.

    Attributes:
        kind: ``pruned``, or a baseline: ``all`` (nothing dropped), ``random`` (the same number
            dropped at random), ``clean`` (exactly the flipped labels dropped).
        remove_ratio: as requested or estimated; None for ``all`` and ``clean``.
        removed, kept: numbers of samples.
        flipped_left: number of flipped labels among the kept; None if the truth is unknown.
        folder: contains the model, the log and the results.
        test_error_last: of the last epoch, in [0, 1]; None without a test set.
        test_error_best: of the epoch that was best on held-out images; None without them.
        best_epoch: that epoch; None without held-out images.
        seconds: duration of the training.
        method: what estimated the ratio; None if the user gave it.
        spared: number of flagged samples that the floor per class kept.
    """

    kind: str
    remove_ratio: float | None
    removed: int
    kept: int
    flipped_left: int | None
    folder: str
    test_error_last: float | None = None
    test_error_best: float | None = None
    best_epoch: int | None = None
    seconds: float | None = None
    method: str | None = None
    spared: int = 0


class Job:
    """One retraining: its row of the result, the samples that it keeps, and its run folder."""

    def __init__(self, row: Retraining, keep: NDArray[np.bool_]) -> None:
        self.row, self.keep = row, keep
        self.folder = RunFolder(Path(row.folder), "denoise")
        self.status: Status = "new"

    @property
    def stage(self) -> str:
        """The name of this retraining in progress reports."""
        ratio = self.row.remove_ratio
        if ratio is None:
            return self.row.kind
        # An estimated ratio has many digits that say nothing, so it is not shown.
        return f"{self.row.kind} {ratio:g}" if self.row.method is None else f"{self.row.kind} auto"

    def open(self, config: Config, labels: Labels, resume: bool, overwrite: bool) -> Status:
        """Finds out what the folder contains; changes nothing.

        Raises:
            RunError: the folder is occupied, or the retraining to resume used other samples.
        """
        self.status = self.folder.open(config, resume, overwrite)
        if self.status != "new":
            self.folder.check_same("kept_fingerprint", self._kept_fingerprint(labels))
        return self.status

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
            "kept_fingerprint": self._kept_fingerprint(labels),
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

    def _kept_fingerprint(self, labels: Labels) -> str:
        return labels.take(self.keep).fingerprint()


def plan_jobs(
    detection: DetectResult,
    ratios: Sequence[float | str],
    baselines: bool,
    base: Path,
    seed: int,
    keep_per_class: float | None = None,
) -> list[Job]:
    """Plans one retraining per ratio, and the baselines if they are asked for.

    Args:
        detection: the ranking.
        ratios: numbers in [0, 1), or names of methods in ``detection.estimates``.
        baselines: whether to add ``all``, ``random`` and ``clean``.
        base: the folder that will contain the run folders.
        seed: seed of the random removals.
        keep_per_class: see ``DetectResult.above``.

    Raises:
        ConfigError: a ratio is outside [0, 1) or drops everything, or the floor is not valid.
    """
    flipped = detection.labels.flipped
    truth, n = bool(flipped.any()), len(flipped)
    jobs: list[Job] = []

    def add(kind: str, keep: NDArray[np.bool_], folder: Path, of: Flagged | None = None) -> None:
        left = int((flipped & keep).sum()) if truth else None
        kept = int(keep.sum())
        row = Retraining(kind, None, n - kept, kept, left, str(folder))
        if of is not None:
            row = replace(row, remove_ratio=of.ratio, method=of.method, spared=of.spared)
        jobs.append(Job(row, keep))

    if baselines:
        add("all", np.ones(n, dtype=np.bool_), base / "baseline_all")
    for ratio in ratios:
        found = detection.above(ratio, keep_per_class)
        folder = f"percremoveauto_{ratio}" if found.method else f"percremove{ratio}"
        if keep_per_class is not None:
            folder += f"_keep{keep_per_class:g}"
        add("pruned", ~found.rows, base / detection.label / folder, found)
        if baselines:
            drawn = np.ones(n, dtype=np.bool_)
            order = RANDOM_REMOVAL.numpy_generator(seed).permutation(n)
            drawn[order[: int(found.rows.sum())]] = False
            # With an estimate or a floor, the number of dropped samples depends on the ranker, so
            # the folder's name contains it.
            of = "" if found.method is None and not keep_per_class else f"_{found.rows.sum()}"
            add("random", drawn, base / "baseline_random" / (folder + of), found)
    if baselines and truth:
        add("clean", ~flipped, base / "baseline_clean")
    return jobs
