"""The typed settings of every step.

One ``Config`` serves all commands; each reads its own sections. Unknown keys are errors. The
command line takes its help texts and defaults from the field descriptions, so that a setting is
described in one place.
"""

from __future__ import annotations

from tdctl.config.data import DataConfig
from tdctl.config.detector import DetectorConfig
from tdctl.config.net import NetConfig
from tdctl.config.noise import NoiseConfig
from tdctl.config.robust import RobustConfig
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
    "RobustConfig",
    "TrainConfig",
]
