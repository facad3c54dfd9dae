"""Step 1: train a classifier and record every sample's softmax at every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from tdctl.config import Config
from tdctl.cuts import count_threshold_samples
from tdctl.data import DataSet, Images
from tdctl.dynamics import Store
from tdctl.errors import RunError
from tdctl.files import read_json
from tdctl.labels import stratified_folds
from tdctl.pretrained import weights_file
from tdctl.recorder import EpochRows, Recorder, check_room
from tdctl.run import LEFT_OUT_FILE, MANIFEST_FILE, SKIPPED_FILE, RunFolder
from tdctl.runner.board import check_logger, logged
from tdctl.runner.classifier import plan_training, stopped, train_classifier
from tdctl.runner.csv_files import write_csv
from tdctl.runner.leaveout import find_left_out, read_ranking
from tdctl.runner.outside import refuse_in_data
from tdctl.runner.prepare import (
    SPLIT_BY,
    Prepared,
    check_same_data,
    normalised_alike,
    prepare,
    split_rule,
    with_whole_paths,
)
from tdctl.runner.resuming import check_places
from tdctl.runner.room import room_for
from tdctl.training import Folds, Report, World, pick_device

__all__ = ["GenerateResult", "default_folder", "generate_td", "plan_generate"]


@dataclass(frozen=True)
class GenerateResult:
    """Where a run was written, its manifest, and notes for the user."""

    folder: Path
    manifest: dict[str, Any]
    notes: tuple[str, ...] = ()
    resumed: bool = False


def default_folder(config: Config, root: Path) -> Path:
    """The paper's folder name for a run, under ``root``; a second round says what it left out."""
    name = f"{config.data.dataset}_{config.net.label}_{_noise_name(config)}"
    folder = f"computation4td_seed{config.seed}"
    if config.train.leave_out is not None:
        folder += f"_leaveout{config.train.leave_out_ratio:g}"
    return root / name / folder


def _noise_name(config: Config) -> str:
    """The noise in a folder's name: the paper's words where it has them, else type and file."""
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
    """Writes a run folder: dynamics, metadata, logs, models, settings and manifest.

    Args:
        resume: goes on with a run that has begun in the folder; begins where none has.
        log_with: what gets the log beside ``train_log.csv``: ``tensorboard``, or None.
        world: the processes that do it together; the first one writes.

    Raises:
        RunError: the folder is occupied or lies in the data, the run to resume had other
            settings, or the disk has no room.
        DataError: the data set is missing or malformed.
        ConfigError: a setting does not fit the data or the machine.
        TrainingError: the training diverged; the folder can be resumed up to that epoch.
    """
    world = World(device=pick_device(config.device)) if world is None else world
    config = with_whole_paths(config)
    check_logger(log_with)
    world.together(lambda: weights_file(config))  # before the images, which may take minutes
    run = RunFolder(out, "generate-td")
    status = world.told(lambda: run.open(config, resume, overwrite))
    if status == "complete":
        world.first(run.tidy)
        manifest = world.told(lambda: read_json(out / MANIFEST_FILE))
        return GenerateResult(out, manifest, ("already complete",), True)
    if status == "new":
        world.together(lambda: refuse_in_data(config.data, out))
    resumed = bool(world.shared(status == "unfinished" and run.checkpoint.exists()))
    others = world.told(run.other_versions) if resumed else None
    if status == "unfinished":
        world.first(lambda: check_places(config, out))
    ranking = world.told(lambda: read_ranking(config.train))
    split_by = world.told(lambda: split_rule(out)) if resumed else SPLIT_BY
    prepared = world.together(lambda: prepare(config, split_by=split_by))
    dataset = normalised_alike(prepared.dataset, config, out if resumed else None, world)
    prepared = replace(prepared, dataset=dataset)
    began = world.told(run.began_with) if resumed else None
    left = world.together(
        lambda: find_left_out(
            ranking, config.train, prepared.labels, dataset.class_names, prepared.names
        )
    )
    images, unseen = left.split(prepared.train)
    plan = plan_training(config, config.train, dataset, images, world, began)
    facts = {**prepared.facts(), **_facts(config, prepared), **plan.facts(world)}
    facts["left_out"] = left.facts()
    for fact in ("data_fingerprint", "given_fingerprint"):
        world.check_same(dataset.name, facts[fact])
    needed = world.together(lambda: room_for(config, prepared, plan).needed_bytes)
    recorder, folds = _start(run, config, prepared, facts, needed, resumed, world)
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
            folds=folds,
            recorder=recorder,
            left_out=unseen,
            report=told,
            stage="generate-td",
        )

    def finish() -> dict[str, Any]:
        # The capture goes only after the manifest says complete: a kill in between can be
        # resumed. The held-out file is there before that by which a run is known.
        for recording in (None if folds is None else folds.heldout, recorder):
            if isinstance(recording, Recorder):
                recording.write(prepared.valid_indices)
        _write_samples(out, dataset)
        if unseen is not None:
            write_csv(out / LEFT_OUT_FILE, pd.DataFrame({"index": unseen.index}))
        _write_confusion(out / "confusion.csv", prepared)
        return run.finish(outcome)

    with stopped(run, world):
        manifest = world.told(finish)
    notes = (*plan.notes, *dataset.notes, *((others,) if others else ()))
    return GenerateResult(out, manifest, notes, resumed)


def plan_generate(
    config: Config, out: Path, *, resume: bool = False, overwrite: bool = False
) -> list[str]:
    """What ``generate_td`` would do, a line each; raises what it would raise before it starts.

    Images are not decoded, but for the first: those that do not decode are found by the run.
    """
    world = World(device=pick_device(config.device))
    weights_file(config)
    run = RunFolder(out, "generate-td")
    status = run.open(config, resume, overwrite)
    if status == "complete":
        raise RunError(f"{out}: the run is complete already; nothing is left to do")
    if status == "new":
        refuse_in_data(config.data, out)
    if status == "unfinished":
        check_places(config, out)
    ranking = read_ranking(config.train)
    goes_on = status == "unfinished" and run.checkpoint.exists()
    prepared = prepare(config, dry=True, split_by=split_rule(out) if goes_on else SPLIT_BY)
    names = prepared.dataset.class_names
    left = find_left_out(ranking, config.train, prepared.labels, names, prepared.names)
    images, _ = left.split(prepared.train)
    plan = plan_training(config, config.train, prepared.dataset, images, world)
    facts, n = prepared.facts(), len(prepared.train)
    room = room_for(config, prepared, plan)
    if status == "new":
        check_room(out, room.needed_bytes, config.train.store)
    others = run.other_versions() if status == "unfinished" else None
    started = (None if plan.weights is None else plan.weights.note, others)
    return [
        *(
            f"note: {note}"
            for note in (plan.choice, *filter(None, started), *prepared.dataset.notes)
        ),
        f"would train {_planned(config, len(images), n - len(images))} "
        f"({facts['flipped']} labels flipped, {facts['realised_rate']:.2%}) on {world.device} in "
        f"{plan.precision}, and write about {room.file_bytes / 1e6:,.1f} MB to {out} ({status}); "
        f"until it ends, {room.capture_bytes / 1e6:,.1f} MB more",
    ]


def _planned(config: Config, images: int, left_out: int) -> str:
    """What is to be trained, for how long and on what, in words."""
    train, times, of = config.train, "two " if config.train.threshold_samples else "", ""
    if train.folds:
        times, of = f"{train.folds} times ", f"all but one of {train.folds} folds of "
    without = f", {left_out} more left out" if left_out else ""
    return f"{times}{config.net.label} for {train.epochs} epochs on {of}{images} images{without}"


def _facts(config: Config, prepared: Prepared) -> dict[str, Any]:
    return {
        "seed": config.seed,
        "recipe": config.recipe,
        "normalise": config.data.normalise,
        "net": config.net.label,
        "capture": config.train.capture,
        "store": config.train.store,
        "folds": config.train.folds,
        "neighbours": config.train.neighbours,
        "threshold_samples": _threshold_samples(config, prepared),
        "watched": _watched(config, prepared)[1],
    }


def _threshold_samples(config: Config, prepared: Prepared) -> int:
    """How many each of two networks gets; 0 where there is one network and none."""
    if not config.train.threshold_samples:
        return 0
    return count_threshold_samples(len(prepared.train), prepared.dataset.num_classes)


def _start(
    run: RunFolder,
    config: Config,
    prepared: Prepared,
    facts: dict[str, Any],
    needed: int,
    resumed: bool,
    world: World,
) -> tuple[Recorder | EpochRows, Folds | None]:
    """Marks the folder as running and opens the recordings: their files in the first process.

    With folds there are two; that of held-out images comes with these.
    """
    k, epochs, store = prepared.dataset.num_classes, config.train.epochs, config.train.store
    labels, neighbours, count = prepared.labels, config.train.neighbours, config.train.folds
    kinds = (False, True) if count else (False,)

    def start() -> list[Recorder]:
        if resumed:
            check_same_data(run.path, prepared.dataset)
            given = facts["given_fingerprint"]
            of = "the labels that its noise or table gives"
            run.check_same("given_fingerprint", given, where_known=True, of=of)
            run.check_same("pretrained", facts["pretrained"], of="the weights it starts from")
            run.check_same("left_out", facts["left_out"], of="the ranks in --leave-out")
            # Streamed images have no digest: what the run's start knew stays in the manifest.
            if facts["pixel_digest"] is None:
                del facts["pixel_digest"]
        else:
            # Before the folder is cleared and marked: what does not fit leaves no trace.
            check_room(run.path, needed, store)
        with stopped(run, world):
            run.start(config, facts, "unfinished" if resumed else "new")
            make = Recorder.resume if resumed else partial(Recorder.create, overwrite=True)
            common = (run.path, labels, k, epochs, world.device, store, neighbours)
            return [make(*common, heldout) for heldout in kinds]

    opened: Sequence[Recorder | EpochRows] = world.first(start) or [
        EpochRows(labels, k, world.device, Store.of(store, k), features=neighbours > 0)
        for _ in kinds
    ]
    if not count:
        return opened[0], None
    of = stratified_folds(prepared.strata, count, config.split_seed)
    return opened[0], Folds(of, count, opened[1])


def _watched(config: Config, prepared: Prepared) -> tuple[Images | None, str]:
    if prepared.valid is not None:
        return prepared.valid, f"held-out images with {config.data.valid_labels} labels"
    if prepared.dataset.test is not None:
        return prepared.dataset.test, "test set (nothing is selected on it)"
    return None, "nothing"


def _write_samples(folder: Path, dataset: DataSet) -> None:
    if dataset.file_names is not None:
        names = {"index": dataset.train.index, "file_name": dataset.file_names}
        write_csv(folder / "samples.csv", pd.DataFrame(names))
    if dataset.skipped:
        write_csv(folder / SKIPPED_FILE, pd.DataFrame([asdict(one) for one in dataset.skipped]))


def _write_confusion(path: Path, prepared: Prepared) -> None:
    """Where labels are known to be wrong, or might have been drawn so: true against given ones."""
    confusion = prepared.given.confusion
    if confusion.expected_rate or confusion.realised_rate:
        write_csv(path, pd.DataFrame(confusion.table(prepared.dataset.class_names)))
