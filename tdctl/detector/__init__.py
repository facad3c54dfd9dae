"""Networks that recognise the curve of a wrong label: their training, files and scoring."""

from __future__ import annotations

from tdctl.detector.builtin import Shipped, shipped_detectors
from tdctl.detector.detector_files import detector_files, load_detector, save_detector
from tdctl.detector.lstm import LstmDetector
from tdctl.detector.model import Card, Detector
from tdctl.detector.preset import Curves, reader_of
from tdctl.detector.reader import Reader
from tdctl.detector.scoring import score_run, suspicion
from tdctl.detector.train_net import train_net

__all__ = [
    "Card",
    "Curves",
    "Detector",
    "LstmDetector",
    "Reader",
    "Shipped",
    "detector_files",
    "load_detector",
    "reader_of",
    "save_detector",
    "score_run",
    "shipped_detectors",
    "suspicion",
    "train_net",
]
