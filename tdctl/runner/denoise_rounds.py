"""Several rounds of recording and ranking; each leaves out what the round before flagged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tdctl.config import Config
from tdctl.errors import ConfigError
from tdctl.files import read_json
from tdctl.rankers import DetectResult, Source, open_ranker, rank_runs
from tdctl.rankers.ranking_files import write_ranking
from tdctl.retraining.rounds import (
    Round,
    begun_rounds,
    check_round,
    round_of,
    write_rounds,
)
from tdctl.run import CONFIG_FILE, MANIFEST_FILE, read_config
from tdctl.runner.generate_td import generate_td
from tdctl.settings import load_config
from tdctl.training import Report, World

__all__ = ["Rounds", "check_rounds", "folder_of_rounds", "repeat_rounds"]


@dataclass(frozen=True)
class Rounds:
    """The rounds, and the ranking of the last one.

    Attributes:
        detection: the ranking of the last round.
        rows: one per round; empty if there is only one.
        notes: what the user should know, one line each.
    """

    detection: DetectResult
    rows: list[Round] = field(default_factory=list)
    notes: tuple[str, ...] = ()


def check_rounds(rounds: int, runs: Sequence[Path], ratios: Sequence[float | str]) -> None:
    """Refuses several rounds of what cannot be recorded again.

    Raises:
        ConfigError: the number is below 1. Or there are several rounds, which need exactly one run
            with settings, and one ratio above 0. Or no sample can be left out of such a recording.
    """
    if rounds < 1:
        raise ConfigError(f"rounds: {rounds} is less than one; give 2 or more for further rounds")
    if rounds == 1:
        return
    if len(runs) > 1:
        raise ConfigError(f"rounds: record one run again, and {len(runs)} are given; name one --td")
    if len(ratios) != 1 or ratios[0] == 0:
        given = "0" if ratios else "none"
        what = f"{len(ratios)} are" if len(ratios) > 1 else f"{given} is"
        raise ConfigError(
            "rounds: each round leaves out one share of the samples, above 0, and "
            f"{what} given; name one --remove-ratio"
        )
    if not (runs[0] / CONFIG_FILE).exists():
        raise ConfigError(
            f"rounds: {runs[0]} holds no {CONFIG_FILE} of tdctl, so it cannot be recorded again; "
            "leave out --rounds"
        )
    _without(runs[0], read_config(runs[0]), Path("ranking.csv"), 0.1)


def repeat_rounds(
    config: Config,
    run: Path,
    source: Source,
    first: DetectResult,
    ratio: float | str,
    rounds: int,
    base: Path,
    *,
    keep_per_class: float | None,
    resume: bool,
    overwrite: bool,
    dry_run: bool,
    report: Report | None,
    world: World,
) -> Rounds:
    """Records and ranks a run again, each time without the samples that were flagged before.

    Each round starts from the original given labels: its network is trained on the samples that
    the round before did not flag, and predicts the flagged ones after each epoch. Then all samples
    are ranked anew. So a right label that one round flags can come back in the next, and the
    suggested label of a flagged sample comes from a network that never saw it under a wrong label.
    Labels are changed only for the retraining: a network that is trained on a label that it
    suggested itself would confirm it.

    Args:
        config: the settings of the denoising: where the data is now, and the device.
        run: the run of round 1; the others have its settings and its seed.
        source: the detector's file, or a score.
        first: the ranking of round 1.
        ratio: the share to flag, or the name of an estimate.
        rounds: how many rounds, at least 2.
        base: the folder of the denoising. Round r is recorded in ``round<r>`` of
            ``folder_of_rounds``, so more rounds continue fewer.
        keep_per_class: see ``DetectResult.above``. A recording always keeps half of each class.
        resume: takes over finished rounds and continues an unfinished one.
        overwrite: replaces existing rounds.
        dry_run: record nothing; with ``resume``, take over the rounds that are complete.
        report: is told the progress.
        world: the processes.

    Raises:
        RunError: the rounds exist already, or began with another recording or detector.
        TdctlError: as in ``generate_td`` and ``detect``.
    """
    folder = folder_of_rounds(base, first, ratio, keep_per_class)
    begun = world.told(lambda: begun_rounds(folder, resume, overwrite))
    own, detection, trained_on = read_config(run), first, len(first.labels)
    rows: list[Round] = []
    notes: tuple[str, ...] = ()
    methods = [ratio] if isinstance(ratio, str) else []
    for number in range(1, rounds + 1):
        row = round_of(number, detection, detection.above(ratio, keep_per_class), trained_on)
        rows.append(row)
        world.told(partial(check_round, folder, begun, row))
        if not dry_run:
            world.first(partial(write_rounds, folder, rows, begun))
        if number == rounds:
            break
        out = folder / f"round{number + 1}"
        if dry_run and not world.told(partial(_is_complete, out, resume)):
            last = f" to {rounds}" if rounds > number + 1 else ""
            notes += (
                f"would record round {number + 1}{last} in {folder}; the counts are those of the "
                f"ranking of round {number}",
            )
            break
        if not row.flagged:
            notes += (f"round {number} flags nothing, so it is the last one",)
            break
        ranking = folder / f"round{number}.csv"
        if not dry_run:
            world.first(partial(write_ranking, ranking, detection))
        settings = _without(run, own, ranking, row.flagged / len(detection.labels), config)
        result = generate_td(
            settings, out, resume=resume, overwrite=overwrite, report=report, world=world
        )
        trained_on = len(detection.labels) - result.manifest["left_out"]["count"]
        ranker = world.together(lambda: open_ranker(source, world))
        detection = rank_runs([out], ranker, world, methods, report)
    return Rounds(detection, rows, notes)


def folder_of_rounds(
    base: Path, first: DetectResult, ratio: float | str, keep_per_class: float | None
) -> Path:
    """The folder of all rounds with one ranker, one ratio and one floor per class.

    Args:
        base: the folder of the denoising.
        first: the ranking of round 1.
        ratio: the share to flag, or the name of an estimate.
        keep_per_class: see ``DetectResult.above``.
    """
    return base / f"{first.label}_rounds" / _name(ratio, keep_per_class)


def _is_complete(folder: Path, resume: bool) -> bool:
    """Whether a round that may be taken over is recorded."""
    manifest = folder / MANIFEST_FILE
    return resume and manifest.exists() and read_json(manifest).get("status") == "complete"


def _name(ratio: float | str, keep_per_class: float | None) -> str:
    name = f"percremoveauto_{ratio}" if isinstance(ratio, str) else f"percremove{ratio}"
    return name if keep_per_class is None else f"{name}_keep{keep_per_class:g}"


def _without(
    run: Path, own: Config, ranking: Path, share: float, now: Config | None = None
) -> Config:
    """The settings of a run, for a recording that leaves out the worst samples of a ranking."""
    changes: dict[str, Any] = {"train.leave_out": str(ranking.resolve())}
    changes["train.leave_out_ratio"] = share
    if now is not None:
        changes["device"] = now.device
        for name in ("data_dir", "labels", "cache_dir", "images", "workers"):
            value = getattr(now.data, name)
            changes[f"data.{name}"] = str(value) if isinstance(value, Path) else value
    try:
        return load_config(None, changes, own.model_dump(mode="json"))
    except ConfigError as error:
        raise ConfigError(f"rounds: {run} cannot be recorded again so: {error}") from None
