"""The recording of linear heads on vectors, a kind of ``generate-td``."""

from __future__ import annotations

from functools import partial
from typing import Any

from tdctl.classifier import HeadPlan, stopped, train_heads
from tdctl.config import Config
from tdctl.features import write_feature_scores
from tdctl.inputs import Prepared
from tdctl.recorder import Forecast, RunRecorder, check_room, forecast
from tdctl.run import RunFolder
from tdctl.runner.run_tables import write_confusion, write_samples
from tdctl.training import Report, World

__all__ = ["forecast_heads", "record_heads"]


def forecast_heads(prepared: Prepared, plan: HeadPlan) -> Forecast:
    """The disk space of a recording of heads, in bytes.

    Raises:
        ConfigError: as in ``tdctl.recorder.forecast``.
    """
    n, k = len(prepared.train), prepared.dataset.num_classes
    return forecast(n, k, plan.epochs, plan.store, recordings=2)


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
