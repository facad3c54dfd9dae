"""Ranks the samples of a run by suspicion, without retraining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tdctl.cuts import ratio_of
from tdctl.rankers import DetectResult, Source, open_ranker, rank_runs
from tdctl.rankers.ranking_files import ranking_files, write_ranking
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
    """Ranks a run, or several runs together, and writes the table if ``out`` is given.

    Args:
        runs: a run folder; or several with the same samples and given labels. Each is then ranked
            on its own, and the suspicion is the mean of the ranks, scaled to (0, 1).
        source: a detector file; or ``Path("auto")``, which chooses as in ``Automatic``; or a
            score, such as ``tdctl.scores.find_score("aum")``.
        out: the CSV file to write; None writes none.
        cut: a share to flag, or ``auto``; see ``tdctl.cuts.ratio_of``. None flags nothing.
        keep_per_class: how many samples of each given class are never flagged; see
            ``DetectResult.above``.
        overwrite: whether an existing file may be replaced.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; used if ``world`` is None.
        report: is told the progress of a long ranking.
        world: the processes, each of which scores a part of the curves. All of them read the run,
            and the first one writes. None means this process only.

    Returns:
        The ranking, and its metrics if the true labels are known.

    Raises:
        ConfigError: the cut is not valid, or does not suit the ranker.
        DynamicsError: a run is missing or malformed; or lacks what the score or the cut needs; or
            has other samples or labels than the first run.
        DetectorError: the detector cannot be read, or gives a constant.
        RunError: ``out`` exists already, or is inside the data of a run.

    Example::

        >>> result = tdctl.detect(Path("runs/a"), Path("auto"))
        >>> len(result.table)
        60
    """
    world = World(device=pick_device(device)) if world is None else world

    def check_out() -> None:
        refuse_existing([] if out is None else ranking_files(out), overwrite)
        refuse_in_data_of(folders, out)

    def write() -> None:
        if out is not None:
            write_ranking(out, result)

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
