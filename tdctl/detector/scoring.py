"""The suspicion of curves and of whole runs, by a detector network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tdctl.detector.reader import PAPERS, Reader, check_readable
from tdctl.dynamics import TrainingDynamics
from tdctl.processors import own_processors, threads_are_asked
from tdctl.slabs import SLAB, slabs_of
from tdctl.training.progress import Clock, Progress, Report

__all__ = ["curves_at_once", "score_run", "suspicion"]

# Curves scored together. On a CPU the states of a batch should stay in the cache: 20,000 curves of
# 100 epochs took 2.7 s in batches of 256 and 4.3 s in batches of 4,096, on one core.
BATCH = {"cpu": 256}
BATCH_ELSEWHERE = 16384
# Slabs scored at the same time, at most: each of them takes about 60 MB.
MOST_SLABS = 8


def curves_at_once(device: torch.device) -> int:
    """The best number of curves per batch for the device."""
    return BATCH.get(device.type, BATCH_ELSEWHERE)


@contextmanager
def _whole_float32() -> Iterator[None]:
    """Uses full float32 on CUDA, where torch's default is TF32: 10 bits of mantissa, not 23."""
    cudnn: Any = torch.backends.cudnn  # its type stubs do not have these settings
    kinds = (cudnn.rnn, cudnn.conv)
    before = [kind.fp32_precision for kind in kinds]
    for kind in kinds:
        kind.fp32_precision = "ieee"
    try:
        yield
    finally:
        for kind, precision in zip(kinds, before, strict=True):
            kind.fp32_precision = precision


@_whole_float32()
def suspicion(
    net: nn.Module, curves: NDArray[np.floating[Any]], batch_size: int | None = None
) -> NDArray[np.float64]:
    """P(mislabeled) of curves, float64 [n] in [0, 1].

    The network computes in float32. bfloat16 was 1.6 times as fast on a CPU that supports it, but
    6,000 curves got only 53 different scores instead of 5,856, and a quarter of the 60 worst
    samples changed. The two logits are compared in float64, so that confident outputs do not all
    become 1.

    Args:
        net: the network of a ``Detector``.
        curves: float16 or float32. For the paper's network: [n, epochs], the given label's
            probability. For others: [n, T, C], from ``Reader.open(dynamics).rows()``.
        batch_size: curves computed together; None chooses by the device of the network.

    Example::

        >>> detector = tdctl.load_detector(Path("builtin"))
        >>> curves = detector.reader.open(dynamics).rows()
        >>> probability = tdctl.suspicion(detector.net, curves)
    """
    net.eval()
    return _scored(net, curves, batch_size or curves_at_once(next(net.parameters()).device))


@torch.no_grad()
def _scored(net: nn.Module, curves: NDArray[np.floating[Any]], size: int) -> NDArray[np.float64]:
    device = next(net.parameters()).device
    scores = torch.empty(len(curves), dtype=torch.float64, device=device)
    for start, stop in slabs_of(len(curves), size):
        batch = torch.from_numpy(curves[start:stop]).to(device).float()
        logits = net(batch if batch.ndim == 3 else batch[:, :, None]).double()
        scores[start:stop] = torch.sigmoid(logits[:, 1] - logits[:, 0])
    return np.asarray(scores.cpu().numpy(), dtype=np.float64)


def _workers(device: torch.device, slabs: int) -> int:
    """How many slabs are scored at the same time.

    On a CPU an operation on a batch of curves is too small for several threads, but each
    processor can score a slab of its own: the batches, and so all bits, stay the same. If the
    user sets the number of threads, torch computes with them and one slab is scored at a time.
    """
    if device.type != "cpu" or threads_are_asked():
        return 1
    return max(1, min(own_processors() // torch.get_num_threads(), slabs, MOST_SLABS))


def _in_turn(
    scored: Callable[[int, int], NDArray[np.float64]],
    slabs: Sequence[tuple[int, int]],
    workers: int,
) -> Iterator[NDArray[np.float64]]:
    """The scores of the slabs, in their order, computed by several threads."""
    if workers == 1:
        yield from (scored(a, b) for a, b in slabs)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting = [pool.submit(scored, a, b) for a, b in slabs]
        try:
            yield from (one.result() for one in waiting)
        finally:
            # After an error or Ctrl-C, slabs that were not begun are not scored.
            for one in waiting:
                one.cancel()


@_whole_float32()
def score_run(
    dynamics: TrainingDynamics,
    net: nn.Module,
    start: int = 0,
    stop: int | None = None,
    reader: Reader = PAPERS,
    report: Report | None = None,
    stage: str = "ranking",
) -> NDArray[np.float64]:
    """P(mislabeled) of the rows ``start`` to ``stop`` of a run, float64 in [0, 1].

    One slab of curves for each processor is in memory at a time, and all ranks if the reader uses
    ranks. Several processes may score a range of rows each: the suspicion of a row does not
    depend on the other rows, except for the last bits of float32.

    Args:
        dynamics: the dynamics of the run.
        net: the network of a ``Detector``.
        start: first row.
        stop: row after the last one; None for the end.
        reader: how the detector reads a run.
        report: is told the number of scored samples if scoring takes more than a moment.
        stage: the name of the scoring in these reports.

    Raises:
        DynamicsError: the run is too short, or has only one given class, or lacks what a channel
            needs.
    """
    check_readable(dynamics, reader)
    first, last, _ = slice(start, stop).indices(len(dynamics))
    scores = np.empty(max(0, last - first), dtype=np.float64)
    device = next(net.parameters()).device
    size = curves_at_once(device)
    # The paper's network reads the curves as they are stored, which needs the fewest copies.
    curves = dynamics.given_curve if reader.is_papers else reader.open(dynamics).rows
    values = 2 * dynamics.epochs if reader.is_papers else 4 * reader.values(dynamics.epochs)
    # Slabs of complete batches, so that only the last batch is smaller than the best size.
    rows = size * max(1, SLAB // (values * size))
    slabs = list(slabs_of(last, rows, first))
    net.eval()

    def scored(a: int, b: int) -> NDArray[np.float64]:
        return _scored(net, curves(a, b), size)

    clock, told = Clock(len(slabs)), False
    parts = _in_turn(scored, slabs, _workers(device, len(slabs)))
    for (a, b), part in zip(slabs, parts, strict=True):
        scores[a - first : b - first] = part
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
