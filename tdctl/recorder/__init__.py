"""Records the dynamics of a training, in files that remain usable if the training is killed."""

from __future__ import annotations

from tdctl.recorder.capture import Forecast, check_room, forecast
from tdctl.recorder.epoch_rows import EpochRows
from tdctl.recorder.margin import logit_margin
from tdctl.recorder.naming import CLASSES_FILE, SAMPLES_FILE
from tdctl.recorder.recording import RunRecorder
from tdctl.recorder.so_far import SoFar, goes_on, read_so_far

__all__ = [
    "CLASSES_FILE",
    "SAMPLES_FILE",
    "EpochRows",
    "Forecast",
    "RunRecorder",
    "SoFar",
    "check_room",
    "forecast",
    "goes_on",
    "logit_margin",
    "read_so_far",
]
