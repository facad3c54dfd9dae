"""From images or vectors to a ranking: look, choose, forecast, record, rank, estimate, write."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tdctl.config import Config
from tdctl.cuts import Estimate
from tdctl.dynamics import TD_FILE
from tdctl.errors import ConfigError, DynamicsError, RunError
from tdctl.files import MANIFEST_FILE, read_json, write_json
from tdctl.finding.second_round import second_round
from tdctl.inputs.prepare import settled, with_whole_paths
from tdctl.rankers.open_ranker import Source, open_ranker
from tdctl.rankers.ranked import DetectResult
from tdctl.rankers.ranking_files import ranking_files
from tdctl.run import RunFolder, refuse_existing
from tdctl.run.outside import refuse_in_data
from tdctl.run.resuming import settings_to_resume
from tdctl.runner.detect import detect
from tdctl.runner.generate_td import generate_td
from tdctl.runner.plan_find import FIRST, PAGE, RANKING, RUN, SECOND_RUN
from tdctl.runner.report import report_of
from tdctl.runner.same_samples import check_same_samples
from tdctl.scores import Score
from tdctl.training import Report, World, pick_device, staged

__all__ = [
    "FindResult",
    "begun_rounds",
    "begun_with",
    "check_ranker",
    "check_score",
    "default_out",
    "find",
    "finished",
    "is_unfinished",
]

RECORD = "find.json"
METHOD = "combined"
SCHEMA_VERSION = 1


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


def check_ranker(source: Source) -> None:
    """Refuses a detector that cannot be read, before anything is recorded.

    Raises:
        DetectorError: as ``detect``.
    """
    open_ranker(source, World())


def check_score(score: Source, config: Config, rounds: int) -> None:
    """Refuses a score that the recording with these settings would not allow, before it begins.

    Args:
        score: what is to rank; a detector is not checked here.
        config: all settings.
        rounds: how many networks are recorded one after the other.

    Raises:
        ConfigError: the recording will lack what the score needs; the message says what it is.
    """
    if not isinstance(score, Score):
        return
    train, vectors = config.train, config.reads_vectors
    folds, final = train.folds > 0, "final" in score.needs
    lacking: tuple[tuple[bool, str], ...] = (
        (score.heldout and not folds and not vectors, "held-out predictions; give --folds 5"),
        (score.heldout and rounds > 1, "held-out predictions in both rounds; give --rounds 1"),
        ("features" in score.needs and not vectors, "features; give --recipe features"),
        (final and vectors, "one finished network, and heads on features are several"),
        (final and folds, "the predictions of one finished network; give --folds 0"),
        (final and train.threshold_samples,
         "the predictions of one finished network; leave out --threshold-samples"),
        ("every class" in score.needs and train.store not in {"full", "auto"},
         "the probabilities of all classes; give --store full"),
    )  # fmt: skip
    for lacks, what in lacking:
        if lacks:
            raise ConfigError(f"score {score.name}: needs {what}; tdctl scores lists the others")


def begun_rounds(out: Path) -> int | None:
    """The rounds of what was found in a folder, or begun after the first; None where nothing was.

    Raises:
        RunError: the record of ``find`` is malformed.
    """
    path = out / RECORD
    record = read_json(path) if path.exists() else {}
    if not record or _is_of_earlier_run(out, record):
        return None
    rounds = record.get("rounds", 1)
    if rounds not in (1, 2):
        raise RunError(f"{path}: is not what tdctl find wrote; give another --out")
    return int(rounds)


def begun_with(out: Path, config: Config, overwrite: bool = False) -> dict[str, Any] | None:
    """The settings that a recording in the folder began with; None where none began.

    Args:
        out: the folder.
        config: the settings of now, which say where the data lies.
        overwrite: whether it will be replaced; then None as well.

    Raises:
        RunError: the folder is no folder of ``find``, or lies in the data.
    """
    refuse_in_data(with_whole_paths(config).data, out)
    _check_ours(out)
    return settings_to_resume(out / RUN) if _begun(out / RUN) and not overwrite else None


def _check_ours(out: Path) -> None:
    """Refuses a folder that holds files, but no run that ``find`` began."""
    if out.exists() and not out.is_dir():
        raise RunError(f"{out}: is a file; give a folder with --out")
    if _begun(out / RUN) or (out / RECORD).exists() or not out.is_dir():
        return
    if any(path.name != RUN for path in out.iterdir()):
        raise RunError(f"{out}: holds files but nothing that tdctl find began; give another --out")


def finished(out: Path, config: Config, source: Source, rounds: int = 1) -> FindResult | None:
    """What an earlier call found, if it ran to its end; None where it did not.

    Args:
        out: its folder.
        config: the settings of now.
        source: what ranks, as it is asked for now.
        rounds: how many are asked for now.

    Raises:
        RunError: it had other settings, ranked by something else, or its record is malformed.
    """
    path = out / RECORD
    if not path.exists():
        return None
    record = read_json(path)
    if _is_of_earlier_run(out, record):
        return None
    try:
        if record["status"] != "complete":
            _check_alike(out, record, source, rounds)
            return None
        files = tuple(out / name for name in record["files"])
        found = FindResult(
            out, record["samples"], record["look_wrong"], record["low"], record["high"], files,
            tuple(record["notes"]), again=True,
        )  # fmt: skip
    except (KeyError, TypeError):
        raise RunError(f"{path}: is not what tdctl find wrote; give another --out") from None
    had = _check_alike(out, record, source, rounds)
    # Refuses other settings than those of the run, and other data.
    status, gone = _checked(out / RUN, config)
    found = replace(found, notes=(*found.notes, *filter(None, [gone])))
    there = all(file.exists() for file in files)
    there = there and (had == 1 or (out / SECOND_RUN / TD_FILE).exists())
    return found if there and status == "complete" and had == rounds else None


def _is_of_earlier_run(out: Path, record: dict[str, Any]) -> bool:
    """Whether the run has been begun anew since ``find`` wrote its record.

    The first run says when it was started. Records of earlier versions do not have this time: such
    a complete record is of an earlier run if the run is not complete.
    """
    if not _begun(out / RUN):
        return True
    was = record.get("run_started")
    if was is None and record.get("status") == "complete":
        return bool(read_json(out / RUN / MANIFEST_FILE).get("status") != "complete")
    return was is not None and was != _started(out / RUN)


def _started(run: Path) -> Any:
    return read_json(run / MANIFEST_FILE).get("started")


def _check_alike(out: Path, record: dict[str, Any], source: Source, rounds: int) -> int:
    """The rounds of what was found or begun.

    Raises:
        RunError: it is ranked by something else than is asked for now, or has more rounds.
    """
    was, had = record.get("ranked_by"), record.get("rounds", 1)
    if was is not None and was != _named(source):
        raise RunError(
            f"{out}: is ranked by {was}, and {_named(source)} is asked for; give another --out or "
            f"--overwrite, or rank its run by itself: tdctl detect --td {out / RUN} --out OTHER.csv"
        )
    if had > rounds:
        raise RunError(
            f"{out}: has {had} rounds, and {rounds} is asked for; give --rounds {had}, "
            "another --out, or --overwrite"
        )
    return int(had)


def _checked(run: Path, config: Config) -> tuple[str, str | None]:
    """The status of a run with these settings and data, and a note if data are gone.

    Raises:
        RunError, DataError: it has other settings, or it is complete and its data have changed.
    """
    folder, config = RunFolder(run, "generate-td"), settled(config)
    status = folder.open(config, resume=True, overwrite=False)
    return status, check_same_samples(folder, config) if status == "complete" else None


def find(
    config: Config,
    out: Path,
    source: Source,
    *,
    rounds: int = 1,
    overwrite: bool = False,
    report: Report | None = None,
    world: World | None = None,
) -> FindResult:
    """Records, or goes on with what was begun, ranks, estimates how many are wrong, and writes.

    Args:
        config: all settings.
        out: the folder of ``run/``, ``ranking.csv``, ``ranking.json`` and ``report.html``.
        source: what ranks, as ``detect`` takes it.
        rounds: 1; or 2, to record a second network without the worst labels (see
            ``second_round``), and to rank both together.
        overwrite: records anew; what an earlier call found is replaced after that.

    Raises:
        As ``generate_td`` and ``detect``.
    """
    world = World(device=pick_device(config.device)) if world is None else world
    run, ranking, page = out / RUN, out / RANKING, out / PAGE
    _check_ours(out)
    ours = overwrite or (out / RECORD).exists()
    first_files = ranking_files(out / FIRST) if rounds > 1 else []
    refuse_existing([*ranking_files(ranking), *first_files, page], overwrite=ours)
    resume = _begun(run) and not overwrite

    def told(number: int) -> Report | None:
        return report if rounds == 1 else staged(report, f"round {number} of {rounds}")

    if resume:
        world.first(lambda: _checked(run, config))
    recorded = generate_td(
        config, run, resume=resume, overwrite=overwrite, report=told(1), world=world
    )
    # The earlier results stay until the new recording is complete. Only then are they removed.
    left = world.told(lambda: _remove_earlier(out, anew=not resume))
    notes, runs = (*recorded.notes, *left), [run]
    # From here on the files beside the run are known as ours, and written anew after a kill.
    begun = {
        "status": "running", "ranked_by": _named(source), "rounds": rounds,
        "run_started": _started(run),
    }  # fmt: skip
    write_json(out / RECORD, {"schema_version": SCHEMA_VERSION, **begun})
    if rounds > 1:
        first, _ = _ranked(runs, source, out / FIRST, report, world)
        runs.append(out / SECOND_RUN)
        share = first.estimates[METHOD].rate if METHOD in first.estimates else None
        again = second_round(config, out / FIRST, share, len(first.labels))
        second = generate_td(again, runs[1], resume=_begun(runs[1]), report=told(2), world=world)
        notes = (*notes, *second.notes)
    ranked, why_not = _ranked(runs, source, ranking, report, world)
    shown = report_of(ranked, page, config=with_whole_paths(config), overwrite=True, world=world)
    files = [*ranking_files(ranking), page]
    # The report says again what the ranking did.
    n = len(ranked.labels)
    estimate = ranked.estimates.get(METHOD)
    wrong = None if ranked.flagged is None else int(ranked.flagged.rows.sum())
    extra = () if why_not is None else (why_not,)
    notes = tuple(dict.fromkeys((*notes, *ranked.notes, *extra, *shown.notes)))
    result = FindResult(out, n, wrong, *_interval(estimate, n), tuple(files), notes)
    record = {
        "schema_version": SCHEMA_VERSION,
        "status": "complete",
        "ranked_by": _named(source),
        "rounds": rounds,
        "run_started": _started(run),
        **result.report(),
        "files": [file.name for file in files],
    }
    write_json(out / RECORD, record)
    return result


def _remove_earlier(out: Path, anew: bool) -> tuple[str, ...]:
    """Removes what was written on an earlier run of the folder, and says what else is left of it.

    Its ranking and report are replaced later.
    """
    path = out / RECORD
    if not path.exists() or not (anew or _is_of_earlier_run(out, read_json(path))):
        return ()
    for file in ranking_files(out / FIRST):
        file.unlink(missing_ok=True)
    RunFolder(out / SECOND_RUN, "generate-td").remove()
    path.unlink()
    retrained = sorted(folder.name for folder in out.glob("prune4retrain_*"))
    return tuple(
        f"{out / name}: was made from the earlier run; give tdctl denoise --overwrite or an --out"
        for name in retrained
    )


def is_unfinished(out: Path) -> bool:
    """Whether a recording in the folder of ``find`` was stopped after a whole epoch."""
    runs = [out / name for name in (RUN, SECOND_RUN)]
    return any(
        read_json(run / MANIFEST_FILE).get("status") != "complete" for run in runs if _begun(run)
    )


def _begun(run: Path) -> bool:
    return (run / MANIFEST_FILE).exists()


def _ranked(
    runs: list[Path], source: Source, ranking: Path, report: Report | None, world: World
) -> tuple[DetectResult, str | None]:
    """The ranking with a cut where one can be estimated, else why not."""
    common: dict[str, Any] = {"out": ranking, "overwrite": True, "report": report, "world": world}
    try:
        cut = f"auto:{METHOD}"
        return detect(runs, source, cut=cut, keep_per_class=0.0, **common), None
    except DynamicsError as error:
        return detect(runs, source, **common), f"how many are wrong is not estimated: {error}"


def _interval(estimate: Estimate | None, n: int) -> tuple[int | None, int | None]:
    if estimate is None or estimate.low is None or estimate.high is None:
        return None, None
    return round(estimate.low * n), round(estimate.high * n)


def _named(source: Source) -> str:
    return source.name if isinstance(source, Score) else str(source)
