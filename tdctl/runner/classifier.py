"""The training of one classifier inside a run folder, for recording as for retraining."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray
from torch import nn

from tdctl.config import Config, FitConfig, TrainConfig
from tdctl.data import DataSet, Images
from tdctl.data.augment import Augment
from tdctl.errors import RunError, TdctlError
from tdctl.files import first_line, save_tensors
from tdctl.nets import count_flops
from tdctl.pretrained import Weights
from tdctl.recorder import EpochRows, Recorder
from tdctl.run import LOG_FILE, RunFolder
from tdctl.runner.csv_files import write_csv
from tdctl.runner.starts import alone, planned_start, start
from tdctl.training import (
    Evaluation,
    FitResult,
    Folds,
    Pipeline,
    Precision,
    Report,
    Threads,
    World,
    check_sizes,
    compile_pays,
    evaluate,
    fit,
    losses_told,
    pick_precision,
    write_log,
)

__all__ = ["Plan", "plan_training", "stopped", "train_classifier"]


@dataclass(frozen=True)
class Plan:
    """How a classifier will be trained on this machine: what follows from settings and data.

    Attributes:
        precision: of the network's computations.
        compiled: whether the network is compiled.
        why_compiled: in words.
        threads: that compute it.
        weights: that the network starts from; None where it starts afresh.
        model_bytes: of a file of all the networks' weights.
        changed: what is not as it was when the resumed run began, in words.
    """

    precision: Precision
    compiled: bool
    why_compiled: str
    threads: Threads
    weights: Weights | None
    model_bytes: int
    changed: tuple[str, ...] = ()

    def facts(self, world: World) -> dict[str, Any]:
        """What the manifest says of the computation."""
        return {
            "device": str(world.device),
            "precision": self.precision,
            "compiled": self.compiled,
            **self.threads.facts(),
            "processes": world.size,
            "pretrained": None if self.weights is None else self.weights.facts(),
        }

    @property
    def choice(self) -> str:
        """Whether the network is compiled and why, in words."""
        return f"{'compiled' if self.compiled else 'not compiled'}: {self.why_compiled}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of a run: what is out of the ordinary."""
        notes: tuple[str, ...] = (self.choice,) if self.compiled else ()
        notes += () if self.weights is None else (self.weights.note,)
        if self.changed:
            notes += (f"began otherwise ({'; '.join(self.changed)}): not the bits of one go",)
        return notes


def plan_training(
    config: Config,
    training: FitConfig,
    dataset: DataSet,
    images: Images,
    world: World,
    began: Mapping[str, Any] | None = None,
) -> Plan:
    """The precision and threads of a training, what it starts from, and whether compiling pays:
    the first process's choice, in all.

    Args:
        began: what ``RunFolder.began_with`` gives of a run that is resumed; its precision and
            threads stay, where they can, and what has changed is noted.

    Raises:
        ConfigError: too few images for the processes, or what they are augmented by does not suit
            them, or weights do not fit the network.
    """
    folds = training.folds if isinstance(training, TrainConfig) else 0
    check_sizes(len(images), training.batch_size, world.size, folds)
    Augment(training, dataset)  # refuses what does not suit the images
    net, weights = world.together(lambda: start(config, training, dataset, images, config.seed))
    flops = count_flops(config.net, dataset.num_classes, images.shape) * len(alone(net))
    # With folds each network is compiled for itself.
    of_each = len(images) * (folds - 1) // folds if folds else len(images)
    compiled, why = compile_pays(training, flops, of_each, world.device)
    precision = pick_precision(training, world.device)
    if began:
        precision = began.get("precision", precision)
        if began.get("compiled", compiled) != compiled:
            compiled, why = not compiled, "as the run began"
    # The user's number, the run's, or by the work of this process's part of a batch.
    of_step = 3 * flops * min(training.batch_size, len(images)) / world.size
    threads = Threads.planned(of_step, world.device, began)
    model_bytes = sum(tensor.nbytes for tensor in net.state_dict().values()) * (folds or 1)
    plan = Plan(precision, compiled, why, threads, weights, model_bytes)
    now = plan.facts(world)
    was = dict(began or {})
    changed = [f"{key} {was[key]}, now {now[key]}" for key in was if was[key] != now[key]]
    return world.shared(replace(plan, changed=tuple(changed)))


def train_classifier(
    run: RunFolder,
    config: Config,
    training: FitConfig,
    dataset: DataSet,
    images: Images,
    *,
    valid: Images | None,
    plan: Plan,
    world: World,
    folds: Folds | None = None,
    recorder: Recorder | EpochRows | None = None,
    left_out: Images | None = None,
    report: Report | None = None,
    stage: str,
) -> dict[str, Any]:
    """Trains a fresh network and writes log, models and validation results into the run.

    With ``folds`` it is one for each of them; judged and saved is their ensemble.

    Returns the errors for the manifest: ``test_error_last`` of the last epoch, and
    ``test_error_best`` of the epoch that was best on held-out images (None without any: a
    number chosen on the test set itself is never reported); ``weights`` says whose they are.

    Raises:
        TrainingError: the training diverged; the run is marked as failed, or left as it was
            found where no whole epoch was trained.
        RunError: the disk is full, or another process of the run has ended.
        ConfigError: the file of weights is not the one that the plan was made with.
    """
    pipeline = Pipeline.of(training, dataset, world.device, plan.precision)
    count = 0 if folds is None else folds.count
    given = (config, training, dataset, images, plan.weights, count)
    net = world.together(lambda: planned_start(*given))

    def judged(images: Images | None) -> Evaluation | None:
        return None if images is None else evaluate(net, images, pipeline, world=world)

    with stopped(run, world), plan.threads.used():
        result = fit(
            net,
            images,
            training,
            pipeline,
            config.seed,
            world=world,
            watched=valid if valid is not None else dataset.test,
            select=valid is not None,
            folds=folds,
            recorder=recorder,
            capture=config.train.capture,
            left_out=left_out,
            checkpoint=run.checkpoint,
            log_file=run.path / LOG_FILE,
            compiled=plan.compiled,
            report=report if world.is_first else None,
            stage=stage,
        )
        last = judged(dataset.test)
        if valid is not None and last is not None:
            result.log[-1]["test_error"] = last.error  # in no earlier epoch was it computed
        world.first(lambda: _save_models(run.path, net, result))
        if result.thresholds is not None:
            world.first(partial(result.thresholds.write, run.path))
        result.best = world.shared(result.best)
        net.load_state_dict(result.best)
        best = judged(dataset.test) if valid is not None else None
        watched, outcome = (valid, judged(valid)) if valid is not None else (dataset.test, last)
        world.first(lambda: _write_tables(run.path, result, watched, outcome))
    return {
        "epochs": training.epochs,
        "weights": "last step" if training.average == "none" else "running average",
        "test_error_last": None if last is None else last.error,
        "test_error_best": None if best is None else best.error,
        "best_epoch": result.best_epoch if valid is not None else None,
        "train_error_last": result.log[-1]["train_error"],
    }


@contextmanager
def stopped(run: RunFolder, world: World) -> Iterator[None]:
    """Marks the run as ended early where the block does not end well.

    Raises:
        RunError: the disk is full, or another process of the run has ended.
    """

    def stop(interrupted: bool, reason: str) -> None:
        # A full disk may not take the manifest either; "running" can be resumed as well.
        with suppress(OSError):
            if world.is_first:
                run.stop("interrupted" if interrupted else "failed", reason)

    try:
        with losses_told():
            yield
    except KeyboardInterrupt:
        stop(True, "stopped by the user")
        raise
    except TdctlError as error:
        stop(False, str(error))
        raise
    except RuntimeError as error:
        what, then = _of_torch(error)
        stop(False, what)
        raise RunError(f"{run.path}: {what}; {then}") from error
    except OSError as error:
        what = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
        what = f"{error.filename or run.path}: {what}"
        stop(False, what)
        then = "go on with --resume" if run.checkpoint.exists() else "start again"
        raise RunError(f"{what}; mend that and {then}") from None


def _of_torch(error: RuntimeError) -> tuple[str, str]:
    """What went wrong and what to do, of torch's errors that are no mistake in the program.

    Raises:
        RuntimeError: the error itself, where it is.
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "OutOfMemoryError" in kinds or "can't allocate memory" in str(error):
        return "the memory is full", "start again with a smaller --batch-size"
    if kinds & {"TorchDynamoException", "InductorError"}:
        return f"compiling failed ({first_line(error)})", "start again with --no-compile"
    raise error


def _save_models(folder: Path, net: nn.Module, result: FitResult) -> None:
    last = {key: value.detach().cpu() for key, value in net.state_dict().items()}
    for name, state in (("model.pth", result.best), ("model.pth.last", last)):
        save_tensors(folder / name, state)


def _write_tables(
    folder: Path, result: FitResult, watched: Images | None, outcome: Evaluation | None
) -> None:
    write_log(folder / LOG_FILE, result.log)
    if watched is not None and outcome is not None:
        write_csv(folder / "results_valid.csv", _results(outcome, watched.index))


def _results(outcome: Evaluation, index: NDArray[Any]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "index": index,
            "Loss": outcome.loss,
            "Prediction": outcome.prediction,
            "Confidence": outcome.confidence,
            "Label": outcome.targets,
        }
    )
