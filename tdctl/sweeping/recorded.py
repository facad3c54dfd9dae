"""A recording of a sweep: its rankings, each computed once, and the labels for its rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from tdctl.cuts import ratio_of
from tdctl.dynamics import read_run
from tdctl.errors import ConfigError, DataError
from tdctl.metrics import detection_metrics
from tdctl.rankers import ByScore, DetectResult, Flagged, Source, open_ranker, rank_runs
from tdctl.retraining import Cleaning, cleaned
from tdctl.retraining.label_sets import (
    LabelSet,
    all_given,
    clean_subset,
    randomly_removed,
    true_labels,
)
from tdctl.scores import SCORES, find_score, score_names
from tdctl.sweeping.rows import Row
from tdctl.sweeping.sweep_file import BEST_SCORE
from tdctl.training import World

__all__ = ["RANKER", "Made", "Recorded", "source_of"]

# The key of the detector's fingerprint in the result of a row.
RANKER = "detector_fingerprint"
REALISED = "realised"
# A reweighting flags nothing.
_NONE = np.zeros(0, dtype=np.bool_)


class Made(NamedTuple):
    """The labels for a row, and facts for its result.

    Attributes:
        label_set: the labels of the training.
        facts: how they were made, JSON-ready.
    """

    label_set: LabelSet
    facts: dict[str, Any]


def source_of(name: str) -> Source:
    """The score or the detector with a name; ``best-score`` is neither."""
    return find_score(name) if name in score_names() else Path(name)


class Recorded:
    """A finished recording.

    Args:
        folder: its run folder.
        world: this process.
    """

    def __init__(self, folder: Path, world: World) -> None:
        self._folder, self._world = folder, world
        self.dynamics, self.labels, _ = read_run(folder)
        self._found: dict[tuple[str, str | None], DetectResult] = {}

    def make(self, row: Row) -> Made:
        """The labels for a row.

        Raises:
            ConfigError: the ratio drops everything or empties a class.
            DataError: the row needs the truth, which is unknown.
        """
        labels = self.labels
        if row.labels == "all":
            return Made(all_given(labels), {})
        if row.labels in ("clean", "true"):
            self._check_truth(f"labels '{row.labels}'")
            return Made((clean_subset if row.labels == "clean" else true_labels)(labels), {})
        if row.labels == "random" and row.detector is None:
            return Made(randomly_removed(labels, self._count(row), row.seed), {})
        return self._by_ranking(row)

    def _by_ranking(self, row: Row) -> Made:
        labels = self.labels
        detection = self._detection(row.detector or "auto", _method_of(row.remove_ratio))
        facts = self._facts(detection)
        if row.labels == "reweight":
            share = None
            if row.remove_ratio is not None and not detection.gives_probability:
                share = self._flagged(detection, row).ratio
                facts["remove_share"] = share
            return Made(cleaned(Cleaning("reweight"), detection, _NONE, share), facts)
        found = self._flagged(detection, row)
        facts |= {"remove_share": found.ratio, "spared": found.spared}
        if found.cut is not None:
            facts |= {"precision": found.cut.precision, "recall": found.cut.recall}
        if row.labels == "random":
            return Made(randomly_removed(labels, int(found.rows.sum()), row.seed), facts)
        cleaning = Cleaning(
            "prune" if row.labels == "prune" else "relabel",
            cast(Any, row.relabel_by),
            row.confidence_floor,
            cast(Any, row.below),
        )
        made = cleaned(cleaning, detection, found.rows)
        self._check_classes(made, row)
        return Made(made, facts)

    def _count(self, row: Row) -> int:
        """The number of samples that a ratio drops, if it needs no ranking."""
        return round(self._share(str(row.remove_ratio)) * len(self.labels))

    def _share(self, ratio: str) -> float:
        if not ratio.startswith(REALISED):
            return float(ratio)
        self._check_truth(f"remove_ratio '{ratio}'")
        share = float(self.labels.flipped.mean()) + float(ratio.removeprefix(REALISED) or 0)
        if not 0 < share < 1:
            raise ConfigError(
                f"remove_ratio: '{ratio}' is {share:.3f} of the samples here; expected a share "
                "between 0 and 1"
            )
        return share

    def _flagged(self, detection: DetectResult, row: Row) -> Flagged:
        ratio = str(row.remove_ratio)
        return detection.above(_method_of(ratio) or self._share(ratio), row.keep_per_class)

    def _detection(self, name: str, method: str | None) -> DetectResult:
        key = (name, method)
        if key not in self._found:
            source = self._best_score() if name == BEST_SCORE else source_of(name)
            ranker = open_ranker(source, self._world)
            methods = [] if method is None else [method]
            self._found[key] = rank_runs([self._folder], ranker, self._world, methods)
        return self._found[key]

    def _best_score(self) -> Source:
        """The hand-made score with the highest AP, known only in hindsight."""
        self._check_truth(f"detector '{BEST_SCORE}'")
        aps = {}
        for score in SCORES.values():
            by = ByScore(score)
            if by.why_not(self.dynamics) is None:
                suspicion = by.suspicion(self._folder, self.dynamics, self._world)
                if suspicion.min() < suspicion.max():  # the same value everywhere ranks nothing
                    aps[score.name] = detection_metrics(suspicion, self.labels.flipped).ap or 0.0
        if not aps:
            raise DataError(
                f"{self._folder}: each score has the same value for all samples; train longer"
            )
        return find_score(max(aps, key=lambda name: aps[name]))

    def _facts(self, detection: DetectResult) -> dict[str, Any]:
        metrics = detection.metrics
        return {
            "ranked_by": next(iter(detection.ranked_by.values())),
            "in_sample": detection.in_sample,
            "auc": metrics.auc,
            "ap": metrics.ap,
            RANKER: detection.ranker.fingerprints().get("detector"),
        }

    def _check_truth(self, what: str) -> None:
        if not self.labels.flipped.any():
            raise DataError(
                f"{what} needs the truth, and no label of {self._folder} is known to be wrong; "
                "leave it out (controls: false leaves out all controls), or give the true labels"
            )

    def _check_classes(self, made: LabelSet, row: Row) -> None:
        """Refuses a cleaning that leaves no sample of a class."""
        lost = np.setdiff1d(self.labels.assigned, made.assigned[made.keep])
        if len(lost):
            raise ConfigError(
                f"remove_ratio: '{row.remove_ratio}' drops all samples of class {lost[0]} "
                f"({len(lost)} such classes); give a smaller ratio, or keep_per_class"
            )


def _method_of(ratio: str | None) -> str | None:
    """The method that estimates a ratio; None for a number."""
    if ratio is None or not ratio.startswith("auto"):
        return None
    return str(ratio_of(ratio))
