"""Step 1: train a classifier and record every sample's softmax at every epoch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from tdctl.config import Config, TrainConfig
from tdctl.data import DataSet, Images
from tdctl.errors import ConfigError, TdctlError
from tdctl.files import atomic_path, save_tensors
from tdctl.nets import build_net
from tdctl.recorder import Recorder, check_room
from tdctl.run import RunFolder, read_json
from tdctl.runner.prepare import Prepared, prepare, with_whole_paths
from tdctl.training import (
    Evaluation,
    FitResult,
    Pipeline,
    Report,
    evaluate,
    fit,
    pick_device,
    use_bfloat16,
)

__all__ = ["GenerateResult", "default_folder", "generate_td", "train_classifier"]

LOG_COLUMNS = (
    "epoch", "train_error", "train_loss", "valid_error", "valid_top5_error", "valid_loss"
)  # fmt: skip


@dataclass(frozen=True)
class GenerateResult:
    """Where a run was written, its manifest, and notes for the user."""

    folder: Path
    manifest: dict[str, Any]
    notes: tuple[str, ...] = ()
    resumed: bool = False


def default_folder(config: Config, root: Path) -> Path:
    """The paper's folder name for a run, under ``root``."""
    noise, data = config.noise, config.data
    name = f"{data.dataset}_{config.net.label}"
    name += f"_percmislabeled{noise.noise_ratio:g}_{noise.noise_type}"
    return root / name / f"computation4td_seed{config.seed}"


def generate_td(
    config: Config,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    report: Report | None = None,
) -> GenerateResult:
    """Writes a run folder: dynamics, metadata, logs, models, settings and manifest.

    Raises:
        RunError: the folder is occupied, or the run to resume had other settings.
        DataError: the data set is missing or malformed.
        ConfigError: a setting does not fit the data or the machine.
        TrainingError: the training diverged; the folder can be resumed up to that epoch.
    """
    device, config = pick_device(config.device), with_whole_paths(config)
    run = RunFolder(out, "generate-td")
    status = run.open(config, resume, overwrite)
    if status == "complete":
        run.tidy()
        return GenerateResult(out, read_json(out / "manifest.json"), ("already complete",), True)
    prepared = prepare(config)
    if len(prepared.train) < 2:
        raise ConfigError(f"training: {len(prepared.train)} images are left; expected at least 2")
    facts = {
        **prepared.facts(),
        "noise": {
            "type": config.noise.noise_type,
            "ratio": config.noise.noise_ratio,
            "seed": config.noise_seed,
        },
        "seed": config.seed,
        "net": config.net.label,
        "capture": config.train.capture,
        "store": config.train.store,
        "device": str(device),
        "bfloat16": use_bfloat16(config.train.amp, device),
        "threads": torch.get_num_threads(),
        "watched": _watched(prepared)[1],
    }
    resumed = status == "unfinished" and run.checkpoint.exists()
    if resumed:
        run.check_same("data_fingerprint", facts["data_fingerprint"])
    # Before the folder is cleared and marked: what does not fit on the disk leaves no trace.
    classes = prepared.dataset.num_classes
    if not resumed:
        check_room(out, len(prepared.labels), classes, config.train.epochs, config.train.store)
    run.start(config, facts, "unfinished" if resumed else "new")
    make = Recorder.resume if resumed else Recorder.create
    try:
        recorder = make(
            out, prepared.labels, classes, config.train.epochs, device, config.train.store
        )
    except TdctlError as error:
        run.stop("failed", str(error))
        raise
    outcome = train_classifier(
        run,
        config,
        config.train,
        prepared.dataset,
        prepared.train,
        valid=prepared.valid,
        device=device,
        recorder=recorder,
        report=report,
        stage="generate-td",
    )
    # The capture goes only after the manifest says complete: a kill in between can be resumed.
    recorder.write(prepared.valid_indices)
    _write_samples(out / "samples.csv", prepared.dataset)
    return GenerateResult(out, run.finish(outcome), prepared.dataset.notes, resumed)


def train_classifier(
    run: RunFolder,
    config: Config,
    training: TrainConfig,
    dataset: DataSet,
    images: Images,
    *,
    valid: Images | None,
    device: torch.device,
    recorder: Recorder | None = None,
    report: Report | None = None,
    stage: str,
) -> dict[str, Any]:
    """Trains a fresh network and writes log, models and validation results into the run.

    Returns the errors for the manifest: ``test_error_last`` of the last epoch, and
    ``test_error_best`` of the epoch that was best on held-out images (None without any: a
    number chosen on the test set itself is never reported).

    Raises:
        TrainingError: the training diverged; the run is marked as failed, or left as it was
            found where no whole epoch was trained.
    """
    pipeline = Pipeline.of(training, dataset, device)
    net = build_net(config.net, dataset.num_classes, images.pixels.shape[1], config.seed)
    try:
        result = fit(
            net,
            images,
            training,
            pipeline,
            config.seed,
            watched=valid if valid is not None else dataset.test,
            select=valid is not None,
            recorder=recorder,
            checkpoint=run.checkpoint,
            report=report,
            stage=stage,
        )
    except KeyboardInterrupt:
        run.stop("interrupted", "stopped by the user")
        raise
    except TdctlError as error:
        run.stop("failed", str(error))
        raise

    def judged(images: Images | None) -> Evaluation | None:
        return None if images is None else evaluate(net, images, pipeline)

    last = judged(dataset.test)
    _save_models(run.path, net, result)
    _write_csv(run.path / "train_log.csv", pd.DataFrame(result.log, columns=list(LOG_COLUMNS)))
    net.load_state_dict(result.best)
    best = judged(dataset.test) if valid is not None else None
    watched, outcome = (valid, judged(valid)) if valid is not None else (dataset.test, last)
    if watched is not None and outcome is not None:
        _write_csv(run.path / "results_valid.csv", _results(outcome, watched.index))
    return {
        "epochs": training.epochs,
        "test_error_last": None if last is None else last.error,
        "test_error_best": None if best is None else best.error,
        "best_epoch": result.best_epoch if valid is not None else None,
        "train_error_last": result.log[-1]["train_error"],
    }


def _watched(prepared: Prepared) -> tuple[Images | None, str]:
    if prepared.valid is not None:
        return prepared.valid, "held-out images with given labels"
    if prepared.dataset.test is not None:
        return prepared.dataset.test, "test set (nothing is selected on it)"
    return None, "nothing"


def _save_models(folder: Path, net: nn.Module, result: FitResult) -> None:
    last = {key: value.detach().cpu() for key, value in net.state_dict().items()}
    for name, state in (("model.pth", result.best), ("model.pth.last", last)):
        save_tensors(folder / name, state)


def _results(outcome: Evaluation, index: NDArray[np.int64]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "index": index,
            "Loss": outcome.loss,
            "Prediction": outcome.prediction,
            "Confidence": outcome.confidence,
            "Label": outcome.targets,
        }
    )


def _write_samples(path: Path, dataset: DataSet) -> None:
    if dataset.file_names is not None:
        names = {"index": dataset.train.index, "file_name": dataset.file_names}
        _write_csv(path, pd.DataFrame(names))


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    with atomic_path(path) as part:
        table.to_csv(part, index=False)
