"""Figures: each function takes plain arrays and draws into matplotlib's axes. They read no run.

Matplotlib is imported where a figure is made, through Agg and without pyplot.
"""

from __future__ import annotations

from tdctl.figures.canvas import COLOURS, file_kind, new_figure, plain, save_figure, svg_text
from tdctl.figures.classes import confused_pairs, draw_confusion
from tdctl.figures.comparison import PLOT_FILES, Panel, plot_ap, plot_precision_recall
from tdctl.figures.dynamics import Band, band_of, draw_curves, draw_data_map
from tdctl.figures.pictures import draw_samples, sized_for_samples
from tdctl.figures.ranking import draw_histogram, draw_pr, draw_roc
from tdctl.figures.sweeps import SweptPoint, draw_by_share, draw_by_time
from tdctl.figures.training import Retrained, draw_log, draw_sweep

__all__ = [
    "COLOURS",
    "PLOT_FILES",
    "Band",
    "Panel",
    "Retrained",
    "band_of",
    "confused_pairs",
    "draw_confusion",
    "draw_curves",
    "draw_data_map",
    "draw_histogram",
    "draw_log",
    "draw_pr",
    "draw_roc",
    "draw_samples",
    "draw_sweep",
    "SweptPoint",
    "draw_by_share",
    "draw_by_time",
    "file_kind",
    "new_figure",
    "plain",
    "plot_ap",
    "plot_precision_recall",
    "save_figure",
    "sized_for_samples",
    "svg_text",
]
