"""From images or vectors to a ranking: look, choose, forecast, record, rank, estimate, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tdctl.classifier import check_heads
from tdctl.config import Config
from tdctl.cuts import Estimate
from tdctl.data.check import check_classes
from tdctl.errors import ConfigError, DataError, DynamicsError, RunError
from tdctl.files import MANIFEST_FILE, read_json, write_json
from tdctl.finding.choices import (
    FEWEST_EPOCHS,
    OF_PICTURES,
    SMALLER,
    Choice,
    Chosen,
    Seen,
    SeenVectors,
    choose,
    epochs_within,
)
from tdctl.finding.forecast import Forecast, forecast_training
from tdctl.finding.forecast_heads import forecast_heads
from tdctl.finding.suited import in_words, see, see_vectors
from tdctl.inputs.given_labels import list_training_data
from tdctl.inputs.prepare import settled, with_whole_paths
from tdctl.rankers.open_ranker import Source
from tdctl.rankers.ranked import DetectResult
from tdctl.rankers.ranking_files import ranking_files
from tdctl.run import RunFolder, refuse_existing
from tdctl.run.outside import refuse_in_data
from tdctl.run.resuming import settings_to_resume
from tdctl.runner.detect import detect
from tdctl.runner.generate_heads import check_same_vectors
from tdctl.runner.generate_td import generate_td
from tdctl.runner.report import report_of
from tdctl.scores import Score
from tdctl.training import Report, World, pick_device

__all__ = ["FindPlan", "FindResult", "begun_with", "default_out", "find", "finished", "plan_find"]

RUN, RANKING, PAGE, RECORD = "run", "ranking.csv", "report.html", "find.json"
METHOD = "combined"
SCHEMA_VERSION = 1
# The settings of a training whose epochs were chosen for the network of this recipe.
OWN_RECIPE = "detect"
# Data that are told by where they lie.
NAMED_BY_PATH = {"folder", "table", "embeddings"}
Resolve = Callable[[Mapping[str, Any]], Config]


@dataclass(frozen=True)
class FindPlan:
    """What will be done, and how long it takes.

    Attributes:
        config: all settings.
        seen: of the data set.
        name: of the data set.
        reasons: why what was chosen was chosen, a line each.
        forecast: of the recording.
        held_out: samples that get no rank: those that the user's own splits hold out.
        notes: what the user should know of the data, a line each.
    """

    config: Config
    seen: Seen | SeenVectors
    name: str
    reasons: tuple[str, ...]
    forecast: Forecast
    held_out: int
    notes: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Of the recording, from the start to the end."""
        return self.forecast.whole(self.config.train.epochs)

    def lines(self, out: Path) -> list[str]:
        """The plan in words."""
        held = f"; {self.held_out:,} are held out and get no rank" if self.held_out else ""
        plan, features = self.forecast, self.config.reads_vectors and self.seen.kind == "image"
        first = f"{in_words(plan.decoding)} for the features, " if features else ""
        return [
            f"data       {self.name}: {self.seen.words}{held}",
            f"will do    {self._task}, rank every {self.seen.kind}",
            *(f"because    {reason}" for reason in self.reasons),
            f"time       {in_words(self.seconds)} on this machine ({plan.device}, {plan.threads} "
            f"thread{'s' * (plan.threads > 1)}), {first}{in_words(plan.epoch)} an epoch",
            f"writes     {out}: {RUN}/, {RANKING}, ranking.json, {PAGE}",
        ]

    @property
    def _task(self) -> str:
        """What is trained, on what, for how long."""
        config, size = self.config, self.config.data.image_size
        at = "as they are" if size is None else f"at {size} by {size} pixels"
        if not config.reads_vectors:
            return f"train {self._networks} for {config.train.epochs} epochs on them {at}"
        rounds = config.heads.rounds
        times = {1: "once", 2: "twice"}.get(rounds, f"{rounds} times")
        heads = f"train {config.train.folds} linear heads {times} for {config.train.epochs} epochs"
        if self.seen.kind == "vector":
            return f"{heads} on them"
        net = config.net.net_type
        return f"compute the features of each ({net}, {at}), {heads} on these"

    @property
    def _networks(self) -> str:
        folds, label = self.config.train.folds, self.config.net.label
        if not folds:
            return f"a network ({label})"
        return f"{folds} networks ({label}), each without one of {folds} parts,"

    def report(self, out: Path) -> dict[str, Any]:
        """The plan as JSON-ready values."""
        return {
            "dry_run": True,
            "out": str(out),
            "data": {"name": self.name, **asdict(self.seen)},
            "reasons": list(self.reasons),
            "epochs": self.config.train.epochs,
            "folds": self.config.train.folds,
            "image_size": self.config.data.image_size,
            "seconds": self.seconds,
            "forecast": asdict(self.forecast),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class FindResult:
    """How many labels look wrong, and where to look.

    Attributes:
        out: the folder.
        samples: how many have a rank.
        wrong: how many labels look wrong; None where that cannot be estimated.
        low, high: an interval of that number; None where there is none.
        files: what was written for the user.
        notes: what the user should know, a line each.
        again: whether all was there already.
    """

    out: Path
    samples: int
    wrong: int | None
    low: int | None
    high: int | None
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    again: bool = False

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.out / RUN

    def report(self) -> dict[str, Any]:
        """The result as JSON-ready values."""
        return {
            "out": str(self.out),
            "run": str(self.run),
            "samples": self.samples,
            "look_wrong": self.wrong,
            "low": self.low,
            "high": self.high,
            "files": [str(path) for path in self.files],
            "notes": list(self.notes),
            "again": self.again,
        }


def default_out(config: Config) -> Path:
    """``find_NAME`` here, after the data's name; beside the data where that is read from here."""
    data = config.data
    place = data.labels if data.dataset == "table" and data.labels is not None else data.root
    out = Path(f"find_{place.resolve().stem if place.is_file() else place.resolve().name}")
    try:
        refuse_in_data(with_whole_paths(config).data, out)
    except RunError:
        return place.resolve().parent / out
    return out


def begun_with(out: Path, config: Config) -> dict[str, Any] | None:
    """The settings that a recording in the folder began with; None where none began.

    Args:
        out: the folder.
        config: the settings of now, which say where the data lies.

    Raises:
        RunError: the folder is no folder of ``find``, or lies in the data.
    """
    refuse_in_data(with_whole_paths(config).data, out)
    if out.exists() and not out.is_dir():
        raise RunError(f"{out}: is a file; give a folder with --out")
    run = out / RUN
    if not (run / MANIFEST_FILE).exists():
        if out.is_dir() and any(path.name != RUN for path in out.iterdir()):
            raise RunError(
                f"{out}: holds files but nothing that tdctl find began; give another --out"
            )
        return None
    return settings_to_resume(run)


def finished(out: Path, config: Config, source: Source) -> FindResult | None:
    """What an earlier call found, if it ran to its end; None where it did not.

    Args:
        out: its folder.
        config: the settings of now.
        source: what ranks, as it is asked for now.

    Raises:
        RunError: it had other settings, ranked by something else, or its record is malformed.
    """
    path = out / RECORD
    if not path.exists():
        return None
    record = read_json(path)
    try:
        if record["status"] != "complete":
            return None
        files = tuple(out / name for name in record["files"])
        found = FindResult(
            out, record["samples"], record["look_wrong"], record["low"], record["high"], files,
            tuple(record["notes"]), again=True,
        )  # fmt: skip
        was = record["ranked_by"]
    except (KeyError, TypeError):
        raise RunError(f"{path}: is not what tdctl find wrote; give another --out") from None
    if was != _named(source):
        raise RunError(
            f"{out}: is ranked by {was}, and {_named(source)} is asked for; give another --out, or "
            "rank its run by itself: "
            f"tdctl detect --td {out / RUN} --out OTHER.csv"
        )
    # Refuses other settings than those of the run, and other vectors.
    run, config = RunFolder(out / RUN, "generate-td"), settled(config)
    status = run.open(config, resume=True, overwrite=False)
    if status == "complete":
        gone = check_same_vectors(run, config)
        found = replace(found, notes=(*found.notes, *filter(None, [gone])))
    there = all(file.exists() for file in files)
    return found if there and status == "complete" else None


def plan_find(
    resolve: Resolve, named: frozenset[str], seconds: float | None, device: str
) -> FindPlan:
    """Looks at the data and chooses what the user has not; decodes a few pictures, writes nothing.

    Args:
        resolve: the settings of the user above some chosen ones, by dotted key.
        named: the dotted keys that the user set.
        seconds: that the recording may take; None for no limit.
        device: that computes.

    Raises:
        DataError: the data set is missing or malformed.
        ConfigError: the time is too short for five epochs, or a setting does not fit.
    """
    first, world = resolve({}), World(device=pick_device(device))
    heads = first.reads_vectors
    if heads:
        check_heads(first, world)
    listing = list_training_data(with_whole_paths(first))
    check_classes(listing.labels.assigned, listing.class_names, listing.name, first.data.limit)
    seen = see_vectors(listing) or see(first, listing)
    if seen is None:
        raise DataError(
            f"{listing.name}: none of the images that were looked at opens; expected pictures that "
            "Pillow reads"
        )
    if first.train.epochs < 2:
        raise ConfigError("train.epochs: one epoch is no curve to rank by; give --epochs 2 or more")
    if heads or isinstance(seen, SeenVectors):
        forecast, choice = forecast_heads(settled(first), listing, world)
        way = _Way(choice, settled(resolve(choice.settings)), forecast)
    else:
        choice = _free(choose(seen), named, first)
        config = settled(resolve(choice.settings))
        listing = list_training_data(with_whole_paths(config))
        way = _Way(choice, config, forecast_training(config, listing, world))
    if seconds is not None:
        if "train.epochs" in named:
            raise ConfigError(
                "time: --epochs says how long the recording is; leave out one of them"
            )
        for cheaper in () if heads else _CHEAPER:
            if way.fit(seconds) >= 2 * FEWEST_EPOCHS or not _costs_more(way.config, cheaper.key):
                continue
            choice = way.choice.replaced(cheaper)
            tried = settled(resolve(_free(choice, named, first).settings))
            if not _costs_more(tried, cheaper.key):
                way = _Way(choice, tried, forecast_training(tried, listing, world))
        fit, most = way.fit(seconds), way.config.train.epochs
        if fit < FEWEST_EPOCHS:
            needed = way.forecast.whole(FEWEST_EPOCHS)
            raise ConfigError(
                f"time: {in_words(seconds)} is too short: {FEWEST_EPOCHS} epochs, the least that "
                f"tell something, take {in_words(needed)} here; give --time {_asked(needed)}, or "
                f"fewer {seen.kind}s with --limit"
            )
        if fit < most:
            why = f"epochs {fit}: as many as fit into {in_words(seconds)}"
            choice = way.choice.replaced(Chosen("train.epochs", fit, why))
            way = replace(way, choice=choice, config=settled(resolve(choice.settings)))
    config = way.config
    held = 0 if listing.held is None else int(listing.held.sum())
    return FindPlan(
        config=config,
        seen=seen,
        name=str(config.data.root) if config.data.dataset in NAMED_BY_PATH else listing.name,
        reasons=way.choice.reasons,
        forecast=way.forecast,
        held_out=held + len(listing.test_index),
        notes=listing.notes,
    )


@dataclass(frozen=True)
class _Way:
    """What is chosen, all settings with it, and how long they take."""

    choice: Choice
    config: Config
    forecast: Forecast

    def fit(self, seconds: float) -> int:
        """How many of the epochs fit into a time."""
        fixed, epoch, most = self.forecast.fixed, self.forecast.epoch, self.config.train.epochs
        return epochs_within(seconds, fixed, epoch, most)


# What is done without if too few epochs fit into --time, the first one first.
_CHEAPER = (
    Chosen("train.folds", 0, "folds 0: more networks than one take too long for --time"),
    Chosen(
        "data.image_size", SMALLER, f"image size {SMALLER}: larger ones take too long for --time"
    ),
)


def _costs_more(config: Config, key: str) -> bool:
    """Whether a setting takes more time than the cheaper one of ``_CHEAPER``."""
    if key == "train.folds":
        return config.train.folds > 0
    return config.data.image_size is not None and config.data.image_size > SMALLER


def find(
    config: Config,
    out: Path,
    source: Source,
    *,
    report: Report | None = None,
    world: World | None = None,
) -> FindResult:
    """Records, or goes on with what was begun, ranks, estimates how many are wrong, and writes.

    Args:
        config: all settings.
        out: the folder of ``run/``, ``ranking.csv``, ``ranking.json`` and ``report.html``.
        source: what ranks, as ``detect`` takes it.

    Raises:
        As ``generate_td`` and ``detect``.
    """
    world = World(device=pick_device(config.device)) if world is None else world
    run, ranking = out / RUN, out / RANKING
    ours = (out / RECORD).exists()
    page = out / PAGE
    refuse_existing([*ranking_files(ranking), page], overwrite=ours)
    begun = (run / MANIFEST_FILE).exists()
    recorded = generate_td(config, run, resume=begun, report=report, world=world)
    # From here on the files beside the run are known as ours, and written anew after a kill.
    write_json(out / RECORD, {"schema_version": SCHEMA_VERSION, "status": "running"})
    ranked, why_not = _ranked(run, source, ranking, report, world)
    shown = report_of(ranked, page, config=with_whole_paths(config), overwrite=True, world=world)
    files = [*ranking_files(ranking), page]
    # The report says again what the ranking did.
    n = len(ranked.labels)
    estimate = ranked.estimates.get(METHOD)
    wrong = None if ranked.flagged is None else int(ranked.flagged.rows.sum())
    extra = () if why_not is None else (why_not,)
    said = (*recorded.notes, *ranked.notes, *extra, *shown.notes)
    notes = tuple(dict.fromkeys(said))
    result = FindResult(out, n, wrong, *_interval(estimate, n), tuple(files), notes)
    record = {
        "schema_version": SCHEMA_VERSION,
        "status": "complete",
        "ranked_by": _named(source),
        **result.report(),
        "files": [file.name for file in files],
    }
    write_json(out / RECORD, record)
    return result


def _ranked(
    run: Path, source: Source, ranking: Path, report: Report | None, world: World
) -> tuple[DetectResult, str | None]:
    """The ranking with a cut where one can be estimated, else why not."""
    common: dict[str, Any] = {"out": ranking, "overwrite": True, "report": report, "world": world}
    try:
        cut = f"auto:{METHOD}"
        return detect(run, source, cut=cut, keep_per_class=0.0, **common), None
    except DynamicsError as error:
        return detect(run, source, **common), f"how many are wrong is not estimated: {error}"


def _interval(estimate: Estimate | None, n: int) -> tuple[int | None, int | None]:
    if estimate is None or estimate.low is None or estimate.high is None:
        return None, None
    return round(estimate.low * n), round(estimate.high * n)


def _free(choice: Choice, named: frozenset[str], config: Config) -> Choice:
    """What was chosen and the user has not set; with another recipe its length is its own."""
    train, other = config.train, "recipe" in named and config.recipe != OWN_RECIPE
    found = choice.free(named)
    if config.net.starts_trained:
        # The recipe of pretrained networks is the default, and their weights say the size.
        found = found.without({"recipe", "train.epochs", "train.folds", *OF_PICTURES})
    if other:
        found = found.without({"train.epochs"})
    # These do not go with folds, or with an estimate by folds.
    alone = train.threshold_samples or train.leave_out is not None or train.store != "full"
    return found.without({"train.folds"}) if alone or other else found


def _named(source: Source) -> str:
    return source.name if isinstance(source, Score) else str(source)


def _asked(seconds: float) -> str:
    """A time as ``--time`` takes it, a little more."""
    return f"{int(seconds / 60) + 1}m"
