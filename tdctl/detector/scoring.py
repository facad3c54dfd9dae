"""Suspicion of curves, and the refusal of detectors that say nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.detector.lstm import LstmDetector
from tdctl.dynamics import TrainingDynamics
from tdctl.errors import DetectorError
from tdctl.slabs import SLAB, slabs_of

__all__ = ["check_informative", "curves_at_once", "score_run", "suspicion"]

# Outputs closer together than this on clearly different curves are a collapsed training.
CONSTANT_BELOW = 1e-4
# Curves scored at once. On a CPU the states of a batch should stay in the cache: 20,000 curves of
# 100 epochs took 2.7 s in batches of 256 and 4.3 s in batches of 4,096, on one core.
BATCH = {"cpu": 256}
BATCH_ELSEWHERE = 16384


def curves_at_once(device: torch.device) -> int:
    """The batch of curves that suits the device."""
    return BATCH.get(device.type, BATCH_ELSEWHERE)


@contextmanager
def _whole_float32() -> Iterator[None]:
    """On CUDA, torch's default for an LSTM is TF32: ten bits of mantissa in place of 23."""
    rnn: Any = torch.backends.cudnn.rnn  # the stubs do not know its settings
    before = rnn.fp32_precision
    rnn.fp32_precision = "ieee"
    try:
        yield
    finally:
        rnn.fp32_precision = before


@torch.no_grad()
@_whole_float32()
def suspicion(
    net: LstmDetector, curves: NDArray[np.floating[Any]], batch_size: int | None = None
) -> NDArray[np.float64]:
    """P(mislabeled) in [0, 1], float64 [n], of curves float16 or float32 [n, epochs].

    The network computes in float32: in bfloat16 it was 1.6 times as fast on a CPU that has it,
    but 6,000 curves got 53 different scores in place of 5,856, and a quarter of the 60 worst
    changed. The two logits are compared in float64, so that confident outputs do not tie at 1.

    Args:
        batch_size: curves at once; by default what suits the device that the network is on.
    """
    net.eval()
    device = next(net.parameters()).device
    size = batch_size or curves_at_once(device)
    scores = torch.empty(len(curves), dtype=torch.float64, device=device)
    for start, stop in slabs_of(len(curves), size):
        batch = torch.from_numpy(curves[start:stop]).to(device).float()
        logits = net(batch[:, :, None]).double()
        scores[start:stop] = torch.sigmoid(logits[:, 1] - logits[:, 0])
    return np.asarray(scores.cpu().numpy(), dtype=np.float64)


def score_run(
    dynamics: TrainingDynamics, net: LstmDetector, start: int = 0, stop: int | None = None
) -> NDArray[np.float64]:
    """P(mislabeled) in [0, 1], float64, of the rows ``start`` to ``stop`` of a run.

    One slab of curves is in memory at a time. Several processes may take a range of rows each:
    a curve's suspicion does not depend on those beside it, but for the last bits of float32.
    """
    first, last, _ = slice(start, stop).indices(len(dynamics))
    scores = np.empty(max(0, last - first), dtype=np.float64)
    device = next(net.parameters()).device
    size = curves_at_once(device)
    # Whole batches, so that every one but the last is as large as the device likes it.
    rows = size * max(1, SLAB // (2 * dynamics.epochs * size))
    for a, b in slabs_of(last, rows, first):
        scores[a - first : b - first] = suspicion(net, dynamics.given_curve(a, b))
    return scores


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
