"""The typed settings of every step.

All commands use the same ``Config``, and each reads its own sections. Unknown keys are errors. The
command line takes its help texts and defaults from the fields, so each setting is described once.
"""

from __future__ import annotations

from tdctl.config.data import DataConfig
from tdctl.config.detector import DetectorConfig
from tdctl.config.net import NetConfig
from tdctl.config.noise import NoiseConfig
from tdctl.config.train import FitConfig, RetrainConfig, TrainConfig
from tdctl.config.whole import Config

__all__ = [
    "Config",
    "DataConfig",
    "DetectorConfig",
    "FitConfig",
    "NetConfig",
    "NoiseConfig",
    "RetrainConfig",
    "TrainConfig",
]
