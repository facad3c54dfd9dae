"""Rank the samples of a run by suspicion, without retraining."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tdctl.cuts import Estimate, ratio_of
from tdctl.detector.builtin import builtin_name
from tdctl.errors import DynamicsError, TdctlError
from tdctl.labels import Labels
from tdctl.metrics import Cut, DetectionMetrics, cut_at, detection_metrics
from tdctl.ranking import Ranking, num_removed
from tdctl.run import read_config, refuse_existing
from tdctl.runner.automatic import STRANGE, Automatic, stands_out
from tdctl.runner.names import class_names, file_names
from tdctl.runner.outside import refuse_in_data_of
from tdctl.runner.ranker import ByDetector
from tdctl.runner.ranking_files import ranking_files, write_ranking
from tdctl.runner.runs import Runs, fingerprint_of, seen_by
from tdctl.runner.source import Ranker, Source, open_ranker
from tdctl.scores import SCORES
from tdctl.training import Report, World, pick_device

__all__ = ["DetectResult", "Flagged", "detect", "rank_runs"]


# What stays of each given class where an estimate names the ratio.
FLOOR = 0.5


@dataclass(frozen=True)
class Flagged:
    """The samples above a cut.

    Attributes:
        rows: bool [n], by row of the labels.
        ratio: the share that was asked for, or estimated.
        method: what estimated it; None where it was asked for.
        spared: how many a floor per class kept.
        keep_per_class: that floor.
        cut: precision, recall and F1; None where the truth is unknown.
    """

    rows: NDArray[np.bool_]
    ratio: float
    method: str | None
    spared: int
    keep_per_class: float
    cut: Cut | None

    def to_dict(self) -> dict[str, Any]:
        """All but the rows, JSON-ready."""
        facts = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "rows"}
        metrics = None if self.cut is None else asdict(self.cut)
        return {**facts, "flagged": int(self.rows.sum()), "cut": metrics}


@dataclass(frozen=True)
class DetectResult:
    """A ranking of a run, or of several together, and how good it is where the truth is known.

    Attributes:
        table: worst first; ``index, file_name, given_label, suggested_label, suspicion, rank``,
            ``true_label, label_flipped`` where labels are known to be flipped, and ``flagged``
            where a cut was asked for.
        ranking: the same by row of ``labels``.
        labels: given and true labels.
        metrics: None in each place where the truth is unknown.
        in_sample: whether the detector was trained on this run, or any of these; None where it
            does not say, False for scores.
        fingerprints: of the run's dynamics and of the detector's weights.
        ranker: the detector or score that ranked.
        runs: the folders.
        estimates: of the share of wrong labels, by the methods that were asked for.
        flagged: where a cut was asked for.
        notes: what the user should know of the ranking, a line each.
    """

    table: pd.DataFrame
    ranking: Ranking
    labels: Labels
    valid_indices: NDArray[np.int64]
    metrics: DetectionMetrics
    in_sample: bool | None
    fingerprints: dict[str, str]
    ranker: Ranker
    runs: tuple[Path, ...]
    estimates: dict[str, Estimate] = field(default_factory=dict)
    flagged: Flagged | None = None
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name of a folder for what is made of this ranking."""
        count = len(self.runs)
        return self.ranker.label + (f"_of{count}runs" if count > 1 else "")

    @property
    def run_facts(self) -> dict[str, Any]:
        """``run``, or ``runs`` where there are several; JSON-ready."""
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
        """The samples that a ratio, or an estimated one, drops.

        Args:
            ratio: in [0, 1), or the method of one of the estimates.
            keep_per_class: floor as ``tdctl.ranking.num_kept`` takes it; by default half of each
                class where the ratio is an estimate, else none.

        Raises:
            ConfigError: the ratio is outside [0, 1) or drops everything, or the floor is none.
            DynamicsError: the estimate is that all labels are wrong.
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


def detect(
    runs: Path | Sequence[Path],
    source: Source,
    *,
    out: Path | None = None,
    cut: float | str | None = None,
    keep_per_class: float | None = None,
    overwrite: bool = False,
    device: str = "auto",
    report: Report | None = None,
    world: World | None = None,
) -> DetectResult:
    """Ranks a run, or several together, and writes the table where ``out`` is given.

    Beside a CSV stands the same as JSON; see ``tdctl.runner.ranking_files``.

    Args:
        runs: a run folder; or several of the same samples and given labels, of which each is
            ranked alone and the suspicion is the mean of its ranks, scaled to (0, 1).
        source: the detector's file, ``Path("auto")`` for the choice that ``Automatic`` makes, or
            a score (``tdctl.scores.find_score`` knows them by name).
        cut: a share to flag, or ``auto``, as ``tdctl.cuts.ratio_of`` takes it.
        keep_per_class: what is not flagged of each given class; see ``DetectResult.above``.
        report: told how far a long ranking is.
        world: the processes that score a part of the curves each; they all read the run, and
            the first one writes. Without it, this process on ``device``.

    Raises:
        ConfigError: the cut is none, or does not go with what ranks.
        DynamicsError: a run is missing or malformed, lacks what the score or the cut needs, or
            is of other samples or labels than the first.
        DetectorError: the detector cannot be read or gives a constant.
        RunError: ``out`` is there already, or lies in the data of a run.
    """
    world = World(device=pick_device(device)) if world is None else world

    def write() -> None:
        if out is not None:
            write_ranking(out, result)

    ratio = None if cut is None else ratio_of(cut)
    world.first(lambda: refuse_existing([] if out is None else ranking_files(out), overwrite))
    folders = [runs] if isinstance(runs, Path) else runs
    world.first(lambda: refuse_in_data_of(folders, out))
    ranker = world.together(lambda: open_ranker(source, world))
    methods = [ratio] if isinstance(ratio, str) else []
    result = rank_runs(folders, ranker, world, methods, report)
    if ratio is not None:
        flagged = result.above(ratio, keep_per_class)
        table = result.table.assign(flagged=flagged.rows[result.ranking.worst_first()])
        result = replace(result, table=table, flagged=flagged)
    world.first(write)
    return result


def rank_runs(
    folders: Sequence[Path],
    ranker: Ranker,
    world: World,
    methods: Sequence[str] = (),
    report: Report | None = None,
) -> DetectResult:
    """Ranks one run, or several together, with a detector that is loaded already, or a score.

    The curves are read slab by slab: memory grows by some columns of the table alone.

    Args:
        methods: which estimates of the share of wrong labels to make (``tdctl.cuts.METHODS``).
        report: told how far a long ranking is.
    """
    runs = world.together(lambda: Runs.read(folders))
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
    return DetectResult(
        table=_table(runs, ranking, worst_first),
        ranking=ranking,
        labels=labels,
        valid_indices=runs.valid_indices,
        metrics=metrics if runs.gives_probability(ranker) else replace(metrics, at_half=None),
        in_sample=seen_by(ranker, prints),
        fingerprints={"run": fingerprint_of(prints), **ranker.fingerprints()},
        ranker=ranker,
        runs=runs.folders,
        estimates=estimates,
        notes=world.first(lambda: _notes(runs, ranker)) or (),
    )


def _notes(runs: Runs, ranker: Ranker) -> tuple[str, ...]:
    """A line for each run that the detector alone does not suit."""
    if isinstance(ranker, Automatic):
        return ranker.notes()
    if not isinstance(ranker, ByDetector) or builtin_name(ranker.file) is None:
        return ()
    found = []
    aum = SCORES["aum"]
    for folder, dynamics in zip(runs.folders, runs.dynamics, strict=True):
        # A run whose settings do not read is ranked all the same.
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


def _table(runs: Runs, ranking: Ranking, worst_first: NDArray[np.int64]) -> pd.DataFrame:
    labels = runs.labels
    names = class_names(runs.naming, max(runs.num_classes, 1 + int(labels.true.max())))
    # A number a row instead of a name; two classes may bear the same.
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
        "suggested_label": named(runs.suggested()),
        "suspicion": ranking.suspicion[worst_first],
        "rank": np.arange(1, len(index) + 1),
    }
    if labels.flipped.any():
        columns["true_label"] = named(labels.true)
        columns["label_flipped"] = labels.flipped[worst_first]
    return pd.DataFrame(columns, copy=False)
