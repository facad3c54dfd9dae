"""Suspicion of curves and of whole runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tdctl.detector.reader import PAPERS, Reader, check_readable
from tdctl.dynamics import TrainingDynamics
from tdctl.slabs import SLAB, slabs_of
from tdctl.training.progress import Clock, Progress, Report

__all__ = ["curves_at_once", "score_run", "suspicion"]

# Curves scored at once. On a CPU the states of a batch should stay in the cache: 20,000 curves of
# 100 epochs took 2.7 s in batches of 256 and 4.3 s in batches of 4,096, on one core.
BATCH = {"cpu": 256}
BATCH_ELSEWHERE = 16384


def curves_at_once(device: torch.device) -> int:
    """The batch of curves that suits the device."""
    return BATCH.get(device.type, BATCH_ELSEWHERE)


@contextmanager
def _whole_float32() -> Iterator[None]:
    """On CUDA, torch's default for these networks is TF32: ten bits of mantissa in place of 23."""
    cudnn: Any = torch.backends.cudnn  # the stubs do not know its settings
    kinds = (cudnn.rnn, cudnn.conv)
    before = [kind.fp32_precision for kind in kinds]
    for kind in kinds:
        kind.fp32_precision = "ieee"
    try:
        yield
    finally:
        for kind, precision in zip(kinds, before, strict=True):
            kind.fp32_precision = precision


@torch.no_grad()
@_whole_float32()
def suspicion(
    net: nn.Module, curves: NDArray[np.floating[Any]], batch_size: int | None = None
) -> NDArray[np.float64]:
    """P(mislabeled) in [0, 1], float64 [n], of curves float16 or float32.

    The network computes in float32: in bfloat16 it was 1.6 times as fast on a CPU that has it,
    but 6,000 curves got 53 different scores in place of 5,856, and a quarter of the 60 worst
    changed. The two logits are compared in float64, so that confident outputs do not tie at 1.

    Args:
        net: of a ``Detector``.
        curves: [n, epochs], the given label's probability, for the paper's network; for others
            [n, T, C], what ``Reader.open`` shows of a run.
        batch_size: curves at once; by default what suits the device that the network is on.
    """
    net.eval()
    device = next(net.parameters()).device
    size = batch_size or curves_at_once(device)
    scores = torch.empty(len(curves), dtype=torch.float64, device=device)
    for start, stop in slabs_of(len(curves), size):
        batch = torch.from_numpy(curves[start:stop]).to(device).float()
        logits = net(batch if batch.ndim == 3 else batch[:, :, None]).double()
        scores[start:stop] = torch.sigmoid(logits[:, 1] - logits[:, 0])
    return np.asarray(scores.cpu().numpy(), dtype=np.float64)


def score_run(
    dynamics: TrainingDynamics,
    net: nn.Module,
    start: int = 0,
    stop: int | None = None,
    reader: Reader = PAPERS,
    report: Report | None = None,
    stage: str = "ranking",
) -> NDArray[np.float64]:
    """P(mislabeled) in [0, 1], float64, of the rows ``start`` to ``stop`` of a run.

    One slab of curves is in memory at a time, beside the ranks where the reader sees them.
    Several processes may take a range of rows each: a row's suspicion does not depend on which
    others are asked for, but for the last bits of float32. What takes more than a moment is
    reported, as a ``stage``, by samples.

    Raises:
        DynamicsError: the run is too short, has a single class, or lacks what a channel needs.
    """
    check_readable(dynamics, reader)
    first, last, _ = slice(start, stop).indices(len(dynamics))
    scores = np.empty(max(0, last - first), dtype=np.float64)
    device = next(net.parameters()).device
    size = curves_at_once(device)
    # The paper's network takes the curves as they are stored, which copies least.
    curves = dynamics.given_curve if reader.is_papers else reader.open(dynamics).rows
    values = 2 * dynamics.epochs if reader.is_papers else 4 * reader.values(dynamics.epochs)
    # Whole batches, so that every one but the last is as large as the device likes it.
    rows = size * max(1, SLAB // (values * size))
    slabs = list(slabs_of(last, rows, first))
    clock, told = Clock(len(slabs)), False
    for a, b in slabs:
        scores[a - first : b - first] = suspicion(net, curves(a, b))
        due = clock.step(b - a)
        if report is not None and (told if b == last else due):
            told = True
            speed, left = clock.speed()
            done, total = b - first, last - first
            report(
                Progress(
                    stage,
                    done,
                    total,
                    0,
                    0,
                    images_per_second=speed,
                    seconds_left=left,
                    counted="sample",
                )
            )
    return scores
