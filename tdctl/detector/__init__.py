"""The LSTM that recognises the curve of a wrong label: its training, files and scoring."""

from __future__ import annotations

from tdctl.detector.checkpoint import Card, Detector, detector_files, load_detector, save_detector
from tdctl.detector.lstm import LstmDetector
from tdctl.detector.scoring import score_run, suspicion
from tdctl.detector.training import Curves, train_lstm

__all__ = [
    "Card",
    "Curves",
    "Detector",
    "LstmDetector",
    "detector_files",
    "load_detector",
    "save_detector",
    "score_run",
    "suspicion",
    "train_lstm",
]
