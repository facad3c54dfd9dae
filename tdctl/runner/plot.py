"""One figure of a run, as a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.config import Config
from tdctl.dynamics import TrainingDynamics
from tdctl.errors import ConfigError, DataError, RunError
from tdctl.exchange import data_map
from tdctl.figures import (
    draw_confusion,
    draw_curves,
    draw_data_map,
    draw_histogram,
    draw_log,
    draw_pr,
    draw_roc,
    draw_samples,
    draw_sweep,
    file_kind,
    new_figure,
    plain,
    save_figure,
    sized_for_samples,
)
from tdctl.files import read_json
from tdctl.inputs.find_pictures import find_pictures
from tdctl.labels import Labels
from tdctl.rankers import (
    DetectResult,
    LooksWrong,
    RecordedRuns,
    Source,
    looks_wrong,
    open_ranker,
    rank_recorded,
)
from tdctl.report.run_facts import denoising_of, log_of
from tdctl.report.run_figures import bands_of, cut_of, retrained_of
from tdctl.run import LOG_FILE, refuse_existing
from tdctl.run.class_and_file_names import class_names, file_names
from tdctl.run.outside import refuse_in_data_of
from tdctl.run.resuming import default_denoising
from tdctl.training import Report, World, pick_device

__all__ = ["PLOTS", "TAKES_TOP", "PlotResult", "plot"]

SIDE = 120
# How many are drawn where nobody says.
TAKES_TOP = {"samples": 50, "confusion": 20}


@dataclass(frozen=True)
class PlotResult:
    """What was drawn, where it is, and what the user should know of it, a line each."""

    kind: str
    file: Path
    notes: tuple[str, ...]


@dataclass
class _Run:
    """A run and what is asked of it; what a figure needs is computed when it asks."""

    folder: Path
    source: Source
    config: Config | None
    denoise: Path | None
    top: int
    by_class: bool
    world: World
    report: Report | None
    notes: list[str] = field(default_factory=list)

    @cached_property
    def recorded(self) -> RecordedRuns:
        return RecordedRuns.read([self.folder])

    @property
    def dynamics(self) -> TrainingDynamics:
        return self.recorded.dynamics[0]

    @property
    def labels(self) -> Labels:
        return self.recorded.labels

    @cached_property
    def wrong(self) -> LooksWrong:
        """The ranking, and what looks wrong in it."""
        ranker = open_ranker(self.source, self.world)
        result = rank_recorded(self.recorded, ranker, self.world, (), self.report)
        found = looks_wrong(result, self.world)
        self.notes += [*result.notes, *found.notes]
        return found

    @property
    def ranked(self) -> DetectResult:
        return self.wrong.result

    @property
    def flagged(self) -> NDArray[np.bool_] | None:
        """Bool [n], what looks wrong; None where there is no estimate."""
        return None if self.wrong.flagged is None else self.wrong.flagged.rows

    @property
    def known(self) -> NDArray[np.bool_] | None:
        """Bool [n], what is known to be wrong; None where the truth is unknown."""
        flipped = self.labels.flipped
        return flipped if flipped.any() else None

    def marked(self) -> tuple[NDArray[np.bool_] | None, tuple[str, str]]:
        """What is or looks wrong, and what the others and these are called."""
        if self.known is not None:
            return self.known, ("right", "wrong")
        return self.flagged, ("looks right", "looks wrong")

    @cached_property
    def names(self) -> NDArray[np.object_]:
        most = max(self.dynamics.num_classes, 1 + int(self.labels.true.max()))
        return class_names(self.folder, most)


def plot(
    run: Path,
    kind: str,
    out: Path,
    source: Source,
    *,
    config: Config | None = None,
    denoise: Path | None = None,
    top: int | None = None,
    by_class: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    report: Report | None = None,
) -> PlotResult:
    """Draws one figure of a run and writes it as SVG, PNG or PDF, as the name of the file ends.

    Args:
        run: the run folder.
        kind: one of ``PLOTS``.
        out: the file to write.
        source: what ranks, as ``detect`` takes it.
        config: the run's settings, for its pictures.
        denoise: the folder of a denoising, for ``sweep``; by default the run's own.
        top: how many pictures, or pairs of classes, are drawn; only of ``TAKES_TOP``.
        by_class: the worst of each given class in place of the worst of all; only ``samples``.

    Raises:
        ConfigError: the kind, the name of the file, or an option does not go with it.
        DynamicsError, DetectorError: as ``detect``.
        DataError: the truth is unknown where it is needed, or the pictures are gone.
        RunError: the file is there already; or there is no log, or no denoising.
    """
    if kind not in PLOTS:
        raise ConfigError(f"kind: '{kind}' is unknown; use one of {', '.join(PLOTS)}")
    if top is not None and (kind not in TAKES_TOP or top < 1):
        raise ConfigError(
            f"top: goes with the kinds {' and '.join(TAKES_TOP)}, and is 1 or more; leave it out"
        )
    if by_class and kind != "samples":
        raise ConfigError("by_class: goes with the kind samples; leave out --by-class")
    file_kind(out)
    refuse_existing([out], overwrite)
    refuse_in_data_of([run], out)
    if not run.is_dir():
        raise RunError(f"{run}: no such run folder; expected what tdctl generate-td wrote")
    of = _Run(
        run, source, config, denoise, top or TAKES_TOP.get(kind, 0), by_class,
        World(device=pick_device(device)), report,
    )  # fmt: skip
    figure = PLOTS[kind](of)
    figure.suptitle(plain(run.resolve().name, 60), fontsize=10, parse_math=False)
    save_figure(figure, out)
    return PlotResult(kind, out, tuple(of.notes))


def _histogram(run: _Run) -> Any:
    figure, suspicion = new_figure(), run.ranked.ranking.suspicion
    flagged = run.flagged
    count = None if flagged is None else int(flagged.sum())
    draw_histogram(figure.subplots(), suspicion, cut_of(suspicion, flagged), run.known, count)
    return figure


def _roc(run: _Run) -> Any:
    figure = new_figure(4.8, 4.4)
    draw_roc(figure.subplots(), run.ranked.ranking.suspicion, _truth(run))
    return figure


def _pr(run: _Run) -> Any:
    figure = new_figure(4.8, 4.4)
    draw_pr(figure.subplots(), run.ranked.ranking.suspicion, _truth(run))
    return figure


def _truth(run: _Run) -> NDArray[np.bool_]:
    flipped = run.labels.flipped
    if flipped.all() or not flipped.any():
        few = "every" if flipped.all() else "no"
        raise DataError(
            f"{run.folder}: {few} label is known to be wrong, so there is no ROC and no "
            "precision-recall; record a run with known noise (--noise-ratio), or name the right "
            "labels with --true-column; histogram needs neither"
        )
    return flipped


def _data_map(run: _Run) -> Any:
    figure, found = new_figure(), data_map(run.dynamics)
    marked, names = run.marked()
    draw_data_map(figure.subplots(), found["confidence"], found["variability"], marked, names)
    return figure


def _curves(run: _Run) -> Any:
    figure = new_figure()
    draw_curves(figure.subplots(), bands_of(run.dynamics, *run.marked()))
    return figure


def _samples(run: _Run) -> Any:
    if run.config is None:
        raise DataError(
            f"{run.folder}: holds no config.yaml of tdctl, so where its pictures lie is not known; "
            "the other kinds need no pictures"
        )
    table = run.ranked.table
    worst = run.ranked.ranking.worst_first()
    columns = 10
    if run.by_class:
        given = table["given_label"].astype(object)
        within = given.groupby(given, sort=False).cumcount().to_numpy()
        place = np.sort(np.argsort(within, kind="stable")[: run.top])
        place = place[np.argsort(run.labels.assigned[worst[place]], kind="stable")]
        each = run.top // max(1, int(given.nunique()))
        columns = each if 1 < each <= columns else columns
    else:
        place = np.arange(min(run.top, len(table)))
    shown = table.iloc[place]
    index = shown["index"].to_numpy(np.int64)
    names = [str(name) for name in file_names(run.folder, index)]
    pictures = find_pictures(run.config).squares(index, names, SIDE)
    if lost := sum(picture is None for picture in pictures):
        run.notes.append(f"{lost} of {len(pictures)} pictures do not decode any more")
    titles = [
        (f"{row.given_label} → {row.suggested_label}", f"{row.rank}: {row.suspicion:.3f}")
        for row in shown.itertuples()
    ]
    figure = sized_for_samples(len(pictures), columns)
    draw_samples(figure, pictures, titles, columns)
    return figure


def _confusion(run: _Run) -> Any:
    suggested, given = run.recorded.suggested(), run.labels.assigned
    rows = np.ones(len(given), np.bool_) if run.flagged is None else run.flagged
    differ = len({*zip(given[rows].tolist(), suggested[rows].tolist(), strict=True)})
    figure = new_figure(6.4, 1.2 + 0.24 * max(4, min(run.top, differ)))
    left = draw_confusion(
        figure.subplots(), given[rows], suggested[rows], run.names.tolist(), run.top
    )
    if left:
        run.notes.append(f"{left} rarer pairs are not drawn; --top takes more")
    return figure


def _log(run: _Run) -> Any:
    path, columns = run.folder / LOG_FILE, log_of(run.folder)
    if not path.exists():
        raise RunError(f"{path}: is missing; a run has a log once its first epoch is over")
    if not columns:
        raise RunError(f"{path}: holds no epoch yet; call again after the first one")
    manifest = run.folder / "manifest.json"
    if manifest.exists() and read_json(manifest).get("status") != "complete":
        run.notes.append(f"{run.folder} is not finished: {len(columns['epoch'])} epochs so far")
    figure = new_figure(9.6, 3.6)
    errors, losses = figure.subplots(1, 2)
    draw_log(errors, losses, columns)
    return figure


def _sweep(run: _Run) -> Any:
    if run.denoise is not None:
        base = run.denoise
    else:
        base = default_denoising([run.folder], 0 if run.config is None else run.config.seed)
    rows = denoising_of(base, run.folder)
    found = retrained_of(rows)
    if not found:
        raise RunError(f"{base}: no retraining has a test error; there was no test set")
    figure = new_figure()
    draw_sweep(figure.subplots(), found)
    return figure


PLOTS: dict[str, Callable[[_Run], Any]] = {
    "histogram": _histogram,
    "roc": _roc,
    "pr": _pr,
    "datamap": _data_map,
    "curves": _curves,
    "samples": _samples,
    "confusion": _confusion,
    "log": _log,
    "sweep": _sweep,
}
