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

# These settings come from the run and cannot change: they determine the given labels and the
# held-out images.
FIXED = (
    "data.num_valid",
    "noise.noise_type",
    "noise.noise_ratio",
    "noise.noise_seed",
    "noise.oracle",
)
# A config file for denoise does not change these settings of the run; only flags change them.
PINNED = ("seed", "data", "noise", "net")


# Settings of a training that depend on the images, for example whether they may be mirrored.
OF_THE_DATA = ("augment", "flip", "crop_padding")


@dataclass(frozen=True)
class DenoiseResult:
    """The retrainings, and the ranking that they come from.

    Attributes:
        rows: one per retraining.
        detection: the ranking.
        file: the table of results; None in a dry run.
        notes: what the user should know, one line each.
    """

    rows: list[Retraining]
    detection: DetectResult
    file: Path | None
    notes: tuple[str, ...] = ()


def settings_of_run(folder: Path) -> dict[str, Any] | None:
    """The nested settings of a run, as a base for denoising; None for runs of other programs.

    The seeds of noise and splits are written as numbers. So another ``seed`` changes the
    retraining, but not the labels and the test set. What the run was told about its images, such
    as whether they may be mirrored, also holds for the retraining, unless the run's settings say
    something else.

    Raises:
        RunError: the folder does not exist.
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
    """What the run was told about its images, where its retraining has default settings.

    Whether images may be mirrored, shifted or changed is a property of the images.
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
    """Ranks a run, and for each ratio retrains a new network without the most suspicious samples.

    The user's images and labels are never changed.

    Args:
        config: all settings; ``config.data`` must be the data set that the run was made with.
        runs: a run folder, or several, as in ``detect``. Held-out images are those of the first.
        source: the detector's file, or a score.
        remove_ratios: shares to drop, in [0, 1), or ``auto``; see ``tdctl.cuts.ratio_of``.
        keep_per_class: how many samples of each given class are always kept; see
            ``DetectResult.above``.
        baselines: also train on all given labels, on random removals of the same sizes, and, if
            the truth is known, on the truly clean subset.
        out: the folder for the retrainings; by default the one that ``default_denoising`` names,
            next to the first run.
        resume: takes over finished retrainings and continues unfinished ones.
        overwrite: replaces existing retrainings.
        dry_run: check and rank, but train nothing.
        report: is told the progress.
        world: the processes that train together; None means this process only.

    Returns:
        One row per retraining, and the ranking.

    Raises:
        ConfigError: a remove ratio is not valid, or is outside [0, 1), or drops everything; or the
            settings ask for another noise or validation set than the run's.
        DataError: the data set is not the one that the run was made with.
        RunError: a folder is occupied, or is inside the data, or was made from other samples.
        DynamicsError, DetectorError, TrainingError: as in ``detect`` and ``generate_td``.

    Example::

        >>> score = tdctl.scores.find_score("aum")
        >>> result = tdctl.denoise(config, Path("runs/b"), score, [0.2])
        >>> [row.kind for row in result.rows]
        ['pruned']
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
    # In a dry run, too, weights that do not fit are refused, before anything is trained.
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
    """What the first process finds out before any image is read.

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
    """The data set, the run's images with its given labels, and the images that it held out."""

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
    """Checks the table and the folder of each retraining; changes nothing."""
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
    """Notes on settings that the retraining takes from the run, and on another version of tdctl."""
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
        notes.append(
            f"images are treated as in {run}: {names}; give your own settings to change it"
        )
    versions = read_json(run / MANIFEST_FILE).get("versions")
    if (differ := changed_versions(versions)) is not None:
        then, now = differ
        notes.append(f"{run}: recorded with {then}, retrained with {now}: last bits may differ")
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
    """The run's training images with its given labels, after a check that they belong together."""
    rows = dataset.train.rows_of(labels.index)
    # For a label that is known to be wrong, the right one may be unknown (-1).
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
    """The images that the run held out, with the labels that they had in the run."""
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
