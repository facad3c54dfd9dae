"""The ways to record a training: plain, folds, threshold samples, and a second round."""

from __future__ import annotations

from tdctl.training.modes.folds import FoldEnsemble, Folds, fold_seeds
from tdctl.training.modes.plain import BuildNetwork, Plain, Recording
from tdctl.training.modes.second_round import SecondRound
from tdctl.training.modes.threshold import ThresholdSamples

__all__ = [
    "BuildNetwork",
    "FoldEnsemble",
    "Folds",
    "Plain",
    "Recording",
    "SecondRound",
    "ThresholdSamples",
    "fold_seeds",
]
