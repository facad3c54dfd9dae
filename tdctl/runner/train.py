"""Trains a classifier on labels that are partly wrong: plain, SSR, DivideMix or AugDesc."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tdctl.classifier import forecast_disk, plan_training, stopped
from tdctl.config import Config
from tdctl.errors import ConfigError, DataError, RunError
from tdctl.files import read_json
from tdctl.inputs import (
    SPLIT_BY,
    Channels,
    Prepared,
    RankingFile,
    channels_of_run,
    check_same_data,
    normalised_alike,
    prepare,
    split_rule,
    with_whole_paths,
)
from tdctl.pretrained import weights_file
from tdctl.recorder import Recorder, check_room
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
    RunFolder,
    Status,
    check_places,
    refuse_in_data,
)
from tdctl.runner.generate_td import GenerateResult
from tdctl.runner.train_outcome import Training, facts_of, write_training
from tdctl.training import Pipeline, Report, World, pick_device

__all__ = ["plan_train", "train"]


def train(
    config: Config,
    out: Path,
    *,
    td: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    report: Report | None = None,
) -> GenerateResult:
    """Trains by ``config.robust`` and writes a run folder like that of ``generate_td``.

    The dynamics are those of the (first) network, of a pass in eval mode after each epoch.

    Args:
        config: all settings.
        out: the run folder.
        td: the run whose data and given labels ``config`` names, which is then checked; None
            where the settings stand for themselves.
        resume: goes on with a training that has begun in the folder; begins where none has.
        overwrite: replaces a run that is there.
        report: is told how far the training is.

    Raises:
        RunError: the folder is occupied or lies in the data, the training to resume had other
            settings, or the disk has no room.
        DataError: the data set is missing or malformed, or not that of ``td``.
        ConfigError: a setting does not fit the data or the machine.
        TrainingError: a network diverged; names it.

    Example::

        >>> ssr = {"robust.algorithm": "ssr", "robust.epochs": 2}
        >>> config = tdctl.load_config(Path("my.yaml"), overrides=ssr)
        >>> result = tdctl.train(config, Path("runs/ssr"))
    """
    world = World(device=pick_device(config.device))
    config = with_whole_paths(config)
    run = RunFolder(out, "train")
    begun = _begin(run, config, resume, overwrite)
    if begun.status == "complete":
        return GenerateResult(out, begun.manifest, ("already complete",), True)
    whole = _read(config, begun, td, world)
    prepared, plan = whole.prepared, whole.plan
    facts = {**facts_of(config, whole, td), **plan.facts(world)}
    recorder = _start(run, begun, config, whole, facts)
    setup = _setup(config, whole, world)
    with stopped(run, world), plan.threads.used():
        result = train_robustly(
            setup,
            recorder,
            valid=prepared.valid,
            test=prepared.dataset.test,
            checkpoint=run.checkpoint,
            log_file=run.path / LOG_FILE,
            report=report,
        )
        outcome = write_training(run.path, whole, setup, result, recorder)
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
    """What ``train`` would do, a line each; raises what it would raise before it starts.

    Only the first image is decoded. Others that cannot be decoded are found by the run.
    """
    world = World(device=pick_device(config.device))
    config = with_whole_paths(config)
    run = RunFolder(out, "train")
    begun = _begin(run, config, resume, overwrite)
    if begun.status == "complete":
        raise RunError(f"{out}: the run is complete already; nothing is left to do")
    whole = _read(config, begun, td, world, dry=True)
    prepared, robust = whole.prepared, config.robust
    disk = forecast_disk(_as_recorded(config), prepared, whole.plan, whole.mode)
    if begun.status == "new":
        check_room(out, disk.needed_bytes, robust.store)
    count = whole.mode.trained_at_once
    nets = config.net.label if count == 1 else f"{count} {config.net.label}"
    first = f", {int(whole.split.rows.sum())} taken for wrong at first" if robust.split_from else ""
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


@dataclass(frozen=True)
class _Begun:
    """What is found before any image is read; see ``generate_td``."""

    status: Status
    resumed: bool = False
    manifest: dict[str, Any] = field(default_factory=dict)
    ranking: RankingFile | None = None
    split_by: str = SPLIT_BY
    channels: Channels | None = None
    computation: dict[str, Any] | None = None
    other_versions: str | None = None


def _begin(run: RunFolder, config: Config, resume: bool, overwrite: bool) -> _Begun:
    """Looks at the folder and at the files that the settings name."""
    weights_file(config)
    status = run.open(config, resume, overwrite)
    if status == "complete":
        run.tidy()
        return _Begun(status, manifest=read_json(run.path / MANIFEST_FILE))
    if status == "new":
        refuse_in_data(config.data, run.path)
        return _Begun(status, ranking=read_split_ranking(config.robust))
    check_places(config, run.path)
    ranking = read_split_ranking(config.robust)
    if not run.checkpoint.exists():  # it ended before its first whole epoch
        return _Begun(status, ranking=ranking)
    return _Begun(
        status,
        resumed=True,
        ranking=ranking,
        split_by=split_rule(run.path),
        channels=channels_of_run(run.path, config),
        computation=run.began_with(),
        other_versions=run.other_versions(),
    )


def _read(
    config: Config, begun: _Begun, td: Path | None, world: World, *, dry: bool = False
) -> Training:
    """The data set with its given labels, the first split, and the plan."""
    prepared = prepare(config, dry=dry, split_by=begun.split_by)
    robust, dataset = config.robust, prepared.dataset
    present = len(np.unique(prepared.labels.assigned))
    if present < 2:
        raise ConfigError(
            f"{dataset.name}: the given labels of the {len(prepared.train)} training images hold "
            f"{present} class; expected at least two, or there is nothing to learn"
        )
    if td is not None:
        _check_as_run(td, prepared)
    check_strong(robust, dataset)
    names = dataset.class_names
    split = find_first_split(begun.ranking, robust, prepared.labels, names, prepared.names)
    dataset = normalised_alike(dataset, begun.channels, world)
    prepared = replace(prepared, dataset=dataset)
    mode = Networks(2 if robust.algorithm in ("dividemix", "augdesc") else 1)
    # Only plain training has batches of one size, which a compiled network needs.
    plain = robust.algorithm == "ce"
    fit = robust if plain else robust.model_copy(update={"compile": False})
    plan = plan_training(config, fit, dataset, prepared.train, mode, world, begun.computation)
    return Training(prepared, split, mode, plan)


def _check_as_run(td: Path, prepared: Prepared) -> None:
    """Refuses other data or other given labels than a run's.

    Raises:
        DataError: they differ; says in what.
    """
    check_same_data(td, prepared.dataset)
    manifest = td / MANIFEST_FILE
    was = read_json(manifest).get("given_fingerprint") if manifest.exists() else None
    if was is not None and was != prepared.given.labels.fingerprint():
        raise DataError(
            f"{td}: its settings give other labels now than when it was made; restore the table, "
            "pairs or matrix that its noise comes from, or leave out what changes its noise"
        )


def _as_recorded(config: Config) -> Config:
    """The settings with this training in the place of a recorded one, for the disk's forecast."""
    return config.model_copy(update={"train": config.robust})


def _start(
    run: RunFolder, begun: _Begun, config: Config, whole: Training, facts: dict[str, Any]
) -> Recorder:
    """Marks the folder as running and opens the recording."""
    prepared, robust = whole.prepared, config.robust
    if begun.resumed:
        check_same_data(run.path, prepared.dataset)
        given = "the labels that its noise or table gives"
        run.check_same("given_fingerprint", facts["given_fingerprint"], of=given)
        run.check_same("pretrained", facts["pretrained"], of="the weights it starts from")
        run.check_same("first_split", facts["first_split"], of="the ranks in --split-from")
        # Streamed images have no digest: what the run's start knew stays in the manifest.
        if facts["pixel_digest"] is None:
            del facts["pixel_digest"]
    else:
        # Before the folder is cleared and marked: what does not fit leaves no trace.
        disk = forecast_disk(_as_recorded(config), prepared, whole.plan, whole.mode)
        check_room(run.path, disk.needed_bytes, robust.store)
        device = pick_device(config.device)
        open_algorithm(_setup(config, whole, World(device=device)))
    world = World(device=pick_device(config.device))
    with stopped(run, world):
        run.start(config, facts, "unfinished" if begun.resumed else "new")
        make = Recorder.resume if begun.resumed else partial(Recorder.create, overwrite=True)
        k = prepared.dataset.num_classes
        return make(run.path, prepared.labels, k, robust.epochs, world.device, robust.store)


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
