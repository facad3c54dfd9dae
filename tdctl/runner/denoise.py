"""Step 3: drop the worst-ranked share, retrain on the rest, and compare."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from tdctl.classifier import plan_training, train_classifier
from tdctl.config import Config, RetrainConfig
from tdctl.cuts import ratio_of
from tdctl.data import DataSet, Images
from tdctl.errors import ConfigError, DataError, RunError
from tdctl.files import read_json
from tdctl.inputs import (
    Channels,
    TrainingRows,
    channels_of_run,
    check_same_data,
    given_labels,
    normalised_alike,
    open_training_data,
    valid_targets,
    with_whole_paths,
)
from tdctl.labels import Labels
from tdctl.pretrained import Weights, weights_file
from tdctl.rankers import DetectResult, Source, open_ranker, rank_runs
from tdctl.retraining import (
    RESULT_FILE,
    Job,
    Retraining,
    check_results,
    plan_jobs,
    write_results,
)
from tdctl.run import (
    CONFIG_FILE,
    MANIFEST_FILE,
    Status,
    check_places,
    default_denoising,
    read_config,
    refuse_in_data,
)
from tdctl.training import Plain, Report, World, pick_device
from tdctl.versions import changed_versions

__all__ = ["PINNED", "DenoiseResult", "Retraining", "denoise", "denoise_report", "settings_of_run"]

# Given labels and held-out images come from the run: nothing changes them.
FIXED = (
    "data.num_valid",
    "noise.noise_type",
    "noise.noise_ratio",
    "noise.noise_seed",
    "noise.oracle",
)
# What a run was made from: a config file given to denoise does not change it, only flags do.
PINNED = ("seed", "data", "noise", "net")


# Settings of a training that say what may be done to the images.
OF_THE_DATA = ("augment", "flip", "crop_padding")


@dataclass(frozen=True)
class DenoiseResult:
    """All rows, the ranking they come from, and the file that holds them (None in a dry run)."""

    rows: list[Retraining]
    detection: DetectResult
    file: Path | None
    notes: tuple[str, ...] = ()


def settings_of_run(folder: Path) -> dict[str, Any] | None:
    """The nested settings of a run as a base for denoising; None for other code's runs.

    The seeds of noise and splits are written out, so that another ``seed`` retrains otherwise
    but leaves the labels and the test set what they were. What the run was told of its images,
    mirroring above all, is what the retraining is told, unless the run's settings say otherwise.

    Raises:
        RunError: there is no such folder.
    """
    if not folder.is_dir():
        raise RunError(
            f"{folder}: no such run folder; expected a folder that tdctl generate-td wrote"
        )
    if not (folder / CONFIG_FILE).exists():
        return None
    config = read_config(folder)
    settings = config.model_dump(mode="json")
    settings["noise"]["noise_seed"] = config.noise_seed
    settings["data"]["split_seed"] = config.split_seed
    settings["retrain"] |= _of_the_data(config)
    return settings


def _of_the_data(config: Config) -> dict[str, Any]:
    """What a run was told of its images as it trained, where its retraining was told nothing.

    Whether they may be mirrored, shifted or changed at all belongs to them.
    """
    usual = {name: field.default for name, field in RetrainConfig.model_fields.items()}
    return {
        name: getattr(config.train, name)
        for name in OF_THE_DATA
        if getattr(config.retrain, name) == usual[name] != getattr(config.train, name)
    }


def _check_as_recorded(config: Config, run: Path) -> None:
    base = settings_of_run(run)
    if base is None:
        return
    now = config.model_dump(mode="json")
    now["noise"]["noise_seed"] = config.noise_seed
    for key in FIXED:
        section, _, name = key.partition(".")
        was, asked = base[section][name], now[section][name]
        if was != asked:
            raise ConfigError(
                f"{key}: {asked} is asked for, but {run} was recorded with {was}, which stays; "
                "leave it out, or record another run"
            )


def denoise(
    config: Config,
    runs: Path | Sequence[Path],
    source: Source,
    remove_ratios: Sequence[float | str],
    *,
    keep_per_class: float | None = None,
    baselines: bool = False,
    out: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    report: Report | None = None,
    world: World | None = None,
) -> DenoiseResult:
    """Ranks a run, or several, and for each ratio retrains a fresh network without the worst share.

    Images and labels of the user are read only. Finished retrainings are taken over with
    ``resume``.

    Args:
        config: settings; ``config.data`` must be the data set that the run was made with.
        runs: a run folder, or several as ``detect`` takes them; held-out images are the first's.
        source: the detector's file, or a score.
        remove_ratios: shares to drop, or ``auto``, as ``tdctl.cuts.ratio_of`` takes them.
        keep_per_class: what stays of each given class; see ``DetectResult.above``.
        out: where the retrainings go; by default beside the (first) run, as
            ``default_denoising`` names it.
        resume: takes over what has been retrained, and goes on with what has begun.
        baselines: also train on all given labels, on random removals of the same sizes, and,
            where the truth is known, on the truly clean subset.

    Raises:
        ConfigError: a remove ratio is none, outside [0, 1) or drops everything, or the settings
            ask for other noise or another validation set than the run's.
        DataError: the data set is not the one that the run was made with.
        RunError: a folder is occupied, lies in the data, or was made from other samples.
        DynamicsError, DetectorError, TrainingError: as in the other steps.
    """
    if out is not None and out.exists() and not out.is_dir():
        raise RunError(f"{out}: is a file; give a folder with --out")
    if not remove_ratios:
        raise ConfigError("denoise: no ratio is given; name at least one with --remove-ratio")
    folders = [runs] if isinstance(runs, Path) else runs
    run = folders[0]
    world = World(device=pick_device(config.device)) if world is None else world
    config = with_whole_paths(config)
    world.told(lambda: _check_before(config, run, out))
    ratios = sorted({ratio_of(ratio) for ratio in remove_ratios}, key=lambda r: (str(r) == r, r))
    methods = [ratio for ratio in ratios if isinstance(ratio, str)]

    ranker = world.together(lambda: open_ranker(source, world))
    detection = rank_runs(folders, ranker, world, methods, report)
    base = out if out is not None else default_denoising(folders, config.seed)
    file = base / detection.label / RESULT_FILE
    jobs = plan_jobs(detection, ratios, baselines, base, config.seed, keep_per_class)
    begun = world.told(lambda: _open(jobs, config, run, file, detection, resume, overwrite))
    for job, status in zip(jobs, begun.statuses, strict=True):
        job.status = status

    data = world.together(lambda: _read_data(config, run, detection))
    dataset = normalised_alike(data.dataset, begun.channels, world)
    # Weights that do not fit are refused before anything is trained, and in a dry run.
    plan = plan_training(config, config.retrain, dataset, data.images, Plain(), world)
    weights = () if plan.weights is None else (plan.weights.note,)
    notes = (*detection.notes, *weights, *dataset.notes, *begun.notes)
    if data.valid is not None and not (run / CONFIG_FILE).exists():
        notes += (f"{run} holds no settings: the held-out labels are taken without noise",)
    if dry_run:
        return DenoiseResult([job.row for job in jobs], detection, None, notes)

    rows = []
    for job, done, began in zip(jobs, begun.manifests, begun.computations, strict=True):
        manifest = done or _retrain(
            job,
            config,
            dataset,
            data.images.take(job.keep),
            data.valid,
            detection.labels,
            began,
            (deepcopy(plan.net), plan.weights),
            world,
            report,
        )
        fields = ("test_error_last", "test_error_best", "best_epoch", "seconds")
        found: dict[str, Any] = {name: manifest.get(name) for name in fields}
        rows.append(replace(job.row, **found))
        world.first(partial(write_results, file, rows, detection, config, overwrite))
    return DenoiseResult(rows, detection, file, notes)


@dataclass(frozen=True)
class _Begun:
    """What the first process finds before any image is read.

    Attributes:
        statuses: of the jobs' folders, in turn.
        manifests: of the jobs that are complete, in turn; empty for the others.
        computations: how the jobs were computed when they began; None for those that begin now.
        channels: the means and deviations that the run was recorded with, if it states them.
        notes: what the user should know.
    """

    statuses: tuple[Status, ...]
    manifests: tuple[dict[str, Any], ...]
    computations: tuple[dict[str, Any] | None, ...]
    channels: Channels | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Data:
    """The data set, the run's images with its given labels, and those that it held out."""

    dataset: DataSet
    images: Images
    valid: Images | None


def _check_before(config: Config, run: Path, out: Path | None) -> None:
    """Refuses what can be refused before anything is ranked or read."""
    _check_as_recorded(config, run)
    weights_file(config)
    base = out if out is not None else run.resolve().parent / f"prune4retrain_seed{config.seed}"
    refuse_in_data(config.data, base)


def _open(
    jobs: Sequence[Job],
    config: Config,
    run: Path,
    file: Path,
    detection: DetectResult,
    resume: bool,
    overwrite: bool,
) -> _Begun:
    """Looks at the table and at the folder of each retraining; changes nothing."""
    check_results(file, detection, config, overwrite)
    statuses = tuple(job.open(config, detection.labels, resume, overwrite) for job in jobs)
    others = [job.folder.other_versions() for job in jobs if job.goes_on]
    check_places(config, run)
    notes = (*_as_the_run(config, run), *dict.fromkeys(filter(None, others)))
    manifests = tuple(
        read_json(job.folder.path / MANIFEST_FILE) if job.status == "complete" else {}
        for job in jobs
    )
    computations = tuple(job.began_with() for job in jobs)
    return _Begun(statuses, manifests, computations, channels_of_run(run, config), notes)


def _read_data(config: Config, run: Path, detection: DetectResult) -> _Data:
    """The data set, after a check that it is the one that the run was made with."""
    dataset = open_training_data(config)
    check_same_data(run, dataset)
    images = _images_of(dataset, detection.labels)
    return _Data(dataset, images, _valid_of(run, dataset, detection.valid_indices, config))


def _as_the_run(config: Config, run: Path) -> list[str]:
    """What the retraining does as the run did and by itself would not, and another version."""
    if not (run / CONFIG_FILE).exists():
        return []
    told = read_config(run)
    alike = {
        name: value
        for name, value in _of_the_data(told).items()
        if getattr(config.retrain, name) == value
    }
    notes = []
    if alike:
        names = ", ".join(f"retrain.{name} {value}" for name, value in alike.items())
        notes.append(f"images are treated as by {run}: {names}; give your own to change that")
    versions = read_json(run / MANIFEST_FILE).get("versions")
    if (differ := changed_versions(versions)) is not None:
        then, now = differ
        notes.append(f"{run}: recorded with {then}, retrained with {now}: the bits may differ")
    return notes


def _retrain(
    job: Job,
    config: Config,
    dataset: DataSet,
    images: Images,
    valid: Images | None,
    labels: Labels,
    began: dict[str, Any] | None,
    fresh: tuple[nn.Module, Weights | None],
    world: World,
    report: Report | None,
) -> dict[str, Any]:
    """Trains on what a job keeps; gives its manifest."""
    plan = plan_training(config, config.retrain, dataset, images, Plain(), world, began, fresh)
    world.first(lambda: job.start(config, labels, plan.facts(world)))
    outcome = train_classifier(
        job.folder,
        config,
        config.retrain,
        dataset,
        images,
        valid=valid,
        plan=plan,
        world=world,
        report=report,
        stage=job.stage,
    )
    return world.told(lambda: job.folder.finish(outcome))


def _images_of(dataset: DataSet, labels: Labels) -> Images:
    """The run's training images with its given labels, after a check that they belong to it."""
    rows = dataset.train.rows_of(labels.index)
    # What is right of a wrong label may not be known.
    differ = np.flatnonzero((dataset.labels.true[rows] != labels.true) & (labels.true >= 0))
    if len(differ):
        index = labels.index[differ[0]]
        raise DataError(
            f"{dataset.name}: {len(differ)} labels differ from those of the run, first at index "
            f"{index}; give the data set that the run was made with"
        )
    return dataset.train.take(rows, labels.assigned)


def _valid_of(
    run: Path, dataset: DataSet, index: NDArray[np.int64], config: Config
) -> Images | None:
    """The images that the run held out, with labels as the run had them."""
    if not len(index):
        return None
    given = given_labels(config, TrainingRows.of(dataset))
    manifest = run / MANIFEST_FILE
    was = read_json(manifest).get("given_fingerprint") if manifest.exists() else None
    if was is not None and was != given.labels.fingerprint():
        raise DataError(
            f"{run}: its settings give other labels now than when it was made; restore the table, "
            "pairs or matrix that its noise comes from, or record it anew"
        )
    rows = dataset.train.rows_of(index)
    return dataset.train.take(rows, valid_targets(config, given.labels)[rows])


def denoise_report(result: DenoiseResult) -> dict[str, Any]:
    """The result as JSON-ready values: detection metrics and one row for each retraining."""
    return {
        **result.detection.ranker.facts,
        "detector_in_sample": result.detection.in_sample,
        "detection": result.detection.metrics.to_dict(),
        "estimates": {name: e.to_dict() for name, e in result.detection.estimates.items()},
        "file": None if result.file is None else str(result.file),
        "rows": [asdict(row) for row in result.rows],
    }
