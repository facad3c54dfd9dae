"""Suspicion of curves, and the refusal of detectors that say nothing."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.detector.lstm import LstmDetector
from tdctl.errors import DetectorError

__all__ = ["check_informative", "suspicion"]

# Outputs closer together than this on clearly different curves are a collapsed training.
CONSTANT_BELOW = 1e-4


@torch.no_grad()
def suspicion(
    net: LstmDetector, curves: NDArray[np.float32], batch_size: int = 4096
) -> NDArray[np.float64]:
    """P(mislabeled) in [0, 1], float64 [n], of curves float32 [n, epochs].

    The two logits are compared in float64, so that confident outputs do not tie at 1.
    """
    net.eval()
    device = next(net.parameters()).device
    parts = []
    for start in range(0, len(curves), batch_size):
        batch = torch.from_numpy(curves[start : start + batch_size]).to(device)
        logits = net(batch[:, :, None]).double()
        parts.append(torch.sigmoid(logits[:, 1] - logits[:, 0]).cpu())
    return np.asarray(torch.cat(parts).numpy(), dtype=np.float64)


def check_informative(scores: NDArray[np.float64], where: str) -> None:
    """Refuses scores that do not tell samples apart.

    Raises:
        DetectorError: a score is not finite, or all are the same within 1e-4.
    """
    if not np.isfinite(scores).all():
        raise DetectorError(f"{where}: the detector's output is NaN; train it again")
    if len(scores) and float(np.ptp(scores)) < CONSTANT_BELOW:
        raise DetectorError(
            f"{where}: the detector gives {scores[0]:.4f} for every curve, its training has "
            "collapsed; train it again at a lower rate (tdctl train-detector without "
            "--preset paper)"
        )


def probe_curves(epochs: int = 50) -> NDArray[np.float32]:
    """Float32 [6, epochs]: curves that any working detector tells apart."""
    time = np.linspace(0, 1, epochs, dtype=np.float32)
    low, high = np.zeros_like(time), np.ones_like(time)
    early = 1 - np.exp(-12 * time)
    late = np.clip(4 * time - 3, 0, 1)
    return np.stack([low, high, early, late, np.full_like(time, 0.5), time]).astype(np.float32)
