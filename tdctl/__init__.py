"""tdctl finds the wrong labels in an image data set by watching a network train on it.

This package is also a library. You can use it in a training loop of your own::

    from tdctl import LSTMDetector, Recorder, read_run

A name is loaded when it is first used, so that ``import tdctl`` does not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tdctl import scores
    from tdctl.config import Config
    from tdctl.detector import Detector, load_detector, suspicion
    from tdctl.detector.estimator import LSTMDetector
    from tdctl.dynamics import TrainingDynamics, read_run
    from tdctl.errors import TdctlError
    from tdctl.labels import Labels
    from tdctl.metrics import detection_metrics
    from tdctl.noise import corrupt
    from tdctl.ranking import Ranking, prune, rank, relabel
    from tdctl.recorder.indexed_dataset import IndexedDataset
    from tdctl.recorder.loop_folder import EpochReport
    from tdctl.recorder.loop_recorder import Recorder
    from tdctl.runner import compare, denoise, detect, export, generate_td, train, train_detector
    from tdctl.scores import score
    from tdctl.settings import load_config

_HOME = {
    "Config": "config",
    "load_config": "settings",
    "Detector": "detector",
    "LSTMDetector": "detector.estimator",
    "load_detector": "detector",
    "suspicion": "detector",
    "TrainingDynamics": "dynamics",
    "read_run": "dynamics",
    "TdctlError": "errors",
    "Labels": "labels",
    "corrupt": "noise",
    "detection_metrics": "metrics",
    "Ranking": "ranking",
    "prune": "ranking",
    "rank": "ranking",
    "relabel": "ranking",
    "EpochReport": "recorder.loop_folder",
    "IndexedDataset": "recorder.indexed_dataset",
    "Recorder": "recorder.loop_recorder",
    "compare": "runner",
    "denoise": "runner",
    "detect": "runner",
    "export": "runner",
    "generate_td": "runner",
    "train": "runner",
    "train_detector": "runner",
    "score": "scores",
}

__all__ = [
    "Config",
    "Detector",
    "EpochReport",
    "IndexedDataset",
    "LSTMDetector",
    "Labels",
    "Ranking",
    "Recorder",
    "TdctlError",
    "TrainingDynamics",
    "compare",
    "corrupt",
    "denoise",
    "detect",
    "detection_metrics",
    "export",
    "generate_td",
    "load_config",
    "load_detector",
    "prune",
    "rank",
    "read_run",
    "relabel",
    "score",
    "scores",
    "suspicion",
    "train",
    "train_detector",
]


def __getattr__(name: str) -> Any:
    if name == "scores":
        return import_module("tdctl.scores")
    if name not in _HOME:
        raise AttributeError(f"module 'tdctl' has no attribute '{name}'")
    return getattr(import_module(f"tdctl.{_HOME[name]}"), name)
