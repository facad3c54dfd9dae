"""One figure of a run, as a file."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.config import Config
from tdctl.dynamics import TrainingDynamics, read_run
from tdctl.errors import ConfigError, DataError, DynamicsError, RunError
from tdctl.exchange import data_map
from tdctl.figures import (
    Retrained,
    band_of,
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
from tdctl.figures.canvas import evenly
from tdctl.files import read_json
from tdctl.inputs.find_pictures import pictures_of
from tdctl.labels import Labels
from tdctl.rankers.open_ranker import Source, open_ranker
from tdctl.rankers.ranked import DetectResult, rank_runs
from tdctl.retraining.denoise_table import RESULT_FILE
from tdctl.run import LOG_FILE, refuse_existing
from tdctl.run.class_and_file_names import class_names, file_names
from tdctl.run.outside import refuse_in_data_of
from tdctl.run.resuming import default_denoising
from tdctl.training import Report, World, pick_device

__all__ = ["PLOTS", "TAKES_TOP", "PlotResult", "plot"]

METHOD = "combined"
# A band is computed of so many curves at most.
MOST_CURVES = 20_000
SIDE = 120
NAMES = {
    "all": "all given labels",
    "clean": "truly clean labels",
    "pruned": "without the worst",
    "random": "without a random share",
    "relabelled": "the worst relabelled",
    "reweighted": "all, weighed by suspicion",
    "true": "true labels",
}
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
    def read(self) -> tuple[TrainingDynamics, Labels]:
        dynamics, labels, _ = read_run(self.folder)
        return dynamics, labels

    @cached_property
    def ranked(self) -> DetectResult:
        """With the estimate of how many are wrong, where there can be one."""
        ranker = open_ranker(self.source, self.world)
        try:
            result = rank_runs([self.folder], ranker, self.world, [METHOD], self.report)
        except DynamicsError as error:
            result = rank_runs([self.folder], ranker, self.world, (), self.report)
            self.notes.append(f"no cut is drawn: {error}")
        self.notes += result.notes
        return result

    @cached_property
    def flagged(self) -> NDArray[np.bool_] | None:
        """Bool [n], what looks wrong; None where there is no estimate."""
        if METHOD not in self.ranked.estimates:
            return None
        return self.ranked.above(METHOD, 0.0).rows

    @property
    def known(self) -> NDArray[np.bool_] | None:
        """Bool [n], what is known to be wrong; None where the truth is unknown."""
        flipped = self.read[1].flipped
        return flipped if flipped.any() else None

    @cached_property
    def names(self) -> NDArray[np.object_]:
        dynamics, labels = self.read
        return class_names(self.folder, max(dynamics.num_classes, 1 + int(labels.true.max())))


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
    cut = None
    if run.flagged is not None and run.flagged.any():
        cut = float(suspicion[run.flagged].min())
    draw_histogram(figure.subplots(), suspicion, cut, run.known)
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
    flipped = run.read[1].flipped
    if flipped.all() or not flipped.any():
        few = "every" if flipped.all() else "no"
        raise DataError(
            f"{run.folder}: {few} label is known to be wrong, so there is no ROC and no "
            "precision-recall; record a run with known noise (--noise-ratio), or name the right "
            "labels with --true-column; histogram needs neither"
        )
    return flipped


def _data_map(run: _Run) -> Any:
    figure, found = new_figure(), data_map(run.read[0])
    marked, names = run.known, ("right", "wrong")
    if marked is None:
        marked, names = run.flagged, ("not flagged", "flagged")
    draw_data_map(figure.subplots(), found["confidence"], found["variability"], marked, names)
    return figure


def _curves(run: _Run) -> Any:
    figure, dynamics = new_figure(), run.read[0]
    marked, names = run.known, ("right", "wrong")
    if marked is None:
        marked, names = run.flagged, ("looks right", "looks wrong")
    if marked is None:
        marked, names = np.zeros(len(dynamics), np.bool_), ("all", "")
    bands = []
    for name, rows in zip(names, (~marked, marked), strict=True):
        chosen = np.flatnonzero(rows)
        if len(chosen):
            some = chosen[evenly(len(chosen), MOST_CURVES)]
            bands.append(band_of(name, dynamics.take(some).given_curve(), len(chosen)))
    draw_curves(figure.subplots(), bands)
    return figure


def _samples(run: _Run) -> Any:
    if run.config is None:
        raise DataError(
            f"{run.folder}: holds no config.yaml of tdctl, so where its pictures lie is not known; "
            "the other kinds need no pictures"
        )
    table = run.ranked.table
    labels = run.read[1]
    worst = run.ranked.ranking.worst_first()
    columns = 10
    if run.by_class:
        given = table["given_label"].astype(object)
        within = given.groupby(given, sort=False).cumcount().to_numpy()
        place = np.sort(np.argsort(within, kind="stable")[: run.top])
        place = place[np.argsort(labels.assigned[worst[place]], kind="stable")]
        each = run.top // max(1, int(given.nunique()))
        columns = each if 1 < each <= columns else columns
    else:
        place = np.arange(min(run.top, len(table)))
    shown = table.iloc[place]
    index = shown["index"].to_numpy(np.int64)
    names = [str(name) for name in file_names(run.folder, index)]
    pictures = pictures_of(run.config, index, names, SIDE)
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
    suggested, given = run.read[0].suggested(), run.read[1].assigned
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
    path = run.folder / LOG_FILE
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        columns = {
            name: [float(row[name]) if row[name] else None for row in rows]
            for name in (rows[0] if rows else {})
        }
    except FileNotFoundError:
        raise RunError(
            f"{path}: is missing; a run has a log once its first epoch is over"
        ) from None
    except (ValueError, TypeError, UnicodeDecodeError):
        raise RunError(f"{path}: is not the log that tdctl wrote; expected numbers") from None
    if not rows:
        raise RunError(f"{path}: holds no epoch yet; call again after the first one")
    manifest = run.folder / "manifest.json"
    if manifest.exists() and read_json(manifest).get("status") != "complete":
        run.notes.append(f"{run.folder} is not finished: {len(rows)} epochs so far")
    figure = new_figure(9.6, 3.6)
    errors, losses = figure.subplots(1, 2)
    draw_log(errors, losses, columns)
    return figure


def _sweep(run: _Run) -> Any:
    if run.denoise is not None:
        base = run.denoise
    else:
        base = default_denoising([run.folder], 0 if run.config is None else run.config.seed)
    files = sorted({*base.glob(RESULT_FILE), *base.glob(f"*/{RESULT_FILE}")})
    if not files:
        raise RunError(
            f"{base}: holds no {RESULT_FILE}; run tdctl denoise --td {run.folder}, or name the "
            "folder of a denoising with --denoise"
        )
    if len(files) > 1:
        some = ", ".join(str(file.parent) for file in files[:5])
        raise RunError(f"{base}: holds several denoisings; name one with --denoise: {some}")
    rows = read_json(files[0]).get("rows")
    try:
        found = [
            Retrained(NAMES[row["kind"]], row["remove_ratio"], row["test_error_last"])
            for row in rows or []
            if row["test_error_last"] is not None
        ]
    except (KeyError, TypeError):
        raise RunError(f"{files[0]}: is not the table that tdctl wrote") from None
    if not found:
        raise RunError(f"{files[0]}: no retraining has a test error; there was no test set")
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
