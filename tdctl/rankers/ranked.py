"""The ranking of one run, or of several runs together, and its metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tdctl.cuts import FEW_IMAGES, Estimate
from tdctl.detector.builtin import builtin_name
from tdctl.errors import DynamicsError, TdctlError
from tdctl.labels import Labels
from tdctl.metrics import Cut, DetectionMetrics, cut_at, detection_metrics
from tdctl.rankers.automatic import STRANGE, Automatic, stands_out
from tdctl.rankers.open_ranker import Ranker
from tdctl.rankers.ranker import ByDetector
from tdctl.rankers.recorded_runs import RecordedRuns, fingerprint_of, seen_by
from tdctl.ranking import Ranking, num_removed
from tdctl.run import CONFIG_FILE, read_config
from tdctl.run.class_and_file_names import class_names, file_names
from tdctl.scores import SCORES
from tdctl.slabs import rows_per_slab, slabs_of
from tdctl.training import Report, World

__all__ = ["DetectResult", "Flagged", "rank_recorded", "rank_runs"]


# With an estimated ratio, this share of each given class is always kept.
FLOOR = 0.5
# An interval that reaches further than TIMES the estimate and BEYOND says little: with many images
# it never does.
TIMES, BEYOND = 2.0, 0.05


@dataclass(frozen=True)
class Flagged:
    """The samples above a cut.

    Attributes:
        rows: bool [n], by row of the labels.
        ratio: the share that was requested or estimated, in [0, 1].
        method: what estimated the ratio; None if the user gave it.
        spared: how many samples the floor per class kept.
        keep_per_class: the floor.
        cut: precision, recall and F1; None if the truth is unknown.
    """

    rows: NDArray[np.bool_]
    ratio: float
    method: str | None
    spared: int
    keep_per_class: float
    cut: Cut | None

    def to_dict(self) -> dict[str, Any]:
        """All values except ``rows``, JSON-ready."""
        facts = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "rows"}
        metrics = None if self.cut is None else asdict(self.cut)
        return {**facts, "flagged": int(self.rows.sum()), "cut": metrics}


@dataclass(frozen=True)
class DetectResult:
    """The ranking of a run, or of several runs together, with metrics if the truth is known.

    Attributes:
        table: one row per sample, the most suspicious first. Columns: ``index``, ``file_name``,
            ``given_label``, ``suggested_label``, ``suspicion``, ``rank``; ``true_label`` and
            ``label_flipped`` if flipped labels are known; ``flagged`` if a cut was asked for.
        ranking: suspicion by row of ``labels``; higher means more likely mislabeled.
        labels: given and true labels.
        valid_indices: int64 [m], the samples that the first run held out.
        suggested: int64 [n], by row of ``labels``: the class with the largest mean probability over
            the epochs; the given label if no other class has a larger mean.
        confidence: float64 [n] in [0, 1], that mean probability; None if the runs recorded the
            given label alone, so that nothing is suggested.
        metrics: the metrics; each is None if the truth is unknown.
        in_sample: whether the detector was trained on one of these runs; None if it does not say,
            False for scores.
        fingerprints: hex digests of the runs' dynamics and of the detector's weights.
        ranker: the detector or score that ranked.
        gives_probability: whether the suspicion is P(mislabeled).
        class_names: the names of the classes; numbers as names for runs of other programs.
        recorded: the runs.
        estimates: the estimated share of wrong labels, by the name of the method.
        flagged: the flagged samples; None if no cut was asked for.
        notes: what the user should know about the ranking, one line each.
    """

    table: pd.DataFrame
    ranking: Ranking
    labels: Labels
    valid_indices: NDArray[np.int64]
    suggested: NDArray[np.int64]
    confidence: NDArray[np.float64] | None
    metrics: DetectionMetrics
    in_sample: bool | None
    fingerprints: dict[str, str]
    ranker: Ranker
    gives_probability: bool
    class_names: list[str]
    recorded: RecordedRuns
    estimates: dict[str, Estimate] = field(default_factory=dict)
    flagged: Flagged | None = None
    notes: tuple[str, ...] = ()

    @property
    def runs(self) -> tuple[Path, ...]:
        """The run folders."""
        return self.recorded.folders

    @property
    def label(self) -> str:
        """A folder name for results that are made from this ranking."""
        count = len(self.runs)
        return self.ranker.label + (f"_of{count}runs" if count > 1 else "")

    @property
    def run_facts(self) -> dict[str, Any]:
        """``run``, or ``runs`` if there are several; JSON-ready."""
        names = [str(run) for run in self.runs]
        return {"run": names[0]} if len(names) == 1 else {"runs": names}

    @property
    def ranked_by(self) -> dict[str, str]:
        """What ranked each run: a detector, a score, or both together; JSON-ready."""
        facts = self.ranker.facts
        chosen = self.ranker.chosen if isinstance(self.ranker, Automatic) else {}
        named = str(facts["score"] or facts["detector"])
        return {str(run): chosen.get(run, named) for run in self.runs}

    def above(self, ratio: float | str, keep_per_class: float | None = None) -> Flagged:
        """The samples that a given or estimated ratio drops.

        Args:
            ratio: a number in [0, 1), or the name of a method in ``estimates``.
            keep_per_class: the floor, as in ``tdctl.ranking.num_kept``. By default it is half of
                each class for an estimated ratio, and 0 otherwise.

        Raises:
            ConfigError: the ratio is outside [0, 1) or drops everything, or the floor is not
                valid.
            DynamicsError: the estimate says that all labels are wrong.
        """
        found = self.estimates[ratio] if isinstance(ratio, str) else None
        share = found.rate if found else float(ratio)
        if found and round(share * len(self.labels)) >= len(self.labels):
            raise DynamicsError(
                f"auto:{found.method}: estimates that all labels are wrong, which leaves none to "
                "keep; use another estimate, or name a share"
            )
        floor = (FLOOR if found else 0.0) if keep_per_class is None else keep_per_class
        flagged = found.rows if found else None
        rows = ~self.ranking.kept(share, self.labels.assigned, floor, flagged)
        asked = num_removed(len(rows), share) if flagged is None else int(flagged.sum())
        spared = asked - int(rows.sum())
        known = bool(self.labels.flipped.any())
        cut = cut_at(rows, self.labels.flipped) if known else None
        return Flagged(rows, share, found.method if found else None, spared, floor, cut)


def rank_runs(
    folders: Sequence[Path],
    ranker: Ranker,
    world: World,
    methods: Sequence[str] = (),
    report: Report | None = None,
) -> DetectResult:
    """Ranks one run, or several together, with a detector that is already loaded, or a score.

    The curves are read in slabs. Memory use grows only with the size of the table.

    Args:
        folders: the run folders.
        ranker: the detector or score.
        world: the processes that rank together.
        methods: which estimates of the share of wrong labels to make (``tdctl.cuts.METHODS``).
        report: is told the progress of a long ranking.

    Raises:
        ConfigError: a folder is named twice, or a method does not suit the ranker.
        DynamicsError: a run is missing or malformed, or lacks what the ranker or a method needs,
            or two runs differ in samples or labels.
        DetectorError: the detector gives a constant.
    """
    runs = world.together(lambda: RecordedRuns.read(folders))
    return rank_recorded(runs, ranker, world, methods, report)


def rank_recorded(
    runs: RecordedRuns,
    ranker: Ranker,
    world: World,
    methods: Sequence[str] = (),
    report: Report | None = None,
) -> DetectResult:
    """Ranks runs that are already read; see ``rank_runs``."""
    labels = runs.labels
    suspicion = runs.suspicion(ranker, world, report)
    ranking = Ranking(runs.index, suspicion)
    worst_first = ranking.worst_first()
    metrics = detection_metrics(suspicion, labels.flipped, worst_first)
    estimates = {
        method: runs.estimate(method, ranker, suspicion, labels.flipped, world)
        for method in methods
    }
    prints = runs.prints()
    suggested, confidence = runs.suggestions()
    names = class_names(runs.naming, max(runs.num_classes, 1 + int(labels.true.max())))
    probability = runs.gives_probability(ranker)
    return DetectResult(
        table=_table(runs, ranking, worst_first, suggested, names),
        ranking=ranking,
        labels=labels,
        valid_indices=runs.valid_indices,
        suggested=suggested,
        confidence=confidence if any(d.knows_other_classes for d in runs.dynamics) else None,
        metrics=metrics if probability else replace(metrics, at_half=None),
        in_sample=seen_by(ranker, prints),
        fingerprints={"run": fingerprint_of(prints), **ranker.fingerprints()},
        ranker=ranker,
        gives_probability=probability,
        class_names=names.tolist(),
        recorded=runs,
        estimates=estimates,
        notes=(world.first(lambda: (*_gaps(runs), *_notes(runs, ranker))) or ())
        + _memorised(estimates, len(labels.index), _advice(runs)),
    )


def _memorised(estimates: Mapping[str, Estimate], images: int, advice: str) -> tuple[str, ...]:
    """A note if the curves of few images cannot tell how many labels are wrong.

    Args:
        estimates: by the method that was asked for.
        images: how many are ranked.
        advice: what to do then.
    """
    found = estimates.get("combined")
    if found is None or found.method != "combined" or images > FEW_IMAGES:
        return ()
    if found.high is None or found.high <= TIMES * found.rate + BEYOND:
        return ()
    return (
        f"a network memorises so few images ({images:,}), wrong labels too, so the estimate says "
        f"little (up to {found.high:.0%} of the labels may be wrong); {advice}",
    )


def _advice(runs: RecordedRuns) -> str:
    """What to do if a network memorised the images; the user's own loop has no folds."""
    if any((folder / CONFIG_FILE).exists() for folder in runs.folders):
        return "record the run with --folds 10"
    return "record fewer epochs"


def _gaps(runs: RecordedRuns) -> Iterator[str]:
    """A line for each run in which some epochs did not record all samples."""
    for folder, dynamics in zip(runs.folders, runs.dynamics, strict=True):
        seen = dynamics.recorded
        if seen is not None:
            slabs = slabs_of(len(seen), rows_per_slab(seen))
            share = 1 - sum(int(seen[slice(*slab)].sum()) for slab in slabs) / (
                seen.shape[0] * seen.shape[1]
            )
            yield (
                f"{folder}: {share:.1%} of its values were not recorded, because their epoch left "
                "out the sample; they are those of the epoch before"
            )


def _notes(runs: RecordedRuns, ranker: Ranker) -> tuple[str, ...]:
    """One line for each run that the detector alone does not suit."""
    if isinstance(ranker, Automatic):
        return ranker.notes()
    if not isinstance(ranker, ByDetector) or builtin_name(ranker.file) is None:
        return ()
    found = []
    aum = SCORES["aum"]
    for folder, dynamics in zip(runs.folders, runs.dynamics, strict=True):
        # If the settings of a run cannot be read, the run is still ranked.
        with suppress(TdctlError):
            loss = read_config(folder).train.loss
            if loss in STRANGE:
                found.append(
                    f"{folder} was recorded with --loss {loss}, on whose curves {ranker.file} was "
                    "not trained; in our trials --score loss-mean ranked them better"
                )
        if aum.why_not(dynamics) is None and stands_out(aum(dynamics)):
            found.append(
                f"wrong labels stand out in {folder}: in our trials --score aum ranked such runs "
                f"better than {ranker.file}; without --detector tdctl chooses"
            )
    return tuple(found)


def _table(
    runs: RecordedRuns,
    ranking: Ranking,
    worst_first: NDArray[np.int64],
    suggested: NDArray[np.int64],
    names: NDArray[np.object_],
) -> pd.DataFrame:
    labels = runs.labels
    # Class names as numbers, because two classes may have the same name.
    number, unique = pd.factorize(names)

    def named(classes: NDArray[np.int64]) -> Any:
        ordered = classes[worst_first]
        codes = np.where(ordered < 0, -1, number.astype(np.int32)[ordered])
        return pd.Categorical.from_codes(codes, pd.Index(unique))

    index = runs.index[worst_first]
    columns: dict[str, Any] = {
        "index": index,
        "file_name": file_names(runs.naming, index),
        "given_label": named(labels.assigned),
        "suggested_label": named(suggested),
        "suspicion": ranking.suspicion[worst_first],
        "rank": np.arange(1, len(index) + 1),
    }
    if labels.flipped.any():
        columns["true_label"] = named(labels.true)
        columns["label_flipped"] = labels.flipped[worst_first]
    return pd.DataFrame(columns, copy=False)
