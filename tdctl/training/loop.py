"""The one loop that trains a classifier, for recording as for retraining."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from tdctl.config import FitConfig
from tdctl.cuts import Thresholds
from tdctl.data.dataset import Images
from tdctl.errors import ConfigError, TrainingError
from tdctl.recorder import EpochRows, Recorder
from tdctl.training.checkpoint import Checkpoint
from tdctl.training.evaluate import evaluate
from tdctl.training.feed import Feed
from tdctl.training.folds import Folds, FoldTrainer
from tdctl.training.log import write_log
from tdctl.training.pipeline import Pipeline
from tdctl.training.progress import LogRow, Report, Teller
from tdctl.training.tap import Tap
from tdctl.training.trainer import REMEDY, Trainer
from tdctl.training.unseen import Unseen
from tdctl.training.world import World

__all__ = ["FitResult", "LogRow", "check_sizes", "fit"]


@dataclass
class FitResult:
    """What a training leaves.

    Attributes:
        log: a row an epoch, with the columns of ``train_log.csv``; errors in [0, 1].
        best_epoch: the epoch of the lowest error on ``watched``, where that may select.
        best: state dict of that epoch, or of the last where nothing may select.
        thresholds: of a recorded ``Pair``, what it found with its threshold samples; else None.
    """

    log: list[LogRow] = field(default_factory=list)
    best_epoch: int = -1
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    thresholds: Thresholds | None = None


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
    folds: Folds | None = None,
    recorder: Recorder | EpochRows | None = None,
    capture: Literal["in-loop", "eval-pass"] = "in-loop",
    left_out: Images | None = None,
    checkpoint: Path | None = None,
    log_file: Path | None = None,
    compiled: bool = False,
    report: Report | None = None,
    stage: str = "train",
) -> FitResult:
    """Trains ``net`` in place on the given targets; with ``config.average`` it ends averaged.

    The order of epoch e and its augmentation depend on (seed, e) alone, so that a run that
    goes on from a checkpoint is the run that was never stopped.

    Args:
        net: a network giving logits [B, k].
        images: the training images; ``targets`` are the given labels.
        world: the processes that train it together, each on its part of every batch.
        watched: images evaluated after each epoch into the log's ``valid_*`` columns.
        select: whether the best epoch may be chosen on ``watched``: never on a test set. Where it
            may not, ``watched`` is the test set, and its error also the log's ``test_error``.
        folds: lets each network of ``net``, a ``FoldEnsemble``, train on all images but those of
            its fold, and records its answers to these. Then ``recorder`` gets each image from
            the network that has the next fold.
        recorder: records the softmax of each sample in each epoch; ``EpochRows`` in all
            processes but the first.
        capture: ``in-loop``: of the training step itself; ``eval-pass``: of a pass of its own.
        left_out: images that are not trained on; after each epoch the recorder gets what the
            network says of them.
        checkpoint: a file rewritten after each epoch (by the first process), from which the
            training goes on where the file is there.
        log_file: rewritten after each epoch (by the first process) with a row more.
        compiled: compile the network for the training steps.

    Raises:
        TrainingError: the loss is not finite; names the epoch and the batch. Or the recorder asks
            for features, and the network has no linear layer.
        ConfigError: there is not one whole batch of two images for each process.
    """
    world = World(device=pipeline.device) if world is None else world
    check_sizes(len(images), config.batch_size, world.size, 0 if folds is None else folds.count)
    made_of = (images, config, pipeline, seed, world, compiled)
    trainer: Trainer | FoldTrainer
    trainer = Trainer(net, *made_of) if folds is None else FoldTrainer(net, *made_of, folds)
    if isinstance(trainer, Trainer) and _wants_features(recorder):
        trainer.tap = Tap(net if capture == "in-loop" else trainer.judged)
    result, start = FitResult(), 0
    saved = None
    if checkpoint is not None:
        saved = world.told(lambda: Checkpoint.read(checkpoint))
    if saved is not None:
        saved.restore(trainer)
        result, start = FitResult(saved.log, saved.best_epoch, saved.best), saved.epoch
        # Whatever a kill left of the file: the checkpoint knows each epoch once.
        _write_log(log_file, _with_test_errors(result.log, select), world)
    watched_feed = None if watched is None else Feed(watched, pipeline.device)
    unseen = None if left_out is None else Unseen(left_out, pipeline, world)
    valid_errors = [row["valid_error"] for row in result.log]
    course = (config.epochs, trainer.steps, start)
    tell = Teller(report, stage, *course, valid_errors, "valid" if select else "test")
    for epoch in range(start, config.epochs):
        row = trainer.train_epoch(epoch, recorder if capture == "in-loop" else None, tell)
        _complete(trainer, epoch, recorder, capture, unseen, folds)
        last = epoch + 1 == config.epochs
        if watched is not None and (last or (epoch + 1) % config.eval_every == 0):
            _watch(row, trainer, watched, watched_feed, select)
        result.log.append(row)
        if _is_better(result, row, select) or (last and not select):
            result.best_epoch, result.best = epoch, _state_of(trainer.judged)
        if checkpoint is not None:
            state = trainer.state_dict()
            whole = Checkpoint(epoch + 1, state, result.log, result.best_epoch, result.best)
            world.first(partial(whole.write, checkpoint))
        # After the checkpoint, so that it has no epoch that a resumed training repeats.
        _write_log(log_file, result.log, world)
        tell.epoch_done(epoch + 1, row)
    if trainer.tap is not None:
        trainer.tap.close()
    if trainer.threshold is not None and recorder is not None:
        result.thresholds = trainer.threshold.found(config.epochs)
    if config.average != "none":
        net.load_state_dict(trainer.judged.state_dict())
    return result


def check_sizes(images: int, batch_size: int, processes: int, folds: int = 0) -> None:
    """Refuses fewer than two images for each process, in all (of any fold) or in a batch.

    Raises:
        ConfigError: says what is expected.
    """
    if folds > images:
        raise ConfigError(
            f"train.folds: {folds} folds of {images} images; give at most as many as images"
        )
    least = 2 * processes
    left = images - math.ceil(images / folds) if folds else images
    if left < least:
        without = f"train.folds: without a fold of {folds}" if folds else "training"
        raise ConfigError(f"{without}: {left} images are left; expected at least {least}")
    if batch_size < least:
        raise ConfigError(
            f"batch_size: {batch_size} images for {processes} processes; expected at least "
            f"{least}, two for each"
        )


def _rows_of(recorder: Recorder | EpochRows) -> EpochRows:
    return recorder.rows if isinstance(recorder, Recorder) else recorder


def _wants_features(recorder: Recorder | EpochRows | None) -> bool:
    return recorder is not None and _rows_of(recorder).features is not None


def _complete(
    trainer: Trainer | FoldTrainer,
    epoch: int,
    recorder: Recorder | EpochRows | None,
    capture: Literal["in-loop", "eval-pass"],
    unseen: Unseen | None,
    folds: Folds | None,
) -> None:
    """Records what the steps of the epoch did not, and writes it."""
    if recorder is not None:
        if capture == "eval-pass":
            trainer.capture_pass(epoch, recorder)
        if unseen is not None:
            unseen.record(trainer.judged, recorder)
    for recording in (recorder, None if folds is None else folds.heldout):
        if recording is not None:
            _commit(recording, epoch, trainer.world)
    if trainer.threshold is not None and recorder is not None:
        trainer.threshold.commit(trainer.world)


def _commit(recorder: Recorder | EpochRows, epoch: int, world: World) -> None:
    """Brings the rows of all processes to the first, which writes them."""
    if world.size > 1:
        rows = _rows_of(recorder)
        parts = world.gather(rows.packed())
        if parts is not None:
            rows.absorb(parts[1:])
        else:
            rows.reset()

    def write() -> None:
        if isinstance(recorder, Recorder):
            recorder.commit(epoch)

    world.first(write)


def _with_test_errors(log: list[LogRow], select: bool) -> list[LogRow]:
    """The log, to which a checkpoint of an earlier version gave no such column."""
    for row in log:
        row.setdefault("test_error", None if select else row["valid_error"])
    return log


def _write_log(path: Path | None, log: list[LogRow], world: World) -> None:
    if path is not None:
        world.first(partial(write_log, path, log))


def _watch(
    row: LogRow,
    trainer: Trainer | FoldTrainer,
    watched: Images,
    feed: Feed | None,
    select: bool,
) -> None:
    """Evaluates into the log's row."""
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
    """Lower error than in all epochs before; among equal errors, lower loss."""
    error, loss = row["valid_error"], row["valid_loss"]
    if not select or error is None or loss is None:
        return False
    earlier = ((r["valid_error"], r["valid_loss"]) for r in result.log[:-1])
    return all(e is None or lo is None or (error, loss) < (e, lo) for e, lo in earlier)


def _state_of(net: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.detach().cpu().clone() for key, value in net.state_dict().items()}
