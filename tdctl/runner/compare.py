"""All scores and detectors on several runs: one table, which a later call goes on with."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tdctl.bootstrap import Figure, judged
from tdctl.dynamics import TrainingDynamics, read_run
from tdctl.errors import ConfigError
from tdctl.labels import Labels
from tdctl.ranking import Ranking
from tdctl.runner.outside import refuse_in_data_of
from tdctl.runner.ranker import ByScore
from tdctl.runner.source import Ranker, Source, open_ranker
from tdctl.runner.table import Compared, ComparedRow, Table
from tdctl.training import World, pick_device

__all__ = ["compare"]

# Recalls from 0 to 1 at which a precision-recall curve is kept.
POINTS = 101


def compare(
    runs: Sequence[Path],
    sources: Sequence[Source],
    *,
    leave_out: bool = True,
    out: Path | None = None,
    bootstrap: int = 200,
    seed: int = 0,
    plots: bool = True,
    overwrite: bool = False,
    device: str = "auto",
    told: Callable[[str], None] | None = None,
) -> Compared:
    """Figures of every score and detector on every run, with bootstrap intervals.

    With ``out``, ``compare.json`` there is written after each row, and a later call takes from it
    every row whose run, truth, weights and version of tdctl are the same; rows that it does not
    ask for stay. ``compare.csv`` and the plots follow at the end.

    Args:
        runs: run folders.
        sources: detector files and scores.
        leave_out: a score or detector that a run cannot serve is left out of its rows and says
            why, in place of an error.
        out: the folder to fill.
        bootstrap: resamples of each interval; 0 for none.
        seed: of the resamples.
        plots: whether to draw precision over recall and the APs.
        overwrite: compute everything anew.
        told: gets a line for each row that was computed.

    Raises:
        ConfigError: nothing is to be compared, or something twice.
        DynamicsError: a run is missing or malformed, or lacks what a score or
            detector needs, where none is left out.
        DetectorError: a detector cannot be read, or gives NaN or a constant.
        RunError: ``out`` holds something else or a table of another bootstrap, or lies in the
            data of a run.
    """
    _check(runs, sources, bootstrap)
    refuse_in_data_of(runs, out)
    world = World(device=pick_device(device))
    with closing(Table.open(out, bootstrap, seed, overwrite)) as table:
        rankers = [open_ranker(source, world) for source in sources]
        _check_names(rankers)
        rows = []
        for run in runs:
            dynamics, labels, _ = read_run(run)
            prints = _fingerprints(dynamics, labels)
            for ranker in rankers:
                row = table.find({**prints, **_of_ranker(ranker)}, run, _name(ranker))
                if row is None:
                    row = _row(
                        run, ranker, dynamics, labels, world, leave_out, bootstrap, seed, prints
                    )
                    if told is not None:
                        told(f"{run}: {row.name}, {row.described()}")
                table.put(row)
                rows.append(row)
        return table.finish(rows, plots)


def _row(
    run: Path,
    ranker: Ranker,
    dynamics: TrainingDynamics,
    labels: Labels,
    world: World,
    leave_out: bool,
    bootstrap: int,
    seed: int,
    prints: dict[str, str],
) -> ComparedRow:
    """One row, computed."""
    lack = ranker.why_not(dynamics)
    figures: dict[str, Figure] | None = None
    curve, seconds = None, None
    if lack is None or not leave_out:
        start = time.perf_counter()
        suspicion = _suspicion(run, ranker, dynamics, world)
        seconds = time.perf_counter() - start
        worst_first = Ranking(dynamics.index, suspicion).worst_first()
        figures = judged(suspicion, labels.flipped, worst_first, bootstrap, seed)
        curve = None if figures is None else _curve(suspicion, labels.flipped)
    return ComparedRow(
        run=str(run),
        name=_name(ranker),
        kind="score" if isinstance(ranker, ByScore) else "detector",
        samples=len(labels),
        epochs=dynamics.epochs,
        realised_rate=float(labels.flipped.mean()) if labels.flipped.any() else None,
        in_sample=ranker.has_seen(prints["run"]),
        left_out=lack,
        seconds=seconds,
        figures=figures,
        curve=curve,
        fingerprints={**prints, **_of_ranker(ranker)},
    )


def _suspicion(
    run: Path, ranker: Ranker, dynamics: TrainingDynamics, world: World
) -> NDArray[np.float64]:
    # A score that is the same for every sample ranks no worse than chance, and stands in the
    # table as such; a detector that does so is broken.
    if isinstance(ranker, ByScore) and ranker.score.why_not(dynamics) is None:
        return ranker.score(dynamics)
    return ranker.suspicion(run, dynamics, world)


def _curve(suspicion: NDArray[np.float64], flipped: NDArray[np.bool_]) -> list[float]:
    """Precision at ``POINTS`` recalls from 0 to 1: the best at this recall or above."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(flipped, suspicion)
    # From falling recall, with an end of precision 1 that no threshold has.
    best = np.maximum.accumulate(precision[:-1])[::-1]
    at = np.searchsorted(recall[:-1][::-1], np.linspace(0, 1, POINTS) - 1e-9)
    return [round(float(value), 4) for value in best[np.minimum(at, len(best) - 1)]]


def _name(ranker: Ranker) -> str:
    return str(ranker.facts["score"] or ranker.facts["detector"])


def _of_ranker(ranker: Ranker) -> dict[str, str]:
    """What says that a detector or score is the same as before."""
    own = {"score": _name(ranker)} if isinstance(ranker, ByScore) else ranker.fingerprints()
    return {**own, "tdctl": version("tdctl")}


def _fingerprints(dynamics: TrainingDynamics, labels: Labels) -> dict[str, str]:
    truth = hashlib.sha256(labels.true.astype("<i8").tobytes())
    prints = {"run": dynamics.fingerprint(), "recorded": dynamics.digest()}
    return prints | {"truth": truth.hexdigest()}


def _check(runs: Sequence[Path], sources: Sequence[Source], bootstrap: int) -> None:
    if not runs or not sources:
        raise ConfigError("compare: name at least one run with --td, and a --score or --detector")
    if bootstrap < 0:
        raise ConfigError(f"bootstrap: {bootstrap} resamples; expected 0 or more, such as 200")
    folders = [run.resolve() for run in runs]
    for run, folder in zip(runs, folders, strict=True):
        if folders.count(folder) > 1:
            raise ConfigError(f"compare: {run} is named twice; leave one out")


def _check_names(rankers: Sequence[Ranker]) -> None:
    names = [_name(ranker) for ranker in rankers]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"compare: {name} is named twice; leave one out")
