"""Trains one classifier in its run folder, with or without a recording."""

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
    """Trains the networks of a plan; writes the log, the models and the validation results.

    Args:
        run: the run folder, already started.
        config: all settings.
        training: the settings of this training (``config.train`` or ``config.retrain``).
        dataset: the data set.
        images: the images to train on; ``targets`` are the given labels.
        valid: held-out images that choose the best epoch; None if there are none.
        plan: the plan of this training; its networks are trained in place.
        world: the processes that train together.
        mode: how the training is recorded; plain by default.
        recorder: records the training; None records nothing.
        report: is told the progress.
        stage: the name of this training in progress reports.

    Returns:
        The results for the manifest. ``test_error_last`` is the test error of the last epoch.
        ``test_error_best`` is the test error of the epoch that was best on the held-out images;
        it is None without held-out images, because a result that is selected on the test set is
        never reported. ``weights`` says whether the last step or the running average was tested.

    Raises:
        TrainingError: the training diverged. The run is marked as failed. If no epoch was
            complete, its new files are removed.
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
            result.log[-1]["test_error"] = last.error  # it is not computed in earlier epochs
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
    """Marks the run as ended early if the block raises an error.

    Raises:
        RunError: the disk is full, or another process of the run has ended.
    """

    def stop(interrupted: bool, reason: str) -> None:
        # If the disk is full, the manifest may not be written. Its status is then still
        # "running", which can be resumed too.
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
    """What went wrong and what to do, for errors of torch that are not a bug in the program.

    Raises:
        RuntimeError: the same error again, if it is a bug.
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "OutOfMemoryError" in kinds or "can't allocate memory" in str(error):
        what = "a smaller --batch-size, or with --set train.checkpoint_blocks=true"
        return "the memory is full", f"start again with {what}"
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
    """Writes the best and the last weights, and the files of the recording mode."""
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
