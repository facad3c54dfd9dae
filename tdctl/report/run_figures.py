"""The figures of a report, each with its words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.dynamics import TrainingDynamics
from tdctl.errors import DynamicsError
from tdctl.figures import (
    Band,
    Retrained,
    band_of,
    confused_pairs,
    draw_curves,
    draw_data_map,
    draw_histogram,
    draw_log,
    draw_pr,
    draw_roc,
    draw_sweep,
)
from tdctl.figures.canvas import evenly
from tdctl.rankers.ranked import DetectResult
from tdctl.rankers.recorded_runs import RecordedRuns
from tdctl.report import Figure, Pair, drawn
from tdctl.report.run_facts import KINDS
from tdctl.scores import SCORES, scores_of

__all__ = [
    "bands_of", "cut_of", "figure_of_log", "figure_of_sweep", "figures_of", "pairs_of",
    "retrained_of",
]  # fmt: skip

# Quartiles of so many curves are those of all, as far as a figure shows.
MOST_CURVES = 20_000
# Points of the data map: as pixels in the page, so many are dense enough.
MOST_POINTS = 6_000
PAIRS = 12
Flags = NDArray[np.bool_]


def figures_of(runs: RecordedRuns, result: DetectResult, flagged: Flags | None) -> list[Figure]:
    """Histogram, ROC and precision-recall where the truth is known, data map, mean curves."""
    flipped = runs.labels.flipped
    known = flipped if flipped.any() else None
    found = [_histogram(result, flagged, known)]
    if known is not None and not known.all():
        found += [_roc(result, known), _pr(result, known)]
    marked, names = known, ("right", "wrong")
    if marked is None:
        marked, names = flagged, ("looks right", "looks wrong")
    return [*found, _curves(runs, marked, names), *_data_map(runs, marked, names)]


def _histogram(result: DetectResult, flagged: Flags | None, known: Flags | None) -> Figure:
    suspicion = result.ranking.suspicion
    cut = cut_of(suspicion, flagged)
    said = "The dashed line is the cut: labels to its right look wrong." if cut is not None else ""
    if known is not None:
        said += " Right and wrong labels are drawn apart, as the truth is known."
    count = None if flagged is None else int(flagged.sum())
    described = "Histogram of the suspicion of all labels, with a line at the cut."
    return Figure(
        "How suspicious the labels are",
        drawn(lambda ax: draw_histogram(ax, suspicion, cut, known, count), "hist", described),
        f"How many labels have which suspicion, on a logarithmic scale. {said}".strip(),
    )


def cut_of(suspicion: NDArray[np.float64], flagged: Flags | None) -> float | None:
    """The suspicion from which on labels look wrong; None where none does."""
    if flagged is None or not flagged.any():
        return None
    return float(suspicion[flagged].min())


def _roc(result: DetectResult, known: Flags) -> Figure:
    described = "ROC curve: wrong labels found over right labels flagged."
    return Figure(
        "Wrong labels found, right ones flagged",
        drawn(lambda ax: draw_roc(ax, result.ranking.suspicion, known), "roc", described),
        f"Ranked worst first. AUC {_number(result.metrics.auc)}; 0.5 is chance.",
    )


def _pr(result: DetectResult, known: Flags) -> Figure:
    described = "Precision over recall of the ranking."
    rate = result.metrics.realised_rate
    chance = "" if rate is None else f"; {rate:.3f} is chance"
    return Figure(
        "Precision and recall",
        drawn(lambda ax: draw_pr(ax, result.ranking.suspicion, known), "pr", described),
        f"Ranked worst first. AP (mAP) {_number(result.metrics.ap)}{chance}.",
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _curves(runs: RecordedRuns, marked: Flags | None, names: tuple[str, str]) -> Figure:
    bands = bands_of(runs.dynamics[0], marked, names)
    described = "Mean curves of the given label's probability, with bands between quartiles."
    return Figure(
        "How the network learned the labels",
        drawn(lambda ax: draw_curves(ax, bands), "curves", described),
        "The probability that the network gave the given label, epoch by epoch: mean, and a band "
        "that holds the middle half. Wrong labels are learned late, or not at all.",
    )


def bands_of(
    dynamics: TrainingDynamics, marked: Flags | None, names: tuple[str, str]
) -> list[Band]:
    """The mean curves of what is not marked and of what is; of all where nothing can be marked."""
    kinds = [("all labels", np.ones(len(dynamics), np.bool_))]
    if marked is not None:
        kinds = list(zip(names, (~marked, marked), strict=True))
    bands = []
    for name, rows in kinds:
        chosen = np.flatnonzero(rows)
        if len(chosen):
            some = chosen[evenly(len(chosen), MOST_CURVES)]
            bands.append(band_of(name, dynamics.take(some).given_curve(), len(chosen)))
    return bands


def _data_map(runs: RecordedRuns, marked: Flags | None, names: tuple[str, str]) -> list[Figure]:
    dynamics = runs.dynamics[0]
    try:
        found = scores_of(dynamics, [SCORES["p-mean"], SCORES["variability"]])
    except DynamicsError:  # one epoch varies in nothing
        return []
    some = evenly(len(dynamics), MOST_POINTS)
    confidence, variability = -found["p-mean"][some], found["variability"][some]
    chosen = None if marked is None else marked[some]
    described = "Scatter plot of confidence over variability, a point a sample."
    part = "" if len(some) == len(dynamics) else f" {len(some):,} of {len(dynamics):,} are drawn."
    return [
        Figure(
            "Data map",
            drawn(
                lambda ax: draw_data_map(ax, confidence, variability, chosen, names),
                "map", described,
            ),
            "Each point is a sample. Easy ones lie at the top left, hard ones on the right, and "
            f"those whose label the network never believed at the bottom left.{part}",
        )
    ]  # fmt: skip


def figure_of_log(columns: Mapping[str, Sequence[float | None]]) -> list[Figure]:
    """Errors and losses of the training; none where no epoch is over."""
    if not columns or not next(iter(columns.values())):
        return []
    described = "Errors and losses of the training, epoch by epoch."
    return [
        Figure(
            "Training",
            drawn(
                lambda errors, losses: draw_log(errors, losses, columns),
                "log", described, (7.4, 3.7), (1, 2),
            ),
            "Error and loss over the epochs. The training error counts wrong labels as errors.",
        )
    ]  # fmt: skip


def figure_of_sweep(rows: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Test error over the share removed; none where no retraining has a test error."""
    found = retrained_of(rows)
    if not found:
        return []
    described = "Test error after retraining over the share of labels that was removed."
    return [
        Figure(
            "Test error after retraining",
            drawn(lambda ax: draw_sweep(ax, found), "sweep", described),
            "Test error at the last epoch of networks trained without a share of the samples.",
        )
    ]


def retrained_of(rows: Sequence[Mapping[str, Any]]) -> list[Retrained]:
    """The retrainings of a denoising that have a test error."""
    return [
        Retrained(KINDS[row["kind"]], row["remove_ratio"], row["test_error_last"])
        for row in rows
        if row["test_error_last"] is not None
    ]


def pairs_of(
    runs: RecordedRuns, flagged: Flags | None, names: Sequence[str]
) -> tuple[list[Pair], int]:
    """Which given class is taken for which among what looks wrong, and how many are left out."""
    given, suggested = runs.labels.assigned, runs.suggested()
    rows = np.ones(len(given), np.bool_) if flagged is None else flagged
    if not rows.any():
        return [], 0
    pairs = confused_pairs(given[rows], suggested[rows])
    most = pairs[0][2] if pairs else 1
    shown = [Pair(names[a], names[b], count, count / most) for a, b, count in pairs[:PAIRS]]
    return shown, len(pairs) - len(shown)
