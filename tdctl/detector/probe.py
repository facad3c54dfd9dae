"""Refuses detectors whose output is constant or not finite."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from tdctl.detector.reader import Reader
from tdctl.detector.scoring import score_run, suspicion
from tdctl.dynamics import TrainingDynamics
from tdctl.errors import DetectorError

__all__ = ["check_informative", "check_telling", "probe_curves", "probe_run"]

# If the outputs for clearly different curves differ by less than this, the training has collapsed.
CONSTANT_BELOW = 1e-4
COLLAPSED = (
    "its training has collapsed; train it again at a lower rate (tdctl train-detector --lr, "
    "without --preset paper)"
)
PROBE_EPOCHS = (2, 5, 10, 50, 200)


def check_telling(net: nn.Module, reader: Reader, where: str) -> None:
    """Refuses a network whose output does not depend on the curve.

    Raises:
        DetectorError: its output is not finite, or is constant for curves of every length.
    """
    probes = [
        suspicion(net, probe_curves(epochs))
        if reader.is_papers
        else score_run(probe_run(epochs), net, reader=reader)
        for epochs in PROBE_EPOCHS
    ]
    # A network that was trained on few epochs may give the same output for all curves of fifty.
    check_informative(max(probes, key=lambda scores: float(np.ptp(scores))), where)


def check_informative(scores: NDArray[np.float64], where: str, why: str = COLLAPSED) -> None:
    """Refuses scores that are all the same; a single score is accepted.

    Args:
        scores: float64 [n].
        where: the start of the message.
        why: why the scores are constant, and what to do.

    Raises:
        DetectorError: a score is not finite, or all are the same within 1e-4.
    """
    if not np.isfinite(scores).all():
        raise DetectorError(f"{where}: the detector's output is NaN; train it again")
    if len(scores) > 1 and float(np.ptp(scores)) < CONSTANT_BELOW:
        raise DetectorError(f"{where}: the detector gives {scores[0]:.4f} for every curve, {why}")


def probe_curves(epochs: int = 50) -> NDArray[np.float32]:
    """Float32 [6, epochs]: curves for which every working detector gives different outputs."""
    time = np.linspace(0, 1, epochs, dtype=np.float32)
    low, high = np.zeros_like(time), np.ones_like(time)
    early = 1 - np.exp(-12 * time)
    late = np.clip(4 * time - 3, 0, 1)
    return np.stack([low, high, early, late, np.full_like(time, 0.5), time]).astype(np.float32)


def probe_run(epochs: int) -> TrainingDynamics:
    """Dynamics of 24 samples of 4 classes; every working detector tells some of them apart."""
    curves = np.concatenate([probe_curves(epochs) * level for level in (0.97, 0.9, 0.8, 0.7)])
    n = len(curves)
    td = np.empty((n, epochs, 4), dtype=np.float16)
    td[:, :, 0] = curves
    td[:, :, 1:] = (1 - curves)[:, :, None] * np.array([0.7, 0.2, 0.1])
    labels = (np.arange(n)[:, None] + np.arange(4)) % 4
    seen = TrainingDynamics(td, labels, np.arange(n))
    return replace(seen, heldout=seen)
