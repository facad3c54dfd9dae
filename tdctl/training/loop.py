"""The one loop that trains a classifier, for recording as for retraining."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tdctl.config import TrainConfig
from tdctl.data.dataset import Images
from tdctl.errors import ConfigError, TrainingError
from tdctl.recorder import Recorder
from tdctl.training.checkpoint import Checkpoint
from tdctl.training.evaluate import evaluate
from tdctl.training.pipeline import Pipeline
from tdctl.training.progress import Clock, Progress, Report

__all__ = ["FitResult", "LogRow", "fit"]

LogRow = dict[str, float | int | None]
REMEDY = "lower the learning rate (--lr) or compute in float32 (--no-amp)"


@dataclass
class FitResult:
    """What a training leaves.

    Attributes:
        log: a row an epoch, with the columns of ``train_log.csv``; errors in [0, 1].
        best_epoch: the epoch of the lowest error on ``watched``, where that may select.
        best: state dict of that epoch, or of the last where nothing may select.
    """

    log: list[LogRow] = field(default_factory=list)
    best_epoch: int = -1
    best: dict[str, torch.Tensor] = field(default_factory=dict)


def fit(
    net: nn.Module,
    images: Images,
    config: TrainConfig,
    pipeline: Pipeline,
    seed: int,
    *,
    watched: Images | None = None,
    select: bool = False,
    recorder: Recorder | None = None,
    checkpoint: Path | None = None,
    report: Report | None = None,
    stage: str = "train",
) -> FitResult:
    """Trains ``net`` in place on the given targets.

    The order of epoch e and its augmentation depend on (seed, e) alone, so that a run that
    goes on from a checkpoint is the run that was never stopped.

    Args:
        net: a network giving logits [B, k].
        images: the training images; ``targets`` are the given labels.
        watched: images evaluated after each epoch into the log's ``valid_*`` columns.
        select: whether the best epoch may be chosen on ``watched``: never on a test set.
        recorder: records the softmax of each sample in each epoch.
        checkpoint: a file rewritten after each epoch, from which the training goes on where
            the file is there.

    Raises:
        TrainingError: the loss is not finite; names the epoch and the batch.
        ConfigError: there is not one whole batch of two images.
    """
    if len(images) < 2:
        raise ConfigError(f"training: {len(images)} images are left; expected at least 2")
    loop = _Loop(net, images, config, pipeline, seed)
    saved = Checkpoint.read(checkpoint) if checkpoint is not None else None
    result, start = FitResult(), 0
    if saved is not None:
        saved.restore(net, loop.optimizer)
        result, start = FitResult(saved.log, saved.best_epoch, saved.best), saved.epoch
    loop.tell = _Teller(report, stage, config.epochs, loop.steps, start, result.log)
    for epoch in range(start, config.epochs):
        row = loop.train_epoch(epoch, recorder if config.capture == "in-loop" else None)
        if recorder is not None:
            if config.capture == "eval-pass":
                loop.capture_pass(epoch, recorder)
            recorder.commit(epoch)
        last = epoch + 1 == config.epochs
        if watched is not None and (last or (epoch + 1) % config.eval_every == 0):
            outcome = evaluate(net, watched, pipeline)
            row["valid_error"] = outcome.error
            row["valid_top5_error"] = outcome.top5_error
            row["valid_loss"] = outcome.mean_loss
            if not math.isfinite(outcome.mean_loss):
                raise TrainingError(
                    f"epoch {epoch}, batch {loop.steps - 1}: after it the loss on the watched "
                    f"images is not finite; {REMEDY}"
                )
        result.log.append(row)
        if _is_better(result, row, select) or (last and not select):
            result.best_epoch, result.best = epoch, _state_of(net)
        if checkpoint is not None:
            Checkpoint.of(
                net, loop.optimizer, epoch + 1, result.log, result.best_epoch, result.best
            ).write(checkpoint)
        loop.tell.epoch_done(epoch + 1, row)
    return result


def _is_better(result: FitResult, row: LogRow, select: bool) -> bool:
    """Lower error than in all epochs before; among equal errors, lower loss."""
    error, loss = row["valid_error"], row["valid_loss"]
    if not select or error is None or loss is None:
        return False
    earlier = ((r["valid_error"], r["valid_loss"]) for r in result.log[:-1])
    return all(e is None or lo is None or (error, loss) < (e, lo) for e, lo in earlier)


def _state_of(net: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.detach().cpu().clone() for key, value in net.state_dict().items()}


def _stream(seed: int, epoch: int, purpose: int, device: torch.device) -> torch.Generator:
    state = np.random.SeedSequence([seed, epoch, purpose]).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(state[0] >> np.uint64(1)))


class _Loop:
    """Network, optimiser and data of one training."""

    def __init__(
        self,
        net: nn.Module,
        images: Images,
        config: TrainConfig,
        pipeline: Pipeline,
        seed: int,
    ) -> None:
        self._net, self._config, self._pipeline, self._seed = net, config, pipeline, seed
        self._device = device = pipeline.device
        # The stubs know only the overloads of `to` without a memory format for modules.
        net.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._images = images
        pixels = images.tensor() if images.resident else None
        self._pixels = None if pixels is None else pixels.to(device)
        self._targets = torch.from_numpy(images.targets).to(device)
        self._index = torch.from_numpy(images.index).to(device)
        self.optimizer = torch.optim.SGD(
            net.parameters(),
            lr=config.lr,
            momentum=config.momentum,
            nesterov=config.momentum > 0,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self._bounds = _batch_bounds(len(images), config.batch_size)
        self._sizes = torch.tensor([stop - start for start, stop in self._bounds])
        self.steps = len(self._bounds)
        self.tell: _Teller

    def train_epoch(self, epoch: int, recorder: Recorder | None) -> LogRow:
        """One pass over the images; every sample is seen exactly once."""
        drops = sum(
            epoch >= _drop_epoch(share, self._config.epochs) for share in self._config.lr_drops
        )
        for group in self.optimizer.param_groups:
            group["lr"] = self._config.lr * 0.1**drops
        self._net.train()
        order = torch.randperm(
            len(self._targets), generator=_stream(self._seed, epoch, 0, torch.device("cpu"))
        ).to(self._device)
        stream = _stream(self._seed, epoch, 1, self._device)
        losses = torch.full((self.steps,), torch.nan, device=self._device)
        wrong = torch.zeros((), device=self._device)
        images = 0
        batches = self._batches([order[start:stop] for start, stop in self._bounds])
        for step, ((start, stop), (rows, pixels)) in enumerate(
            zip(self._bounds, batches, strict=True)
        ):
            logits, loss = self._step(rows, pixels, stream)
            losses[step] = loss
            wrong += (logits.argmax(dim=1) != self._targets[rows]).sum()
            images = stop
            if recorder is not None:
                recorder.record(self._index[rows], logits)
            # Reading a loss waits for the device, so it happens only when a report is due.
            if self.tell.step_done(stop - start) and stop < len(order):
                mean = _checked_mean(losses[: step + 1], self._sizes, epoch)
                self.tell.within(epoch, step + 1, mean, float(wrong) / images)
        mean = _checked_mean(losses, self._sizes, epoch)
        return {
            "epoch": epoch,
            "train_error": float(wrong) / images,
            "train_loss": mean,
            "valid_error": None,
            "valid_top5_error": None,
            "valid_loss": None,
        }

    def _batches(self, parts: list[torch.Tensor]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Rows and pixels of each part: from the device where all are there, else as they come."""
        if self._pixels is not None:
            return ((rows, self._pixels[rows]) for rows in parts)
        read = self._images.batches([rows.cpu().numpy() for rows in parts])
        return zip(parts, read, strict=True)

    def _step(
        self, rows: torch.Tensor, pixels: torch.Tensor, stream: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self._pipeline.logits(self._net, pixels, stream)
        loss = functional.cross_entropy(
            logits, self._targets[rows], label_smoothing=self._config.label_smoothing
        )
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimizer.step()
        return logits.detach(), loss.detach()

    @torch.no_grad()
    def capture_pass(self, epoch: int, recorder: Recorder) -> None:
        """Records each sample in eval mode, augmented once more.

        Source: Jia et al. (AAAI 2023), published code: an extra pass over the augmented
            training set after each epoch.
        """
        self._net.eval()
        stream = _stream(self._seed, epoch, 2, self._device)
        everything = torch.arange(len(self._targets), device=self._device)
        for rows, pixels in self._batches(list(torch.split(everything, 512))):
            logits = self._pipeline.logits(self._net, pixels, stream)
            recorder.record(self._index[rows], logits)


def _drop_epoch(share: float, epochs: int) -> int:
    """The first epoch at the lower rate: never the very first; 0.29 of 200 is 58, not 57."""
    return max(1, int(share * epochs + 1e-9))


def _batch_bounds(total: int, batch_size: int) -> list[tuple[int, int]]:
    """Start and stop of each batch; a last batch of one image joins the one before it.

    One image alone has no batch statistics where a network's last maps are single pixels.
    """
    starts = list(range(0, total, batch_size))
    if len(starts) > 1 and total - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], total], strict=True))


def _checked_mean(losses: torch.Tensor, sizes: torch.Tensor, epoch: int) -> float:
    losses = losses.cpu().double()
    bad = (~torch.isfinite(losses)).nonzero()
    if len(bad):
        raise TrainingError(f"epoch {epoch}, batch {int(bad[0])}: the loss is not finite; {REMEDY}")
    sizes = sizes[: len(losses)]
    return float((losses * sizes).sum() / sizes.sum())


class _Teller:
    """Turns steps and epochs into reports."""

    def __init__(
        self,
        report: Report | None,
        stage: str,
        epochs: int,
        steps: int,
        start: int,
        log: list[LogRow],
    ) -> None:
        self._report, self._stage, self._epochs, self._steps = report, stage, epochs, steps
        self._clock = Clock((epochs - start) * steps)
        self._valid_error: Any = next(
            (row["valid_error"] for row in reversed(log) if row["valid_error"] is not None), None
        )

    def step_done(self, images: int) -> bool:
        return self._clock.step(images) and self._report is not None

    def within(self, epoch: int, step: int, loss: float, error: float) -> None:
        self._send(epoch, step, loss, error)

    def epoch_done(self, done: int, row: LogRow) -> None:
        if row["valid_error"] is not None:
            self._valid_error = row["valid_error"]
        self._send(done, self._steps, row["train_loss"], row["train_error"])

    def _send(self, epoch: int, step: int, loss: float | None, error: float | None) -> None:
        if self._report is None:
            return
        speed, left = self._clock.speed()
        self._report(
            Progress(
                self._stage,
                epoch,
                self._epochs,
                step,
                self._steps,
                loss,
                error,
                self._valid_error,
                speed,
                left,
            )
        )
