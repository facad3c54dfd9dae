"""The retrainings of a denoising: which samples each keeps, and its run folder."""

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
        kind: ``pruned``, or a baseline: ``all`` (nothing dropped), ``random`` (as many dropped
            at random), ``clean`` (exactly the flipped dropped).
        remove_ratio: as asked for or estimated; None for ``all`` and ``clean``.
        removed, kept: samples.
        flipped_left: flipped labels among the kept; None where the truth is unknown.
        test_error_last: of the last epoch, in [0, 1]; None without a test set.
        test_error_best: of the epoch that was best on held-out images; None without any.
        folder: where model, log and results are.
        method: what estimated the ratio; None where it was asked for.
        spared: samples that a floor per class kept, though they are among the worst.
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
    """One retraining: its row of the result, the samples it keeps, and its run folder."""

    def __init__(self, row: Retraining, keep: NDArray[np.bool_]) -> None:
        self.row, self.keep = row, keep
        self.folder = RunFolder(Path(row.folder), "denoise")
        self.status: Status = "new"

    @property
    def stage(self) -> str:
        """What the progress calls it."""
        ratio = self.row.remove_ratio
        if ratio is None:
            return self.row.kind
        # An estimate has all digits of a float, of which none tells anything beyond the third.
        return f"{self.row.kind} {ratio:g}" if self.row.method is None else f"{self.row.kind} auto"

    def open(self, config: Config, labels: Labels, resume: bool, overwrite: bool) -> Status:
        """Finds out what the folder holds; changes nothing.

        Raises:
            RunError: it is occupied, or what is to be resumed was trained on other samples.
        """
        self.status = self.folder.open(config, resume, overwrite)
        if self.status != "new":
            self.folder.check_same("kept_fingerprint", self._kept_fingerprint(labels))
        return self.status

    def start(self, config: Config, labels: Labels, computation: dict[str, Any]) -> None:
        """Marks the folder as running.

        Raises:
            RunError: what is resumed started from other weights.
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
        """How the retraining was computed when it began; None where it begins now."""
        return self.folder.began_with() if self.goes_on else None

    @property
    def goes_on(self) -> bool:
        """Whether a retraining that began is gone on with."""
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
    """One retraining a ratio, and the baselines where they are asked for.

    Args:
        ratios: in [0, 1), or methods of the detection's estimates.
        keep_per_class: see ``DetectResult.above``.

    Raises:
        ConfigError: a ratio is outside [0, 1) or drops everything, or the floor is none.
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
            # How many an estimate drops, or a floor spares, depends on what ranks.
            of = "" if found.method is None and not keep_per_class else f"_{found.rows.sum()}"
            add("random", drawn, base / "baseline_random" / (folder + of), found)
    if baselines and truth:
        add("clean", ~flipped, base / "baseline_clean")
    return jobs
