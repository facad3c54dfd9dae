"""Rank the samples of a run by suspicion, without retraining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tdctl.csv_files import write_csv
from tdctl.cuts import ratio_of
from tdctl.rankers import DetectResult, Source, open_ranker, rank_runs
from tdctl.run import refuse_existing, refuse_in_data_of
from tdctl.training import Report, World, pick_device

__all__ = ["detect"]


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

    def check_out() -> None:
        refuse_existing([] if out is None else [out], overwrite)
        refuse_in_data_of(folders, out)

    def write() -> None:
        if out is not None:
            write_csv(out, result.table)

    ratio = None if cut is None else ratio_of(cut)
    folders = [runs] if isinstance(runs, Path) else runs
    world.first(check_out)
    ranker = world.together(lambda: open_ranker(source, world))
    methods = [ratio] if isinstance(ratio, str) else []
    result = rank_runs(folders, ranker, world, methods, report)
    if ratio is not None:
        flagged = result.above(ratio, keep_per_class)
        table = result.table.assign(flagged=flagged.rows[result.ranking.worst_first()])
        result = replace(result, table=table, flagged=flagged)
    world.first(write)
    return result
