"""The steps that the subcommands call: record, train the detector, rank, prune, retrain.

They never print. They report progress through a callback and return their results as values.
"""

from __future__ import annotations

from tdctl.compare_table import Compared, ComparedRow
from tdctl.finding.suited import Suited, suit
from tdctl.inputs.prepare import Prepared, prepare
from tdctl.rankers.open_ranker import Source
from tdctl.rankers.ranked import DetectResult, Flagged
from tdctl.rankers.ranking_files import ranking_facts
from tdctl.retraining.cleaning import Cleaning, cleaning_of
from tdctl.retraining.jobs import Retraining
from tdctl.run.resuming import (
    default_denoising,
    denoising_to_resume,
    settings_to_resume,
)
from tdctl.runner.apply_review import ReviewResult, apply_review
from tdctl.runner.clean import ACTIONS, CleanResult, clean
from tdctl.runner.compare import compare
from tdctl.runner.corrupt import CorruptResult, corrupt_labels
from tdctl.runner.denoise import PINNED, DenoiseResult, denoise, denoise_report, settings_of_run
from tdctl.runner.denoise_settings import without_test_images
from tdctl.runner.detect import detect
from tdctl.runner.export import FORMATS, export
from tdctl.runner.find import (
    FindResult,
    begun_rounds,
    begun_with,
    check_ranker,
    check_score,
    default_out,
    find,
    is_unfinished,
)  # fmt: skip
from tdctl.runner.find import finished as find_finished
from tdctl.runner.generate_td import GenerateResult, default_folder, generate_td, plan_generate
from tdctl.runner.look import look
from tdctl.runner.plan_find import plan_find
from tdctl.runner.plot import PLOTS, PlotResult, plot
from tdctl.runner.report import ReportResult, check_report, report, report_of
from tdctl.runner.scores import ScoreTable, judge_scores
from tdctl.runner.show import RunSummary, summarise
from tdctl.runner.sweep import SweepProgress, SweepResult, plan_sweep, sweep
from tdctl.runner.train import plan_train, train
from tdctl.runner.train_detector import TrainDetectorResult, plan_detector, train_detector
from tdctl.runner.train_outcome import Cleaned
from tdctl.runner.train_settings import default_training, settings_to_train_on

__all__ = [
    "ACTIONS",
    "FORMATS",
    "PINNED",
    "PLOTS",
    "CleanResult",
    "Cleaned",
    "Cleaning",
    "Compared",
    "ComparedRow",
    "CorruptResult",
    "DenoiseResult",
    "DetectResult",
    "FindResult",
    "Flagged",
    "GenerateResult",
    "PlotResult",
    "Prepared",
    "ReportResult",
    "Retraining",
    "ReviewResult",
    "RunSummary",
    "ScoreTable",
    "Source",
    "Suited",
    "SweepProgress",
    "SweepResult",
    "TrainDetectorResult",
    "apply_review",
    "begun_rounds",
    "begun_with",
    "check_ranker",
    "check_report",
    "check_score",
    "clean",
    "cleaning_of",
    "compare",
    "corrupt_labels",
    "default_denoising",
    "default_folder",
    "default_out",
    "default_training",
    "denoise",
    "denoise_report",
    "denoising_to_resume",
    "detect",
    "export",
    "find",
    "find_finished",
    "generate_td",
    "is_unfinished",
    "judge_scores",
    "look",
    "plan_detector",
    "plan_find",
    "plan_generate",
    "plan_sweep",
    "plan_train",
    "plot",
    "prepare",
    "ranking_facts",
    "report",
    "report_of",
    "settings_of_run",
    "settings_to_resume",
    "settings_to_train_on",
    "suit",
    "summarise",
    "sweep",
    "train",
    "train_detector",
    "without_test_images",
]
