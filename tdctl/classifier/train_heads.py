"""Trains and records linear heads on vectors: frozen features, or embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.classifier.watched_vectors import WatchedVectors
from tdctl.config import Config
from tdctl.data import Images
from tdctl.errors import ConfigError, DataError, TrainingError
from tdctl.features.heads import (
    Course,
    Epoch,
    HeadTrainer,
    stable_course,
    weights_of_margins,
)
from tdctl.features.transform import Transform
from tdctl.files import save_tensors
from tdctl.inputs import Prepared
from tdctl.labels import stratified_folds
from tdctl.recorder import RunRecorder, forecast
from tdctl.run import LOG_FILE, RunFolder
from tdctl.streams import FEATURE_SAMPLE
from tdctl.training import (
    Progress,
    Report,
    Threads,
    World,
    write_log,
)
from tdctl.training.progress import Clock, LogRow

__all__ = ["HeadPlan", "check_heads", "fitting_heads", "plan_heads", "train_heads"]

# The transform is computed from at most this many vectors, and values.
SAMPLED, SAMPLED_VALUES = 100_000, 50_000_000
# The largest recording of all classes that is made unasked.
FULL_BYTES = 2e9
# The operations of all rounds up to which the recipe is not shortened: some ten minutes of a core.
# Below ENOUGH epochs there are two heads only; there are never fewer than FEWEST epochs.
BUDGET, ENOUGH, FEWEST = 3e13, 20, 5
# Neighbours of fewer vectors say nothing.
FEWEST_VECTORS = 3
MORE_COLUMNS = ("heldout_error", "heldout_loss")


@dataclass(frozen=True)
class HeadPlan:
    """How heads will be trained on this machine.

    Attributes:
        folds: how many heads there are.
        rounds: how often they are trained.
        epochs: of each round.
        threads: the threads that compute it.
        store: what is kept of each softmax.
        notes: what is not as the recipe has it, and why, one line each.
    """

    folds: int
    rounds: int
    epochs: int
    threads: Threads
    store: str
    notes: tuple[str, ...] = ()

    def facts(self, world: World) -> dict[str, Any]:
        """The facts about the computation for the manifest."""
        return {
            "device": str(world.device),
            "precision": "float32",
            "compiled": False,
            **self.threads.facts(),
            "processes": 1,
            "pretrained": None,
            "head_rounds": self.rounds,
            "folds": self.folds,
            "store": self.store,
        }


def check_heads(config: Config, world: World) -> None:
    """Refuses settings that heads on vectors do not have, before any image is read.

    Raises:
        ConfigError: the message names the setting and what to give instead.
    """
    train = config.train
    if config.recipe not in (None, "features"):
        raise ConfigError(
            f"recipe: '{config.recipe}' trains a network on images; heads on features and "
            "embeddings have --recipe features"
        )
    instead = {
        "loss": (train.loss not in ("ce", "gce"), "heads know --loss ce and gce"),
        "folds": (
            train.folds < 2,
            "a head that has seen a label knows it by heart, so at least 2 --folds are needed",
        ),
        "schedule": (train.schedule != "constant", "heads have --set train.schedule=constant"),
        "mixup": (train.mixup > 0, "heads do not mix samples; give --mixup 0"),
        "capture": (train.capture != "in-loop", "heads are recorded --capture in-loop"),
        "label_smoothing": (
            train.label_smoothing > 0,
            "heads have none; give --set train.label_smoothing=0",
        ),
        "average": (train.average != "none", "heads have --set train.average=none"),
        "augment": (train.augment, "vectors are not augmented; give --no-augment"),
        "flip": (
            train.flip is not None,
            "vectors are not mirrored; leave out --flip and --no-flip",
        ),
        "crop_padding": (train.crop_padding is not None, "vectors are not cropped; leave it out"),
        "amp": (bool(train.amp), "heads compute in float32; leave out --amp"),
        "compile": (bool(train.compile), "heads are not compiled; leave out --compile"),
        "threshold_samples": (
            train.threshold_samples,
            "heads on features have no threshold samples; leave out --threshold-samples",
        ),
        "leave_out": (
            train.leave_out is not None,
            "heads judge every sample held out; leave out --leave-out",
        ),
    }
    for name, (wrong, why) in instead.items():
        if wrong:
            raise ConfigError(f"train.{name}: {why}, or give --recipe features as it is")
    if config.data.num_valid:
        raise ConfigError(
            "data.num_valid: heads on features judge every sample by its fold; leave out "
            "--num-valid"
        )
    if world.size > 1:
        raise ConfigError(
            "heads on features are trained by one process; start tdctl without torchrun"
        )


def plan_heads(
    config: Config, prepared: Prepared, world: World, began: Mapping[str, Any] | None
) -> HeadPlan:
    """How the heads will be trained; see ``fitting_heads`` for what it raises."""
    train, n = config.train, len(prepared.train)
    width, k = prepared.train.shape[0], prepared.dataset.num_classes
    folds, epochs = fitting_heads(config, n, width, k)
    notes: tuple[str, ...] = ()
    if (folds, epochs) != (train.folds, train.epochs):
        notes = (
            f"{folds} heads and {epochs} epochs instead of {train.folds} and {train.epochs}, "
            f"because {n:,} vectors of {k:,} classes take long; --folds and --epochs say otherwise",
        )
    of_step = 4.0 * width * k * folds * min(train.batch_size, n)
    threads = Threads.planned(of_step, world.device, began)
    store = train.store
    if store == "auto":
        store = "full"
        size = forecast(n, k, epochs, store, recordings=2).file_bytes
        if size > FULL_BYTES and k > 2:
            store = "few:1"
            notes += (
                "of each softmax, the given label and the largest other class are kept "
                f"(--store {store}), because all {k:,} classes take {size / 1e9:,.1f} GB; "
                "--store full keeps them",
            )
    return HeadPlan(folds, config.heads.rounds, epochs, threads, store, notes)


def fitting_heads(config: Config, n: int, width: int, k: int) -> tuple[int, int]:
    """Folds and epochs, fewer where the heads would take hours and the settings allow it.

    Args:
        config: all settings.
        n: how many vectors are trained on.
        width: the numbers of a vector.
        k: the number of classes.

    Raises:
        DataError: there are too few vectors to rank.
        ConfigError: there are more folds than vectors.
    """
    if n < FEWEST_VECTORS:
        raise DataError(f"{n} vectors are too few to be ranked; give at least {FEWEST_VECTORS}")
    if config.train.folds > n:
        raise ConfigError(
            f"train.folds: {config.train.folds} folds of {n} vectors; give --folds {n} or fewer"
        )
    heads, train = config.heads, config.train
    folds, epochs = train.folds, train.epochs

    def fitting(folds: int) -> int:
        return int(BUDGET / (4.0 * n * width * k * folds * heads.rounds))

    if heads.shorten_folds and folds > 2 and fitting(folds) < ENOUGH:
        folds = 2
    if heads.shorten_epochs:
        epochs = min(epochs, max(FEWEST, fitting(folds)))
    return folds, epochs


def train_heads(
    run: RunFolder,
    config: Config,
    prepared: Prepared,
    plan: HeadPlan,
    world: World,
    seen: RunRecorder,
    heldout: RunRecorder,
    report: Report | None,
) -> dict[str, Any]:
    """Trains the heads round by round and records the last one; writes the log and the heads.

    Args:
        run: the run folder, already started.
        config: all settings.
        prepared: the vectors with their given labels.
        plan: how they are trained.
        world: the device.
        seen: records each sample by a head that trains on it.
        heldout: records each sample by the head that does not.
        report: is told the progress.

    Returns:
        The results for the manifest.

    Raises:
        TrainingError: the heads diverged.
    """
    train, rounds = config.train, plan.rounds
    images, given, k = prepared.train, prepared.labels.assigned, prepared.dataset.num_classes
    course = Course(
        epochs=plan.epochs,
        batch_size=train.batch_size,
        rate=train.lr,
        momentum=train.momentum,
        weight_decay=train.decay_of(len(images)),
        robust=train.loss == "gce",
    )
    log: list[LogRow] = []
    watch_over = WatchedVectors.of(config, prepared, plan.epochs, world)
    weights: NDArray[np.float32] | None = None
    with plan.threads.used():
        rows = _Vectors(images)
        transform = _transform(images, config.heads.whiten)
        clock = Clock(rounds * plan.epochs * -(-len(images) // train.batch_size))
        for turn in range(rounds):
            # Other folds in each round: a fold's luck does not repeat.
            folds = stratified_folds(prepared.strata, plan.folds, config.split_seed + turn)
            make = partial(
                HeadTrainer, rows, given, k, folds, transform,
                weights=weights, seed=config.seed + turn, device=world.device,
            )  # fmt: skip
            course = stable_course(make, course, k)
            trainer = make(course)
            margins = _Margins(len(images), torch.from_numpy(given).to(world.device))
            last = turn == rounds - 1
            index = torch.from_numpy(images.index).to(world.device)

            def watch(
                rows_B: torch.Tensor, seen_BK: torch.Tensor, heldout_BK: torch.Tensor,
                last: bool = last, margins: _Margins = margins, index: torch.Tensor = index,
            ) -> None:  # fmt: skip
                if last:
                    seen.record(index[rows_B], seen_BK)
                    heldout.record(index[rows_B], heldout_BK)
                else:
                    margins.add(rows_B, heldout_BK)

            teller = _Teller(report, clock, turn * plan.epochs, rounds * plan.epochs, trainer.steps)
            for epoch in range(plan.epochs):
                row = trainer.train_epoch(epoch, watch, teller.of(epoch, len(images)))
                if not np.isfinite(row.train_loss):
                    raise TrainingError(
                        f"the heads diverged in epoch {epoch}; give a smaller --lr than "
                        f"{course.rate:g}"
                    )
                if last:
                    heldout.commit(epoch)
                    seen.commit(epoch)
                    log.append(_logged(row))
                    if watch_over.due(epoch):
                        watch_over.put(log[-1], trainer.mean_head())
                    write_log(run.path / LOG_FILE, log, MORE_COLUMNS)
            weights = None if last else weights_of_margins(margins.mean())
    save_tensors(run.path / "model.pth", trainer.state_dict())
    save_tensors(run.path / "model.pth.last", trainer.state_dict())
    with plan.threads.used():
        test_error = watch_over.finish(run.path, log[-1], trainer.mean_head())
    write_log(run.path / LOG_FILE, log, MORE_COLUMNS)
    return {
        "epochs": plan.epochs,
        "weights": "last step",
        "lr": course.rate,
        "test_error_last": test_error,
        "test_error_best": None,
        "best_epoch": None,
        "train_error_last": log[-1]["train_error"],
        "heldout_error_last": log[-1]["heldout_error"],
    }


@dataclass(frozen=True)
class _Vectors:
    """The vectors of the samples by row."""

    images: Images

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, parts: Any) -> Any:
        return self.images.batches(parts)


class _Margins:
    """The mean held-out margin of each sample over the epochs of a round."""

    def __init__(self, n: int, given: torch.Tensor) -> None:
        self._given, self._total = given, torch.zeros(n, device=given.device)

    def add(self, rows_B: torch.Tensor, logits_BK: torch.Tensor) -> None:
        """Adds the margins of a batch."""
        own = self._given[rows_B][:, None]
        given = logits_BK.gather(1, own)[:, 0]
        other = logits_BK.scatter(1, own, -torch.inf).max(dim=1).values
        self._total[rows_B] += given - other

    def mean(self) -> NDArray[np.float32]:
        """Float32 [n], up to a factor."""
        found: NDArray[np.float32] = self._total.cpu().numpy()
        return found


class _Teller:
    """Reports how far all rounds are."""

    def __init__(
        self, report: Report | None, clock: Clock, before: int, epochs: int, steps: int
    ) -> None:
        self._report, self._clock, self._before = report, clock, before
        self._epochs, self._steps = epochs, steps

    def of(self, epoch: int, n: int) -> Any:
        """What is called after each step of an epoch."""

        def tell(step: int) -> None:
            if self._clock.step(n // self._steps) and self._report is not None:
                speed, left = self._clock.speed()
                self._report(
                    Progress(
                        "generate-td",
                        self._before + epoch,
                        self._epochs,
                        step + 1,
                        self._steps,
                        images_per_second=speed,
                        seconds_left=left,
                    )
                )

        return tell


def _transform(images: Images, whiten: float) -> Transform:
    """The transform of the vectors, from a sample drawn at random if there are very many."""
    rows = np.arange(len(images))
    most = min(SAMPLED, SAMPLED_VALUES // images.shape[0])
    if len(rows) > most:
        rows = np.sort(FEATURE_SAMPLE.numpy_generator().choice(len(rows), most, replace=False))
    return Transform.of(next(iter(images.batches([rows]))), whiten)


def _logged(row: Epoch) -> LogRow:
    return {
        "epoch": row.number,
        "train_error": row.train_error,
        "train_loss": row.train_loss,
        "valid_error": None,
        "valid_top5_error": None,
        "valid_loss": None,
        "test_error": None,
        "heldout_error": row.heldout_error,
        "heldout_loss": row.heldout_loss,
    }
