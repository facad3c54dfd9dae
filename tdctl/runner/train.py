"""Trains a classifier on labels that are partly wrong: plain training, SSR, DivideMix, AugDesc."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tdctl.classifier import forecast_disk, plan_training, stopped
from tdctl.config import Config
from tdctl.errors import ConfigError, DataError, RunError
from tdctl.files import read_json
from tdctl.finding.suited import suited
from tdctl.inputs import (
    Prepared,
    check_same_data,
    normalised_alike,
    prepare,
    settled,
)
from tdctl.recorder import Forecast, RunRecorder, check_room
from tdctl.robust import (
    Networks,
    RobustSetup,
    Truth,
    check_strong,
    find_first_split,
    open_algorithm,
    read_split_ranking,
    train_robustly,
)
from tdctl.run import (
    LOG_FILE,
    MANIFEST_FILE,
    SECOND,
    RunFolder,
)
from tdctl.runner.begun import Begun, begin
from tdctl.runner.generate_td import GenerateResult
from tdctl.runner.run_tables import write_samples
from tdctl.runner.train_outcome import (
    RECORDED,
    Cleaned,
    Training,
    facts_of,
    write_training,
)
from tdctl.training import Pipeline, Report, World, pick_device

__all__ = ["plan_train", "train"]


def train(
    config: Config,
    out: Path,
    *,
    td: Path | None = None,
    cleaned: Cleaned | None = None,
    resume: bool = False,
    overwrite: bool = False,
    report: Report | None = None,
) -> GenerateResult:
    """Trains as ``config.robust`` says, and writes a run folder like that of ``generate_td``.

    After each epoch, a pass in eval mode records the dynamics of the first network. With
    ``config.robust.record``, the second network is recorded, too, or nothing is recorded.

    Args:
        config: all settings.
        out: the run folder.
        td: a run. It is an error if the data or the given labels of ``config`` are not those of
            this run. None checks nothing.
        cleaned: the labels after a cleaning; None trains on all given labels.
        resume: continues an unfinished training in the folder; starts one if there is none.
        overwrite: replaces an existing run.
        report: is told the progress.

    Raises:
        RunError: the folder is occupied or is inside the data, or the training to resume had
            other settings, or the disk has too little space.
        DataError: the data set is missing or malformed, or is not the one of ``td``.
        ConfigError: a setting does not fit the data or the machine.
        TrainingError: a network diverged; the message names it.

    Example::

        >>> ssr = {"robust.algorithm": "ssr", "robust.epochs": 2}
        >>> config = tdctl.load_config(Path("my.yaml"), overrides=ssr)
        >>> result = tdctl.train(config, Path("runs/ssr"))
    """
    world = World(device=pick_device(config.device))
    config = suited(settled(config), out if resume else None, td)
    run = RunFolder(out, "train")
    begun = begin(run, config, lambda: read_split_ranking(config.robust), resume, overwrite)
    if begun.status == "complete":
        return GenerateResult(out, begun.manifest, ("already complete",), True)
    if cleaned is not None:
        # Trainings on parts of a data set are compared, so all get the weight decay of the whole.
        # With auto, a smaller part would get a higher one.
        robust = config.robust.with_decay_of(len(cleaned.labels))
        config = config.model_copy(update={"robust": robust})
    whole = _read(config, begun, td, world, cleaned=cleaned, report=report)
    prepared, plan = whole.prepared, whole.plan
    facts = {**facts_of(config, whole, td), **plan.facts(world)}
    recorders = _start(run, begun, config, whole, facts)
    setup = _setup(config, whole, world)
    with stopped(run, world), plan.threads.used():
        result = train_robustly(
            setup,
            recorders,
            valid=prepared.valid,
            test=prepared.dataset.test,
            checkpoint=run.checkpoint,
            log_file=run.path / LOG_FILE,
            report=report,
        )
        outcome = write_training(run.path, whole, setup, result, recorders)
        manifest = run.finish(outcome)
    notes = (*plan.notes, *prepared.dataset.notes, *filter(None, [begun.other_versions]))
    if events := result.algorithm.events:
        more = "" if len(events) == 1 else f" ({len(events)} such, all in {MANIFEST_FILE})"
        notes += (f"{events[0]}{more}",)
    return GenerateResult(out, manifest, notes, begun.resumed)


def plan_train(
    config: Config,
    out: Path,
    *,
    td: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> list[str]:
    """What ``train`` would do, one line each; raises the errors that it would raise at its start.

    Only the first image is decoded. If another one cannot be decoded, only the run finds out.
    """
    world = World(device=pick_device(config.device))
    config = suited(settled(config), out if resume else None, td)
    run = RunFolder(out, "train")
    begun = begin(run, config, lambda: read_split_ranking(config.robust), resume, overwrite)
    if begun.status == "complete":
        raise RunError(f"{out}: the run is complete already; nothing is left to do")
    whole = _read(config, begun, td, world, dry=True)
    prepared, robust = whole.prepared, config.robust
    disk = _disk(config, whole)
    if begun.status == "new":
        check_room(out, disk.needed_bytes, robust.store)
    count = whole.mode.trained_at_once
    nets = config.net.label if count == 1 else f"{count} {config.net.label}"
    first = f", {int(whole.split.rows.sum())} taken as wrong at first" if robust.split_from else ""
    notes = (*whole.plan.notes, *prepared.dataset.notes, *filter(None, [begun.other_versions]))
    facts = prepared.facts()
    return [
        *(f"note: {note}" for note in notes),
        f"would train {nets} by {robust.algorithm} for {robust.epochs} epochs on "
        f"{len(prepared.train)} images{first} ({facts['flipped']} labels flipped, "
        f"{facts['realised_rate']:.2%}) on {world.device} in {whole.plan.precision}, and write "
        f"about {disk.file_bytes / 1e6:,.1f} MB to {out} ({begun.status}); until it ends, "
        f"{disk.capture_bytes / 1e6:,.1f} MB more",
    ]


def _read(
    config: Config,
    begun: Begun,
    td: Path | None,
    world: World,
    *,
    dry: bool = False,
    cleaned: Cleaned | None = None,
    report: Report | None = None,
) -> Training:
    """Reads the data set with its given labels and the first split; plans the training."""
    prepared = prepare(config, dry=dry, split_by=begun.split_by, report=report)
    robust, dataset = config.robust, prepared.dataset
    if td is not None:
        _check_as_run(td, prepared)
    if cleaned is not None:
        prepared = cleaned.of(prepared)
    present = len(np.unique(prepared.labels.assigned))
    if present < 2:
        raise ConfigError(
            f"{dataset.name}: the given labels of the {len(prepared.train)} training images hold "
            f"{present} class; expected at least two classes"
        )
    check_strong(robust, dataset)
    names = dataset.class_names
    split = find_first_split(begun.ranking, robust, prepared.labels, names, prepared.names)
    dataset = normalised_alike(dataset, begun.channels, world)
    prepared = replace(prepared, dataset=dataset)
    mode = Networks(2 if robust.algorithm in ("dividemix", "augdesc") else 1)
    # A compiled network needs batches of one size, and only plain training has them.
    plain = robust.algorithm == "ce"
    fit = robust if plain else robust.model_copy(update={"compile": False})
    plan = plan_training(config, fit, dataset, prepared.train, mode, world, begun.computation)
    return Training(prepared, split, mode, plan, cleaned)


def _check_as_run(td: Path, prepared: Prepared) -> None:
    """Refuses data or given labels that are not those of a run.

    Raises:
        DataError: they differ; the message says in what.
    """
    check_same_data(td, prepared.dataset)
    manifest = td / MANIFEST_FILE
    was = read_json(manifest).get("given_fingerprint") if manifest.exists() else None
    if was is not None and was != prepared.given.labels.fingerprint():
        raise DataError(
            f"{td}: its settings give other labels now than when it was made; restore the table, "
            "pairs or matrix of its noise, or leave out the options that change the noise"
        )


def _disk(config: Config, whole: Training) -> Forecast:
    """The disk space that this training needs, as forecast for a recording."""
    robust = config.robust
    recorded = config.model_copy(update={"train": robust})
    count = RECORDED[robust.record]
    return forecast_disk(recorded, whole.prepared, whole.plan, whole.mode, count)


def _start(
    run: RunFolder, begun: Begun, config: Config, whole: Training, facts: dict[str, Any]
) -> list[RunRecorder]:
    """Marks the folder as running, and opens the recorders."""
    prepared, robust = whole.prepared, config.robust
    if begun.resumed:
        check_same_data(run.path, prepared.dataset)
        given = "the labels that its noise or table gives"
        run.check_same("given_fingerprint", facts["given_fingerprint"], of=given)
        run.check_same("pretrained", facts["pretrained"], of="the weights it starts from")
        run.check_same("first_split", facts["first_split"], of="the ranks in --split-from")
        run.check_same("cleaned", facts["cleaned"], where_known=True, of="the cleaned labels")
        # Streamed images have no digest here; the manifest keeps the one from the start of the run.
        if facts["pixel_digest"] is None:
            del facts["pixel_digest"]
    else:
        # Before the folder is cleared and marked, so that an error leaves the folder as it was.
        disk = _disk(config, whole)
        check_room(run.path, disk.needed_bytes, robust.store)
        device = pick_device(config.device)
        open_algorithm(_setup(config, whole, World(device=device)))
    world = World(device=pick_device(config.device))
    with stopped(run, world):
        run.start(config, facts, "unfinished" if begun.resumed else "new")
        make = RunRecorder.resume if begun.resumed else partial(RunRecorder.create, overwrite=True)
        k, store = prepared.dataset.num_classes, robust.store
        places = [run.path, run.path / SECOND][: RECORDED[robust.record]]
        recorders = [
            make(place, prepared.labels, k, robust.epochs, world.device, store) for place in places
        ]
        # Before the first epoch, because an unfinished run can be ranked, too.
        write_samples(run.path, prepared.dataset)
        return recorders


def _setup(config: Config, whole: Training, world: World) -> RobustSetup:
    prepared, plan = whole.prepared, whole.plan
    pipeline = Pipeline.of(config.robust, prepared.dataset, world.device, plan.precision)
    return RobustSetup(
        plan.net,
        prepared.train,
        Truth(prepared.labels),
        prepared.dataset,
        config.robust,
        pipeline,
        config.seed,
        None if whole.split.ranking is None else ~whole.split.rows,
        plan.compiled,
    )
