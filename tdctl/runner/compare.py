"""Compares scores and detectors on several runs, in one table that a later call can extend."""

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
from tdctl.compare_table import Compared, ComparedRow, CompareTable
from tdctl.dynamics import TrainingDynamics, read_run
from tdctl.errors import ConfigError
from tdctl.labels import Labels
from tdctl.rankers.open_ranker import Ranker, Source, open_ranker
from tdctl.rankers.ranker import ByScore
from tdctl.ranking import Ranking
from tdctl.run.outside import refuse_in_data_of
from tdctl.training import World, pick_device

__all__ = ["compare"]

# A precision-recall curve is kept at this many recalls from 0 to 1.
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
    """Computes the metrics of every score and detector on every run, with bootstrap intervals.

    With ``out``, the table ``compare.json`` is written after each row. A later call takes over
    every row with the same run, true labels, weights and version of tdctl. It keeps the rows that
    it does not ask for. ``compare.csv`` and the plots are written at the end.

    Args:
        runs: run folders.
        sources: detector files and scores.
        leave_out: if a run lacks what a score or detector needs, leave that row out and say why;
            otherwise this is an error.
        out: the folder for the files; None writes none.
        bootstrap: number of resamples for each interval; 0 gives no intervals.
        seed: seed of the resamples.
        plots: whether to plot precision over recall and the APs.
        overwrite: compute all rows again.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        told: is called with one line for each computed row.

    Returns:
        The rows, and their means over the runs.

    Raises:
        ConfigError: nothing is to be compared, or something is named twice.
        DynamicsError: a run is missing or malformed; or it lacks what a score or detector needs
            and ``leave_out`` is False.
        DetectorError: a detector cannot be read, or gives NaN or a constant.
        RunError: ``out`` contains something else, or a table with another bootstrap, or is inside
            the data of a run.

    Example::

        >>> scores = [tdctl.scores.find_score(name) for name in ("aum", "p-mean")]
        >>> found = tdctl.compare([Path("runs/a")], scores, bootstrap=0)
        >>> [row.name for row in found.rows]
        ['aum', 'p-mean']
    """
    _check(runs, sources, bootstrap)
    refuse_in_data_of(runs, out)
    world = World(device=pick_device(device))
    with closing(CompareTable.open(out, bootstrap, seed, overwrite)) as table:
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
    """Computes one row."""
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
    # A score that is the same for every sample ranks by chance, and the table shows that. A
    # detector that does this is broken, so it is refused.
    if isinstance(ranker, ByScore) and ranker.score.why_not(dynamics) is None:
        return ranker.score(dynamics)
    return ranker.suspicion(run, dynamics, world)


def _curve(suspicion: NDArray[np.float64], flipped: NDArray[np.bool_]) -> list[float]:
    """Precision at ``POINTS`` recalls from 0 to 1: the best precision at this recall or above."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(flipped, suspicion)
    # sklearn returns falling recalls, and at the end a precision of 1 that no threshold has.
    best = np.maximum.accumulate(precision[:-1])[::-1]
    at = np.searchsorted(recall[:-1][::-1], np.linspace(0, 1, POINTS) - 1e-9)
    return [round(float(value), 4) for value in best[np.minimum(at, len(best) - 1)]]


def _name(ranker: Ranker) -> str:
    return str(ranker.facts["score"] or ranker.facts["detector"])


def _of_ranker(ranker: Ranker) -> dict[str, str]:
    """The facts by which a detector or score is recognised in an earlier table."""
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
