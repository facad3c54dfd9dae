"""The steps that all subcommands share: record, train the detector, rank, prune and retrain.

They never print: progress goes through a callback, results come back as values.
"""

from __future__ import annotations

from tdctl.runner.clean import ACTIONS, CleanResult, clean
from tdctl.runner.compare import compare
from tdctl.runner.corrupt import CorruptResult, corrupt_labels
from tdctl.runner.export import FORMATS, export
from tdctl.runner.find import FindResult, begun_with, default_out, find, plan_find
from tdctl.runner.find import finished as find_finished
from tdctl.runner.generate import GenerateResult, default_folder, generate_td, plan_generate
from tdctl.runner.jobs import Retraining
from tdctl.runner.look import look
from tdctl.runner.plot import PLOTS, PlotResult, plot
from tdctl.runner.prepare import Prepared, prepare
from tdctl.runner.rank import DetectResult, Flagged, detect
from tdctl.runner.ranking_files import ranking_facts
from tdctl.runner.report import ReportResult, check_report, report, report_of
from tdctl.runner.resuming import (
    default_denoising,
    denoising_to_resume,
    settings_to_resume,
)
from tdctl.runner.retrain import PINNED, DenoiseResult, denoise, denoise_report, settings_of_run
from tdctl.runner.review import ReviewResult, apply_review
from tdctl.runner.scores import ScoreTable, judge_scores
from tdctl.runner.source import Source
from tdctl.runner.summary import RunSummary, summarise
from tdctl.runner.table import Compared, ComparedRow
from tdctl.runner.train import TrainDetectorResult, plan_detector, train_detector

__all__ = [
    "ACTIONS",
    "FORMATS",
    "PINNED",
    "CleanResult",
    "Compared",
    "ComparedRow",
    "CorruptResult",
    "DenoiseResult",
    "DetectResult",
    "FindResult",
    "Flagged",
    "GenerateResult",
    "PLOTS",
    "PlotResult",
    "Prepared",
    "Retraining",
    "ReportResult",
    "ReviewResult",
    "RunSummary",
    "ScoreTable",
    "Source",
    "TrainDetectorResult",
    "apply_review",
    "check_report",
    "clean",
    "compare",
    "corrupt_labels",
    "default_folder",
    "denoise",
    "denoise_report",
    "detect",
    "begun_with",
    "default_out",
    "export",
    "find",
    "find_finished",
    "generate_td",
    "judge_scores",
    "look",
    "plan_detector",
    "plan_find",
    "plan_generate",
    "plot",
    "prepare",
    "ranking_facts",
    "report",
    "report_of",
    "default_denoising",
    "denoising_to_resume",
    "settings_to_resume",
    "settings_of_run",
    "summarise",
    "train_detector",
]
