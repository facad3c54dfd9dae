"""The recording of linear heads on vectors, a kind of ``generate-td``."""

from __future__ import annotations

from functools import partial
from typing import Any

from tdctl.classifier import HeadPlan, stopped, train_heads
from tdctl.config import Config
from tdctl.features import write_feature_scores
from tdctl.inputs import Prepared, check_same_data, prepare
from tdctl.recorder import Forecast, RunRecorder, check_room, forecast
from tdctl.run import RunFolder
from tdctl.runner.run_tables import write_confusion, write_samples
from tdctl.training import Report, World

__all__ = ["check_same_vectors", "forecast_heads", "record_heads"]


def forecast_heads(prepared: Prepared, plan: HeadPlan) -> Forecast:
    """The disk space of a recording of heads, in bytes.

    Raises:
        ConfigError: as in ``tdctl.recorder.forecast``.
    """
    n, k = len(prepared.train), prepared.dataset.num_classes
    return forecast(n, k, plan.epochs, plan.store, recordings=2)


def check_same_vectors(run: RunFolder, config: Config) -> str | None:
    """Refuses embeddings or labels that have changed since a run of them was complete.

    Args:
        run: the folder, which has been opened.
        config: all settings.

    Returns:
        A note if their file is no longer there, so that it cannot be compared; else None.

    Raises:
        DataError, RunError: they have changed.
    """
    data = config.data
    if data.dataset != "embeddings":
        return None
    gone = [path for path in (data.root, data.labels) if path is not None and not path.exists()]
    if gone:
        return f"{gone[0]} is no longer there, so it is not compared with the run"
    prepared = prepare(config)
    check_same_data(run.path, prepared.dataset)
    given = prepared.given.labels.fingerprint()
    run.check_same("given_fingerprint", given, of="the given labels")
    return None


def record_heads(
    run: RunFolder,
    config: Config,
    prepared: Prepared,
    facts: dict[str, Any],
    plan: HeadPlan,
    world: World,
    report: Report | None,
) -> dict[str, Any]:
    """Trains and records the heads, and scores the vectors themselves; returns the manifest.

    An interrupted run starts again, because the heads take little time.

    Raises:
        RunError: the disk has too little space.
        TrainingError: the heads diverged.
    """
    check_room(run.path, forecast_heads(prepared, plan).needed_bytes, plan.store)
    with stopped(run, world):
        run.start(config, facts, "new")
        k = prepared.dataset.num_classes
        make = partial(
            RunRecorder.create, run.path, prepared.labels, k, plan.epochs, world.device,
            plan.store, overwrite=True,
        )  # fmt: skip
        heldout = make(heldout=True)
        seen = make()
        write_samples(run.path, prepared.dataset)
        outcome = train_heads(run, config, prepared, plan, world, seen, heldout, report)
        with plan.threads.used():
            write_feature_scores(run.path, prepared.train, prepared.labels, k)
        # The held-out dynamics first: where the other file exists, both do.
        for recording in (heldout, seen):
            recording.write(prepared.valid_indices)
        write_confusion(run.path / "confusion.csv", prepared)
        return run.finish(outcome)
