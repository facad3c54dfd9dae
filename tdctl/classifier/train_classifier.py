"""Trains one classifier in its run folder, for recording as for retraining."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray
from torch import nn

from tdctl.classifier.plan import Plan
from tdctl.config import Config, FitConfig
from tdctl.csv_files import write_csv
from tdctl.data import DataSet, Images
from tdctl.errors import RunError, TdctlError
from tdctl.files import first_line, save_tensors
from tdctl.run import LOG_FILE, RunFolder
from tdctl.training import (
    Evaluation,
    FitResult,
    Pipeline,
    Plain,
    Recording,
    Report,
    World,
    evaluate,
    fit,
    lost_processes_as_errors,
    write_log,
)

__all__ = ["results_of", "stopped", "train_classifier"]


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
    mode: Plain | None = None,
    recorder: Recording | None = None,
    report: Report | None = None,
    stage: str,
) -> dict[str, Any]:
    """Trains the networks of a plan and writes log, models and validation results into the run.

    Args:
        training: how they are trained.
        images: what they are trained on; ``targets`` are the given labels.
        valid: held-out images, by which the best epoch is chosen; None where there are none.
        plan: of this training; its networks are trained in place.
        mode: how the training is recorded; plain by default.
        recorder: of the training; None records nothing.

    Returns:
        The errors for the manifest: ``test_error_last`` of the last epoch, and
        ``test_error_best`` of the epoch that was best on held-out images (None without any: a
        number that is chosen on the test set itself is never reported); ``weights`` says whose
        they are.

    Raises:
        TrainingError: the training diverged; the run is marked as failed, or left as it was
            found where no whole epoch was trained.
        RunError: the disk is full, or another process of the run has ended.
    """
    pipeline = Pipeline.of(training, dataset, world.device, plan.precision)
    mode = Plain() if mode is None else mode
    net = plan.net

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
            mode=mode,
            recorder=recorder,
            capture=config.train.capture,
            checkpoint=run.checkpoint,
            log_file=run.path / LOG_FILE,
            compiled=plan.compiled,
            report=report if world.is_first else None,
            stage=stage,
        )
        last = judged(dataset.test)
        if valid is not None and last is not None:
            result.log[-1]["test_error"] = last.error  # in no earlier epoch was it computed
        world.first(lambda: _save(run.path, net, result, mode, training.epochs, recorder))
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
        with lost_processes_as_errors():
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


def _save(
    folder: Path,
    net: nn.Module,
    result: FitResult,
    mode: Plain,
    epochs: int,
    recorder: Recording | None,
) -> None:
    """Writes the best and the last weights, and what the recording mode has found."""
    last = {key: value.detach().cpu() for key, value in net.state_dict().items()}
    for name, state in (("model.pth", result.best), ("model.pth.last", last)):
        save_tensors(folder / name, state)
    if recorder is not None:
        mode.write(folder, epochs)


def _write_tables(
    folder: Path, result: FitResult, watched: Images | None, outcome: Evaluation | None
) -> None:
    write_log(folder / LOG_FILE, result.log)
    if watched is not None and outcome is not None:
        write_csv(folder / "results_valid.csv", results_of(outcome, watched.index))


def results_of(outcome: Evaluation, index: NDArray[Any]) -> pd.DataFrame:
    """The rows of ``results_valid.csv``; ``index`` is int64 [n]."""
    return pd.DataFrame(
        {
            "index": index,
            "Loss": outcome.loss,
            "Prediction": outcome.prediction,
            "Confidence": outcome.confidence,
            "Label": outcome.targets,
        }
    )
