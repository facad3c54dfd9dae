"""Step 3: clean the labels that a ranking flags, retrain, and compare."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from tdctl.classifier import Plan, plan_training, train_classifier
from tdctl.config import Config
from tdctl.cuts import ratio_of
from tdctl.errors import ConfigError, RunError
from tdctl.files import read_json
from tdctl.finding.suited import suited_alike
from tdctl.inputs import Channels, channels_of_run, normalised_alike, settled
from tdctl.pretrained import Weights, check_start
from tdctl.rankers import DetectResult, Source, open_ranker, rank_runs
from tdctl.retraining import (
    RESULT_FILE,
    Cleaning,
    Job,
    Retraining,
    Round,
    check_results,
    emptied_note,
    plan_jobs,
    write_results,
)
from tdctl.run import (
    CONFIG_FILE,
    MANIFEST_FILE,
    Status,
    check_places,
    default_denoising,
    refuse_in_data,
)
from tdctl.runner.denoise_data import RunImages, images_of_run
from tdctl.runner.denoise_relabelling import relabel_by_network
from tdctl.runner.denoise_rounds import (
    Rounds,
    check_rounds,
    folder_of_rounds,
    repeat_rounds,
)
from tdctl.runner.denoise_settings import (
    OF_THE_DATA,
    PINNED,
    as_the_run,
    check_as_recorded,
    settings_of_run,
)
from tdctl.training import Plain, Report, World, pick_device

__all__ = [
    "OF_THE_DATA",
    "PINNED",
    "DenoiseResult",
    "Retraining",
    "denoise",
    "denoise_report",
    "settings_of_run",
]


@dataclass(frozen=True)
class DenoiseResult:
    """The retrainings, and the ranking that they come from.

    Attributes:
        rows: one per retraining.
        detection: the ranking; with several rounds, that of the last round.
        file: the table of results; None in a dry run.
        notes: what the user should know, one line each.
        rounds: the rounds, if there are several.
    """

    rows: list[Retraining]
    detection: DetectResult
    file: Path | None
    notes: tuple[str, ...] = ()
    rounds: tuple[Round, ...] = ()


def denoise(
    config: Config,
    runs: Path | Sequence[Path],
    source: Source,
    remove_ratios: Sequence[float | str],
    *,
    cleaning: Cleaning | None = None,
    rounds: int = 1,
    keep_per_class: float | None = None,
    baselines: bool = False,
    out: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    report: Report | None = None,
    world: World | None = None,
) -> DenoiseResult:
    """Ranks a run, and for each ratio retrains a new network on the cleaned labels.

    The user's images and labels are never changed.

    Args:
        config: all settings; ``config.data`` must be the data set that the run was made with.
        runs: a run folder, or several, as in ``detect``. Held-out images are those of the first.
        source: the detector's file, or a score.
        remove_ratios: shares to flag, in [0, 1), or ``auto``; see ``tdctl.cuts.ratio_of``. A
            reweighting may have none.
        cleaning: what is done with the flagged samples; by default they are dropped.
        rounds: how often to record and rank before the retraining. Each further round records the
            run again, with its own settings, without the samples that the round before flagged;
            see ``repeat_rounds``. It needs exactly one ratio and one run.
        keep_per_class: how many samples of each given class are always kept; see
            ``DetectResult.above``.
        baselines: also train on all given labels, on random removals of the same sizes, and, if
            the truth is known, on the truly clean subset; for a relabelling also on the true
            labels.
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
            settings ask for another noise or validation set than the run's; or the cleaning or the
            rounds do not suit the run.
        DataError: the data set is not the one that the run was made with.
        RunError: a folder is occupied, or is inside the data, or was made from other labels.
        DynamicsError, DetectorError, TrainingError: as in ``detect`` and ``generate_td``.

    Example::

        >>> score = tdctl.scores.find_score("aum")
        >>> result = tdctl.denoise(config, Path("runs/b"), score, [0.2])
        >>> [row.kind for row in result.rows]
        ['pruned']
    """
    cleaning = Cleaning() if cleaning is None else cleaning
    if out is not None and out.exists() and not out.is_dir():
        raise RunError(f"{out}: is a file; give a folder with --out")
    if not remove_ratios and cleaning.action != "reweight":
        raise ConfigError("denoise: no ratio is given; name at least one with --remove-ratio")
    folders = [runs] if isinstance(runs, Path) else list(runs)
    run = folders[0]
    world = World(device=pick_device(config.device)) if world is None else world
    config = settled(config)
    config = suited_alike(config, world, run)
    ratios = sorted({ratio_of(ratio) for ratio in remove_ratios}, key=lambda r: (str(r) == r, r))
    world.told(lambda: _check_before(config, folders, out, rounds, ratios))
    methods = [ratio for ratio in ratios if isinstance(ratio, str)]

    ranker = world.together(lambda: open_ranker(source, world))
    detection = rank_runs(folders, ranker, world, methods, report)
    base = out if out is not None else default_denoising(folders, config.seed)
    place, repeated = base / detection.label, Rounds(detection)
    if rounds > 1:
        # Another ratio has other last rounds, so its retrainings have a table of their own.
        place = folder_of_rounds(base, detection, ratios[0], keep_per_class) / f"rounds{rounds}"
        repeated = repeat_rounds(
            config, run, source, detection, ratios[0], rounds, base,
            keep_per_class=keep_per_class, resume=resume, overwrite=overwrite, dry_run=dry_run,
            report=report, world=world,
        )  # fmt: skip
    detection, file = repeated.detection, place / RESULT_FILE
    # The rows are compared, so all get the weight decay of the whole data set. With auto, a row
    # with fewer images would get a higher one.
    less_decay = config.retrain.less_decay(len(detection.labels))
    retrain = config.retrain.with_decay_of(len(detection.labels))
    config = config.model_copy(update={"retrain": retrain})
    cleaning = cleaning.with_floor(detection.runs)
    jobs = plan_jobs(
        detection, ratios, baselines, base, config.seed, keep_per_class, cleaning, place
    )
    begun = world.told(lambda: _open(jobs, config, run, file, detection, resume, overwrite))
    for job, status in zip(jobs, begun.statuses, strict=True):
        job.status = status

    data = world.together(lambda: images_of_run(config, run, detection, report))
    dataset = normalised_alike(data.dataset, begun.channels, world)
    # In a dry run, too, weights that do not fit are refused, before anything is trained.
    plan = plan_training(config, config.retrain, dataset, data.images, Plain(), world)
    of_weights = None if plan.weights is None else plan.weights.note
    weights = tuple(note for note in (of_weights, less_decay) if note is not None)
    notes = (*detection.notes, *weights, *dataset.notes, *begun.notes, *repeated.notes)
    if data.valid is not None and not (run / CONFIG_FILE).exists():
        notes += (f"{run} holds no settings: the held-out labels are taken without noise",)
    if dry_run:
        rows = [job.row for job in jobs]
        return DenoiseResult(rows, detection, None, notes + _notes_on(jobs, detection))

    rows = []
    whole = _Whole(config, replace(data, dataset=dataset), detection, plan, cleaning)
    for job, done, began in zip(jobs, begun.manifests, begun.computations, strict=True):
        _predict_labels(job, whole, world)
        manifest = done or _retrain(job, whole, began, world, report)
        fields = ("test_error_last", "test_error_best", "best_epoch", "seconds")
        found: dict[str, Any] = {name: manifest.get(name) for name in fields}
        rows.append(replace(job.row, **found))
        world.first(partial(write_results, file, rows, detection, config, overwrite, repeated.rows))
    notes += _notes_on(jobs, detection)
    return DenoiseResult(rows, detection, file, notes, tuple(repeated.rows))


@dataclass(frozen=True)
class _Whole:
    """What all retrainings share: settings, images, ranking, untrained network, and action."""

    config: Config
    data: RunImages
    detection: DetectResult
    plan: Plan
    cleaning: Cleaning

    def fresh(self) -> tuple[nn.Module, Weights | None]:
        """The untrained network, and the weights that it starts from."""
        return deepcopy(self.plan.net), self.plan.weights


def _notes_on(jobs: Sequence[Job], detection: DetectResult) -> tuple[str, ...]:
    """What the user should know of the cleaned labels."""
    notes: list[str | None] = []
    for job in jobs:
        if job.row.action is None or job.label_set is None:
            continue
        names, row = detection.class_names, job.row
        notes.append(emptied_note(detection.labels, job.label_set, names, job.stage))
        if row.action == "relabel" and not row.relabelled:
            notes.append(
                f"{job.stage}: no new label is sure enough, so nothing is relabelled; give a lower "
                "--confidence-floor"
            )
        before, after = row.noise_before, row.noise_after
        if before is not None and after is not None and after > before:
            notes.append(
                f"{job.stage}: {after:.2%} of its labels are wrong, and {before:.2%} of the given "
                "ones: this cleaning does harm"
            )
    return tuple(note for note in notes if note is not None)


def _predict_labels(job: Job, whole: _Whole, world: World) -> None:
    """Gives a relabelling the labels that the network of another retraining predicts."""
    if job.waits_for is None or job.flagged is None:
        return
    pruning, flagged, data, detection = job.waits_for, job.flagged, whole.data, whole.detection
    after = relabel_by_network(
        pruning.folder.path, whole.config, data, detection.labels, flagged, whole.cleaning,
        whole.plan, whole.fresh()[0], world,
    )  # fmt: skip
    job.resolve(after, detection)
    world.told(lambda: job.check(detection.labels))


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


def _check_before(
    config: Config,
    runs: Sequence[Path],
    out: Path | None,
    rounds: int,
    ratios: Sequence[float | str],
) -> None:
    """Refuses what can be refused before anything is ranked or read."""
    run = runs[0]
    check_rounds(rounds, runs, ratios)
    check_as_recorded(config, run)
    check_start(config)
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
    notes = (*as_the_run(config, run), *dict.fromkeys(filter(None, others)))
    manifests = tuple(
        read_json(job.folder.path / MANIFEST_FILE) if job.status == "complete" else {}
        for job in jobs
    )
    computations = tuple(job.began_with() for job in jobs)
    return _Begun(statuses, manifests, computations, channels_of_run(run, config), notes)


def _retrain(
    job: Job, whole: _Whole, began: dict[str, Any] | None, world: World, report: Report | None
) -> dict[str, Any]:
    """Trains on the labels of a job; gives its manifest."""
    config, labels = whole.config, whole.detection.labels
    dataset, images = whole.data.dataset, job.labels.of(whole.data.images)
    fit = config.retrain
    plan = plan_training(config, fit, dataset, images, Plain(), world, began, whole.fresh())
    world.first(lambda: job.start(config, labels, plan.facts(world)))
    outcome = train_classifier(
        job.folder,
        config,
        fit,
        dataset,
        images,
        valid=whole.data.valid,
        plan=plan,
        world=world,
        report=report,
        stage=job.stage,
    )
    return world.told(lambda: job.folder.finish(outcome))


def denoise_report(result: DenoiseResult) -> dict[str, Any]:
    """The result as JSON-ready values: detection metrics and one row for each retraining."""
    return {
        **result.detection.ranker.facts,
        "detector_in_sample": result.detection.in_sample,
        "detection": result.detection.metrics.to_dict(),
        "estimates": {name: e.to_dict() for name, e in result.detection.estimates.items()},
        "file": None if result.file is None else str(result.file),
        "rounds": [one.to_dict() for one in result.rounds],
        "rows": [row.to_dict() for row in result.rows],
    }
