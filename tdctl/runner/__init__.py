"""The steps that all subcommands share: record, train the detector, rank, prune and retrain.

They never print: progress goes through a callback, results come back as values.
"""

from __future__ import annotations

from tdctl.compare_table import Compared, ComparedRow
from tdctl.inputs.prepare import Prepared, prepare
from tdctl.rankers.open_ranker import Source
from tdctl.rankers.ranked import DetectResult, Flagged
from tdctl.retraining.jobs import Retraining
from tdctl.run.resuming import (
    default_denoising,
    denoising_to_resume,
    settings_to_resume,
)
from tdctl.runner.clean import ACTIONS, CleanResult, clean
from tdctl.runner.compare import compare
from tdctl.runner.corrupt import CorruptResult, corrupt_labels
from tdctl.runner.denoise import PINNED, DenoiseResult, denoise, denoise_report, settings_of_run
from tdctl.runner.detect import detect
from tdctl.runner.export import FORMATS, export
from tdctl.runner.generate_td import GenerateResult, default_folder, generate_td, plan_generate
from tdctl.runner.look import look
from tdctl.runner.scores import ScoreTable, judge_scores
from tdctl.runner.train import plan_train, train
from tdctl.runner.train_detector import TrainDetectorResult, plan_detector, train_detector
from tdctl.runner.train_settings import default_training, settings_to_train_on

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
    "Flagged",
    "GenerateResult",
    "Prepared",
    "Retraining",
    "ScoreTable",
    "Source",
    "TrainDetectorResult",
    "clean",
    "compare",
    "corrupt_labels",
    "default_folder",
    "denoise",
    "denoise_report",
    "detect",
    "export",
    "generate_td",
    "judge_scores",
    "look",
    "plan_detector",
    "plan_generate",
    "prepare",
    "default_denoising",
    "denoising_to_resume",
    "settings_to_resume",
    "settings_of_run",
    "default_training",
    "plan_train",
    "settings_to_train_on",
    "train",
    "train_detector",
]
