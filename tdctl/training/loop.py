"""The training loop of all classifiers, with or without a recording."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from tdctl.config import FitConfig
from tdctl.data.dataset import Images
from tdctl.errors import TrainingError
from tdctl.recorder import EpochRows, RunRecorder
from tdctl.training.checkpoint import Checkpoint
from tdctl.training.evaluate import evaluate
from tdctl.training.feed import Feed
from tdctl.training.log import write_log
from tdctl.training.modes.folds import FoldTrainer
from tdctl.training.modes.plain import Plain, Recording
from tdctl.training.pipeline import Pipeline
from tdctl.training.progress import LogRow, Report, Teller
from tdctl.training.trainer import REMEDY, Setup, Trainer
from tdctl.training.world import World

__all__ = ["FitResult", "LogRow", "fit"]


@dataclass
class FitResult:
    """The result of a training.

    Attributes:
        log: one row per epoch, with the columns of ``train_log.csv``; errors in [0, 1].
        best_epoch: the epoch with the lowest error on ``watched`` if this may select; otherwise
            the last epoch.
        best: the state dict of that epoch.
    """

    log: list[LogRow] = field(default_factory=list)
    best_epoch: int = -1
    best: dict[str, torch.Tensor] = field(default_factory=dict)


def fit(
    net: nn.Module,
    images: Images,
    config: FitConfig,
    pipeline: Pipeline,
    seed: int,
    *,
    world: World | None = None,
    watched: Images | None = None,
    select: bool = False,
    mode: Plain | None = None,
    recorder: Recording | None = None,
    capture: Literal["in-loop", "eval-pass"] = "in-loop",
    checkpoint: Path | None = None,
    log_file: Path | None = None,
    compiled: bool = False,
    report: Report | None = None,
    stage: str = "train",
) -> FitResult:
    """Trains ``net`` in place on the given targets.

    The order of epoch e and its augmentation depend only on (seed, e). A run that is resumed from
    a checkpoint therefore gives the same result as a run without interruption.

    Args:
        net: a network that returns logits [B, k], or the networks that the mode has built. With
            ``config.average`` it contains the averaged weights at the end.
        images: the training images; ``targets`` are the given labels.
        config: how to train.
        pipeline: augmentation, normalisation, device and precision.
        seed: seed of the order and the augmentation.
        world: the processes that train together, each on its part of every batch.
        watched: images to evaluate after each epoch, for the columns ``valid_*`` of the log.
        select: whether the best epoch is chosen on ``watched``. It must be False for a test set,
            whose error then also goes into the column ``test_error``.
        mode: how the training is recorded; plain by default.
        recorder: records the softmax of each sample in each epoch. It is a ``RunRecorder`` in the
            first process and ``EpochRows`` in the others.
        capture: ``in-loop`` records the softmax of the training step itself; ``eval-pass``
            records it in a separate pass.
        checkpoint: a file that the first process replaces after each epoch. If it exists, the
            training is resumed from it.
        log_file: the log, which the first process replaces after each epoch.
        compiled: whether to compile the network for the training steps.
        report: is told the progress.
        stage: the name of this training in progress reports.

    Raises:
        TrainingError: the loss is not finite; the message names the epoch and the batch.
        ConfigError: the batch or the data set has fewer than two images for each process.
    """
    world = World(device=pipeline.device) if world is None else world
    mode = Plain() if mode is None else mode
    mode.check(len(images), config.batch_size, world.size)
    trainer = mode.trainer(Setup(net, images, config, pipeline, seed, world, compiled))
    result, start = FitResult(), 0
    saved = None
    if checkpoint is not None:
        saved = world.told(lambda: Checkpoint.read(checkpoint))
    if saved is not None:
        saved.restore(trainer)
        result, start = FitResult(saved.log, saved.best_epoch, saved.best), saved.epoch
        # A kill may have damaged the log, so it is written again from the checkpoint.
        _add_test_errors(result.log, select)
        world.first(partial(_write_epoch, saved, None, log_file))
    watched_feed = None if watched is None else Feed(watched, pipeline.device)
    valid_errors = [row["valid_error"] for row in result.log]
    course = (config.epochs, trainer.steps, start)
    tell = Teller(report, stage, *course, valid_errors, "valid" if select else "test")
    for epoch in range(start, config.epochs):
        row = trainer.train_epoch(epoch, recorder if capture == "in-loop" else None, tell)
        if recorder is not None and capture == "eval-pass":
            trainer.capture_pass(epoch, recorder)
        mode.after_epoch(trainer, recorder)
        for recording in mode.recordings(recorder):
            _commit(recording, epoch, world)
        last = epoch + 1 == config.epochs
        if watched is not None and (last or (epoch + 1) % config.eval_every == 0):
            _watch(row, trainer, watched, watched_feed, select)
        result.log.append(row)
        if _is_better(result, row, select) or (last and not select):
            result.best_epoch, result.best = epoch, _state_of(trainer.judged)
        state = trainer.state_dict() if checkpoint is not None else {}
        whole = Checkpoint(epoch + 1, state, result.log, result.best_epoch, result.best)
        world.first(partial(_write_epoch, whole, checkpoint, log_file))
        tell.epoch_done(epoch + 1, row)
    if recorder is not None and mode.predict(trainer, recorder):
        _commit(recorder, None, world)
    if config.average != "none":
        net.load_state_dict(trainer.judged.state_dict())
    return result


def _rows_of(recorder: Recording) -> EpochRows:
    return recorder.rows if isinstance(recorder, RunRecorder) else recorder


def _commit(recorder: Recording, epoch: int | None, world: World) -> None:
    """Collects the rows of all processes in the first process, which writes them.

    With ``epoch`` None, these are the predictions after the last epoch.
    """
    if world.size > 1:
        rows = _rows_of(recorder)
        parts = world.gather(rows.packed())
        if parts is not None:
            rows.absorb(parts[1:])
        else:
            rows.reset()

    def write() -> None:
        if not isinstance(recorder, RunRecorder):
            return
        if epoch is None:
            recorder.commit_final()
        else:
            recorder.commit(epoch)

    world.first(write)


def _add_test_errors(log: list[LogRow], select: bool) -> None:
    """Adds the column ``test_error`` to a log that an earlier version wrote without it."""
    for row in log:
        row.setdefault("test_error", None if select else row["valid_error"])


def _write_epoch(whole: Checkpoint, checkpoint: Path | None, log_file: Path | None) -> None:
    """Writes the checkpoint, then the log, so that the log has no epoch that will be repeated."""
    if checkpoint is not None:
        whole.write(checkpoint)
    if log_file is not None:
        write_log(log_file, whole.log)


def _watch(
    row: LogRow,
    trainer: Trainer | FoldTrainer,
    watched: Images,
    feed: Feed | None,
    select: bool,
) -> None:
    """Evaluates the network and puts the result into a row of the log."""
    outcome = evaluate(trainer.judged, watched, trainer.pipeline, world=trainer.world, feed=feed)
    row["valid_error"] = outcome.error
    row["valid_top5_error"] = outcome.top5_error
    row["valid_loss"] = outcome.mean_loss
    row["test_error"] = None if select else outcome.error
    if not math.isfinite(outcome.mean_loss):
        raise TrainingError(
            f"epoch {row['epoch']}, batch {trainer.steps - 1}: after it the loss on the watched "
            f"images is not finite; {REMEDY}"
        )


def _is_better(result: FitResult, row: LogRow, select: bool) -> bool:
    """Whether the error is lower than in all earlier epochs; with equal errors, the loss."""
    error, loss = row["valid_error"], row["valid_loss"]
    if not select or error is None or loss is None:
        return False
    earlier = ((r["valid_error"], r["valid_loss"]) for r in result.log[:-1])
    return all(e is None or lo is None or (error, loss) < (e, lo) for e, lo in earlier)


def _state_of(net: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.detach().cpu().clone() for key, value in net.state_dict().items()}
