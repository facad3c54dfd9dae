"""The loop of all robust trainings; for each epoch: train, record, evaluate, write a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import torch

from tdctl.data import Images
from tdctl.errors import TrainingError
from tdctl.recorder import RunRecorder
from tdctl.robust.ce import CrossEntropy
from tdctl.robust.dividemix import DivideMix
from tdctl.robust.setup import Algorithm, RobustSetup
from tdctl.robust.ssr import Ssr
from tdctl.training import Evaluation, Report, evaluate, write_log
from tdctl.training.checkpoint import Checkpoint
from tdctl.training.feed import Feed
from tdctl.training.progress import LogRow, Teller
from tdctl.training.trainer import REMEDY, Trainer

__all__ = ["RobustResult", "open_algorithm", "train_robustly"]

# The number of last epochs over which the mean test error is computed.
LAST_EPOCHS = 10


@dataclass
class RobustResult:
    """The result of a robust training.

    Attributes:
        log: one row per epoch.
        algorithm: the trained algorithm; ``judged`` has the weights of the last epoch.
        best_epoch: the epoch with the lowest error on held-out images; the last one without them.
        best: state dict of ``judged`` after that epoch.
    """

    algorithm: Algorithm
    log: list[LogRow] = field(default_factory=list)
    best_epoch: int = -1
    best: dict[str, torch.Tensor] = field(default_factory=dict)

    def mean_of_last(self) -> float | None:
        """The mean test error of those of the last ten epochs that were evaluated."""
        errors = [row["test_error"] for row in self.log[-LAST_EPOCHS:]]
        known = [error for error in errors if error is not None]
        return float(np.mean(known)) if known else None


def open_algorithm(setup: RobustSetup) -> Algorithm:
    """The algorithm that the settings name.

    Raises:
        ConfigError: a setting does not fit the data.
    """
    if setup.config.algorithm == "ce":
        return CrossEntropy(setup)
    if setup.config.algorithm == "ssr":
        return Ssr(setup)
    return DivideMix(setup)


def train_robustly(
    setup: RobustSetup,
    recorders: Sequence[RunRecorder],
    *,
    valid: Images | None,
    test: Images | None,
    checkpoint: Path,
    log_file: Path,
    report: Report | None = None,
) -> RobustResult:
    """Trains in place, from the checkpoint if there is one.

    All random numbers of an epoch depend only on the seed and the epoch. So a run that is resumed
    from its checkpoint gives the same result as a run that was never stopped.

    Args:
        setup: networks, images and settings.
        recorders: for the first network, and for the second one if there are two. Each gets the
            network's logits of all training images after each epoch, in eval mode and without
            augmentation.
        valid: held-out images, which select the best epoch; None without them.
        test: test images; they select nothing.
        checkpoint: the file of the checkpoint.
        log_file: the file of the log.
        report: is told the progress.

    Raises:
        TrainingError: a loss or a logit is not finite; names the network.
        RunError: the checkpoint belongs to another network.
    """
    algorithm, epochs = open_algorithm(setup), setup.config.epochs
    result, start = RobustResult(algorithm), 0
    saved = Checkpoint.read(checkpoint)
    if saved is not None:
        # A checkpoint only calls load_state_dict, which an algorithm has, too.
        saved.restore(cast(Trainer, algorithm))
        result = RobustResult(algorithm, saved.log, saved.best_epoch, saved.best)
        start = saved.epoch
        write_log(log_file, result.log, algorithm.columns)
    index = torch.from_numpy(setup.images.index).to(setup.pipeline.device)
    watched = _Watched(setup, valid, test)
    errors = [row["valid_error"] for row in result.log]
    course = (epochs, algorithm.steps, start)
    stage = setup.config.algorithm
    tell = Teller(report, stage, *course, errors, "test" if valid is None else "valid")
    for epoch in range(start, epochs):
        row = algorithm.epoch(epoch, tell)
        # Only if something is recorded: with "ce", the logits cost a pass over the images.
        for recorder, logits in zip(
            recorders, algorithm.logits() if recorders else (), strict=False
        ):
            recorder.record(index, logits)
            recorder.commit(epoch)
        last = epoch + 1 == epochs
        if last or (epoch + 1) % setup.config.eval_every == 0:
            watched.evaluate(algorithm, row)
        result.log.append(row)
        if _is_better(result, row, valid) or (last and valid is None):
            state = algorithm.judged.state_dict()
            result.best = {key: value.detach().cpu().clone() for key, value in state.items()}
            result.best_epoch = epoch
        whole = (algorithm.state_dict(), result.log, result.best_epoch, result.best)
        Checkpoint(epoch + 1, *whole).write(checkpoint)
        # The log is written after the checkpoint, so a resumed run repeats no epoch of the log.
        write_log(log_file, result.log, algorithm.columns)
        tell.epoch_done(epoch + 1, row)
    return result


class _Watched:
    """The images that are evaluated after an epoch; the errors go into its row of the log."""

    def __init__(self, setup: RobustSetup, valid: Images | None, test: Images | None) -> None:
        self._pipeline, self._valid, self._test = setup.pipeline, valid, test
        device = setup.pipeline.device
        self._feeds = [None if some is None else Feed(some, device) for some in (valid, test)]

    def evaluate(self, algorithm: Algorithm, row: LogRow) -> None:
        """Fills in the columns of held-out images and of test images.

        Without held-out images, the test images also fill the columns of held-out images.

        Raises:
            TrainingError: the loss is not finite.
        """
        found: list[Evaluation | None] = [
            None
            if images is None
            else evaluate(algorithm.judged, images, self._pipeline, feed=feed)
            for images, feed in zip((self._valid, self._test), self._feeds, strict=True)
        ]
        valid, test = found
        watched = test if valid is None else valid
        if watched is not None:
            row["valid_error"] = watched.error
            row["valid_top5_error"] = watched.top5_error
            row["valid_loss"] = watched.mean_loss
            if not math.isfinite(watched.mean_loss):
                raise TrainingError(
                    f"epoch {row['epoch']}: the evaluation loss is not finite; {REMEDY}"
                )
        row["test_error"] = None if test is None else test.error


def _is_better(result: RobustResult, row: LogRow, valid: Images | None) -> bool:
    """Whether the held-out error (if equal, the loss) is lower than in all epochs before."""
    error, loss = row["valid_error"], row["valid_loss"]
    if valid is None or error is None or loss is None:
        return False
    earlier = [(r["valid_error"], r["valid_loss"]) for r in result.log[:-1]]
    return all(e is None or lo is None or (error, loss) < (e, lo) for e, lo in earlier)
