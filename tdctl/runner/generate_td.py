"""Step 1: train a classifier and record every sample's softmax at every epoch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tdctl.classifier import (
    HeadPlan,
    Plan,
    check_heads,
    forecast_disk,
    plan_heads,
    plan_training,
    stopped,
    train_classifier,
)
from tdctl.classifier.tensorboard_log import check_logger, logged
from tdctl.config import Config
from tdctl.cuts import count_threshold_samples
from tdctl.data import Images
from tdctl.dynamics import Store
from tdctl.errors import RunError
from tdctl.finding.suited import suited, suited_alike
from tdctl.inputs import (
    LeftOut,
    Prepared,
    check_same_data,
    find_left_out,
    normalised_alike,
    prepare,
    read_ranking,
    settled,
)
from tdctl.labels import stratified_folds
from tdctl.recorder import EpochRows, RunRecorder, check_room
from tdctl.run import (
    RunFolder,
)
from tdctl.runner.begun import Begun, begin
from tdctl.runner.generate_heads import forecast_heads, record_heads
from tdctl.runner.run_tables import write_confusion, write_samples
from tdctl.runner.same_samples import check_same_samples
from tdctl.training import (
    Folds,
    Plain,
    Recording,
    Report,
    SecondRound,
    ThresholdSamples,
    World,
    pick_device,
)

__all__ = ["GenerateResult", "default_folder", "generate_td", "plan_generate"]


@dataclass(frozen=True)
class GenerateResult:
    """The run folder, its manifest, and notes for the user.

    Attributes:
        folder: the run folder.
        manifest: the content of ``manifest.json``.
        notes: one line each.
        resumed: whether an earlier run was continued, or was already complete.
    """

    folder: Path
    manifest: dict[str, Any]
    notes: tuple[str, ...] = ()
    resumed: bool = False


def default_folder(config: Config, root: Path) -> Path:
    """The paper's folder name for a run, below ``root``; for a second round, with its share."""
    name = f"{config.data.dataset}_{config.net.label}_{_noise_name(config)}"
    folder = f"computation4td_seed{config.seed}"
    if config.train.leave_out is not None:
        folder += f"_leaveout{config.train.leave_out_ratio:g}"
    return root / name / folder


def _noise_name(config: Config) -> str:
    """The noise in a folder's name: the paper's words if it has them, else type and file."""
    noise, labels = config.noise, config.data.labels
    name = f"percmislabeled{noise.noise_ratio:g}_{noise.noise_type}"
    if noise.noise_type == "labels" and labels is not None:
        name = f"labels-{labels.stem}-{config.data.label_column}"
    elif noise.noise_type == "matrix" and noise.matrix is not None:
        name = f"matrix-{noise.matrix.stem}"
    elif noise.pairs is not None:
        name += f"-{noise.pairs.stem}"
    return f"{name}_oracle" if noise.oracle else name


def generate_td(
    config: Config,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    log_with: str | None = None,
    report: Report | None = None,
    world: World | None = None,
) -> GenerateResult:
    """Trains a classifier and writes a run folder: dynamics, metadata, log, models and settings.

    Args:
        config: all settings.
        out: the run folder.
        resume: continues a run that has begun in the folder; starts a new one if none has.
        overwrite: replaces an existing run.
        log_with: what gets the log beside ``train_log.csv``: ``tensorboard``, or None.
        report: is told the progress of the training.
        world: the processes that train together; the first one writes. None means this process
            only.

    Returns:
        The folder, its manifest, and notes.

    Raises:
        RunError: the folder is occupied, or is inside the data; or the run to resume had other
            settings; or the disk has not enough space.
        DataError: the data set is missing or malformed.
        ConfigError: a setting does not suit the data or the machine.
        TrainingError: the training diverged; it can be resumed from the last complete epoch.

    Example::

        >>> config = tdctl.load_config(Path("my.yaml"))
        >>> result = tdctl.generate_td(config, Path("runs/b"))
        >>> dynamics, labels, valid_indices = tdctl.read_run(result.folder)
    """
    world = World(device=pick_device(config.device)) if world is None else world
    config = settled(config)
    check_logger(log_with)
    if config.reads_vectors:
        check_heads(config, world)
    config = suited_alike(config, world, out if resume else None)
    run = RunFolder(out, "generate-td")
    begun = world.told(
        lambda: begin(run, config, lambda: read_ranking(config.train), resume, overwrite)
    )
    if begun.status == "complete":
        gone = world.together(lambda: check_same_samples(run, config))
        notes = ("already complete", *filter(None, [gone]))
        return GenerateResult(out, begun.manifest, notes, True)

    prepared, left = world.together(lambda: _read_data(config, begun, report=report))
    dataset = normalised_alike(prepared.dataset, begun.channels, world)
    prepared = replace(prepared, dataset=dataset)
    if config.reads_vectors:
        heads = plan_heads(config, prepared, world, begun.computation)
        facts = {**_facts(config, prepared, left), **heads.facts(world)}
        with logged(report, log_with, out) as told:
            manifest = record_heads(run, config, prepared, facts, heads, world, told)
        return GenerateResult(out, manifest, (*heads.notes, *dataset.notes))
    images, unseen = left.split(prepared.train)
    mode = _mode(config, prepared, unseen)
    plan = plan_training(config, config.train, dataset, images, mode, world, begun.computation)
    facts = {**_facts(config, prepared, left), **plan.facts(world)}
    world.check_same(dataset.name, facts["data_fingerprint"] + facts["given_fingerprint"])

    recorder: Recording | None
    recorder = world.first(lambda: _start(run, begun, config, prepared, facts, plan, mode, world))
    if recorder is None:
        recorder = _collect_rows(config, prepared, mode, world)
    with logged(report, log_with if world.is_first else None, out) as told:
        outcome = train_classifier(
            run,
            config,
            config.train,
            dataset,
            images,
            valid=prepared.valid,
            plan=plan,
            world=world,
            mode=mode,
            recorder=recorder,
            report=told,
            stage="generate-td",
        )
    with stopped(run, world):
        manifest = world.told(lambda: _write(run, prepared, mode, recorder, outcome))
    notes = (*plan.notes, *dataset.notes, *filter(None, [begun.other_versions]))
    return GenerateResult(out, manifest, notes, begun.resumed)


def plan_generate(
    config: Config, out: Path, *, resume: bool = False, overwrite: bool = False
) -> list[str]:
    """What ``generate_td`` would do, one line each; raises the errors that it would start with.

    Only the first image is decoded. Other images that cannot be decoded are found by the run.
    """
    world = World(device=pick_device(config.device))
    config = suited(settled(config), out if resume else None)
    if config.reads_vectors:
        check_heads(config, world)
    run = RunFolder(out, "generate-td")
    begun = begin(run, config, lambda: read_ranking(config.train), resume, overwrite)
    if begun.status == "complete":
        raise RunError(f"{out}: the run is complete already; nothing is left to do")
    prepared, left = _read_data(config, begun, dry=True)
    if config.reads_vectors:
        return _planned_heads(config, prepared, world, begun, out)
    images, unseen = left.split(prepared.train)
    mode = _mode(config, prepared, unseen)
    plan = plan_training(
        config, config.train, prepared.dataset, images, mode, world, begun.computation
    )
    disk = forecast_disk(config, prepared, plan, mode)
    if begun.status == "new":
        check_room(out, disk.needed_bytes, config.train.store)
    started = None if plan.weights is None else plan.weights.note
    notes = (
        plan.choice,
        *filter(None, (started, plan.other_size, plan.less_decay, begun.other_versions)),
        *prepared.dataset.notes,
    )
    facts, left_out = prepared.facts(), len(prepared.train) - len(images)
    return [
        *(f"note: {note}" for note in notes),
        f"would train {_planned(config, len(images), left_out)}, "
        f"{prepared.dataset.num_classes} classes "
        f"({facts['flipped']} labels flipped, {facts['realised_rate']:.2%}) on {world.device} in "
        f"{plan.precision}, and write about {disk.file_bytes / 1e6:,.1f} MB to {out} "
        f"({begun.status}); until it ends, {disk.capture_bytes / 1e6:,.1f} MB more",
    ]


def _planned_heads(
    config: Config, prepared: Prepared, world: World, begun: Begun, out: Path
) -> list[str]:
    """What a recording of heads on vectors would do, one line each."""
    plan: HeadPlan = plan_heads(config, prepared, world, None)
    disk, facts = forecast_heads(prepared, plan), prepared.facts()
    check_room(out, disk.needed_bytes, plan.store)
    return [
        *(f"note: {note}" for note in (*plan.notes, *prepared.dataset.notes)),
        f"would train {plan.folds} linear heads {plan.rounds} times for {plan.epochs} "
        f"epochs on {len(prepared.train)} vectors of {prepared.train.shape[0]} numbers, "
        f"{prepared.dataset.num_classes} classes ({facts['flipped']} labels flipped, "
        f"{facts['realised_rate']:.2%}) on {world.device}, and write about "
        f"{disk.file_bytes / 1e6:,.1f} MB to {out} ({begun.status}); until it ends, "
        f"{disk.capture_bytes / 1e6:,.1f} MB more",
    ]


def _read_data(
    config: Config, begun: Begun, *, dry: bool = False, report: Report | None = None
) -> tuple[Prepared, LeftOut]:
    """The data set with its given labels and splits, and what a second round leaves out."""
    prepared = prepare(config, dry=dry, split_by=begun.split_by, report=report)
    names = prepared.dataset.class_names
    left = find_left_out(begun.ranking, config.train, prepared.labels, names, prepared.names)
    return prepared, left


def _mode(config: Config, prepared: Prepared, unseen: Images | None) -> Plain:
    """The recording mode; the settings allow only one."""
    if config.train.folds:
        count = config.train.folds
        return Folds(stratified_folds(prepared.strata, count, config.split_seed), count)
    if config.train.threshold_samples:
        return ThresholdSamples(prepared.dataset.num_classes)
    return Plain() if unseen is None else SecondRound(unseen)


def _planned(config: Config, images: int, left_out: int) -> str:
    """The networks, epochs and images that would be trained, in words."""
    train, times, of = config.train, "two " if config.train.threshold_samples else "", ""
    if train.folds:
        times, of = f"{train.folds} times ", f"all but one of {train.folds} folds of "
    without = f", {left_out} more left out" if left_out else ""
    return f"{times}{config.net.label} for {train.epochs} epochs on {of}{images} images{without}"


def _facts(config: Config, prepared: Prepared, left: LeftOut) -> dict[str, Any]:
    """The facts about the run for the manifest, except how it is computed."""
    threshold_samples = 0
    if config.train.threshold_samples:
        n, k = len(prepared.train), prepared.dataset.num_classes
        threshold_samples = count_threshold_samples(n, k)
    return {
        **prepared.facts(),
        "seed": config.seed,
        "recipe": config.recipe,
        "normalise": config.data.normalise,
        "net": config.net.label,
        "capture": config.train.capture,
        "store": config.train.store,
        "folds": config.train.folds,
        "threshold_samples": threshold_samples,
        "watched": _watched(config, prepared),
        "left_out": left.facts(),
    }


def _start(
    run: RunFolder,
    begun: Begun,
    config: Config,
    prepared: Prepared,
    facts: dict[str, Any],
    plan: Plan,
    mode: Plain,
    world: World,
) -> RunRecorder:
    """Marks the folder as running and opens the recordings; returns the one of all images."""
    if begun.resumed:
        check_same_data(run.path, prepared.dataset)
        given = "the labels that its noise or table gives"
        run.check_same("given_fingerprint", facts["given_fingerprint"], where_known=True, of=given)
        run.check_same("pretrained", facts["pretrained"], of="the weights it starts from")
        run.check_same("left_out", facts["left_out"], of="the ranks in --leave-out")
        # Streamed images have no digest, so the one in the manifest stays.
        if facts["pixel_digest"] is None:
            del facts["pixel_digest"]
    else:
        # This is checked before the folder is changed, so that a refusal changes nothing.
        needed = forecast_disk(config, prepared, plan, mode).needed_bytes
        check_room(run.path, needed, config.train.store)
    with stopped(run, world):
        run.start(config, facts, "unfinished" if begun.resumed else "new")
        make = RunRecorder.resume if begun.resumed else partial(RunRecorder.create, overwrite=True)
        k, epochs, store = prepared.dataset.num_classes, config.train.epochs, config.train.store
        of_run = (run.path, prepared.labels, k, epochs, world.device, store)
        if isinstance(mode, Folds):
            mode.heldout_recording = make(*of_run, heldout=True)
        recorder = make(*of_run)
        # Before the first epoch: the epochs so far can be ranked, too, and have these names.
        write_samples(run.path, prepared.dataset)
        return recorder


def _collect_rows(config: Config, prepared: Prepared, mode: Plain, world: World) -> EpochRows:
    """Collects the rows that a process other than the first sees of each epoch."""
    k = prepared.dataset.num_classes
    given = (prepared.labels, k, world.device, Store.of(config.train.store, k))
    if isinstance(mode, Folds):
        mode.heldout_recording = EpochRows(*given)
    return EpochRows(*given)


def _write(
    run: RunFolder,
    prepared: Prepared,
    mode: Plain,
    recorder: Recording,
    outcome: dict[str, Any],
) -> dict[str, Any]:
    """Writes what was recorded and marks the run as complete; returns its manifest.

    The capture is deleted only after the manifest says "complete". So a run that is killed in
    between can be resumed. The held-out dynamics are written before the other dynamics. So if the
    other dynamics exist, both files exist.
    """
    for recording in reversed(mode.recordings(recorder)):
        if isinstance(recording, RunRecorder):
            recording.write(prepared.valid_indices)
    write_confusion(run.path / "confusion.csv", prepared)
    return run.finish(outcome)


def _watched(config: Config, prepared: Prepared) -> str:
    """Which images are evaluated after each epoch, in words."""
    if prepared.valid is not None:
        return f"held-out images with {config.data.valid_labels} labels"
    if prepared.dataset.test is not None:
        return "test set (nothing is selected on it)"
    return "nothing"
