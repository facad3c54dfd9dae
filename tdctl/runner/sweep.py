"""Trains the rows of a sweep, each once, and writes the table of their results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tdctl.claims import claim, release
from tdctl.config import Config
from tdctl.errors import RunError, TdctlError
from tdctl.files import read_json, write_json
from tdctl.finding.suited import suited
from tdctl.inputs import settled
from tdctl.rankers import open_ranker
from tdctl.run import CONFIG_FILE, MANIFEST_FILE, read_config, refuse_in_data
from tdctl.run.folder import HELD, PLACES, UNREAD
from tdctl.runner.generate_td import generate_td
from tdctl.runner.train import train
from tdctl.runner.train_outcome import Cleaned
from tdctl.settings import differences
from tdctl.sweeping import (
    LEFT_OUT,
    RANKER,
    ROW_FILE,
    Made,
    Recorded,
    Row,
    RowSettings,
    SweepFile,
    SweepTable,
    draw_table,
    plan_rows,
    read_row,
    read_rows,
    source_of,
    write_sweep_table,
)
from tdctl.sweeping.sweep_file import BEST_SCORE
from tdctl.training import Report, World, pick_device, staged

__all__ = ["SweepProgress", "SweepResult", "plan_sweep", "sweep"]

ROWS, RECORDINGS, RUN = "rows", "recordings", "run"
# The pause between two checks of rows that other processes are training.
WAIT_SECONDS = 5.0
# Recordings whose rankings are kept in memory.
KEPT = 2
OF_TRAINING = (
    "epochs",
    "test_error_last",
    "test_error_mean_of_last_10",
    "test_error_best",
    "best_epoch",
)
# An epoch's CPU time by algorithm, relative to plain training: docs/robust.md.
COST = {"ce": 1.0, "ssr": 2.3, "dividemix": 4.2, "augdesc": 6.0}


@dataclass(frozen=True)
class SweepProgress:
    """How far a sweep is.

    Attributes:
        row: the row that has just ended.
        outcome: its test error at the last epoch, in [0, 1]; or that it failed or is left
            out, and why.
        done, rows: rows with a result, and all rows.
        seconds_left: estimated from the rows that ended since the start; None if none has.
    """

    row: Row
    outcome: float | str | None
    done: int
    rows: int
    seconds_left: float | None


@dataclass(frozen=True)
class SweepResult:
    """The table of a sweep, and the files that hold it."""

    table: SweepTable
    files: list[Path]


def plan_sweep(sweep: SweepFile, out: Path) -> dict[str, Any]:
    """What ``sweep`` would do, JSON-ready; raises the errors that it would raise at its start.

    Returns:
        ``rows``: names of all rows; ``done``: number of those with a result; ``recordings``.

    Raises:
        ConfigError: a setting is unknown or out of range.
        RunError: the folder contains something else, or rows with other settings.
    """
    rows = plan_rows(sweep)
    _check_before(RowSettings(sweep), rows, out)
    done = [row for row in rows if (out / ROWS / row.name / ROW_FILE).exists()]
    names = list(dict.fromkeys(row.recording for row in rows))
    return {"rows": [row.name for row in rows], "done": len(done), "recordings": names}


def sweep(
    sweep: SweepFile,
    out: Path,
    *,
    report: Report | None = None,
    told: Callable[[SweepProgress], None] | None = None,
) -> SweepResult:
    """Records, ranks, cleans and trains, and writes one row for each training.

    Rows with a result are not trained again. A row that cannot be trained is noted with its
    reason, and the other rows continue. Several processes may work in one folder at the same time,
    also on several machines that share a disk: each row and each recording is claimed by one of
    them. A row that failed in an earlier call is tried again.

    The test set is never cleaned, and nothing is selected on it.

    Args:
        sweep: what is trained.
        out: the folder; it gets ``recordings``, ``rows``, and the tables.
        report: is told the progress of each training.
        told: is told the end of each row.

    Raises:
        ConfigError: a setting is unknown or out of range.
        RunError: the folder contains something else, or rows with other settings.
    """
    rows, settings = plan_rows(sweep), RowSettings(sweep)
    _check_before(settings, rows, out)
    at_work = _AtWork(settings, out, report)
    left = [row for row in rows if not at_work.is_done(row)]
    clock = _Clock(settings, left, len(rows))
    while left:
        before = len(left)
        for row in list(left):
            with _claimed(out / ROWS / row.name) as ours:
                if not ours:
                    continue
                # Another process may have ended it meanwhile.
                if not at_work.is_done(row) and not at_work.end(row):
                    continue
            left.remove(row)
            write_sweep_table(out, read_rows(out / ROWS, rows))
            if told is not None:
                told(clock.ended(row, left, read_json(out / ROWS / row.name / ROW_FILE)))
        if len(left) == before:
            # Other processes train the rows that are left. If one ends early, its claim ends, too.
            time.sleep(WAIT_SECONDS)
    table = read_rows(out / ROWS, rows)
    return SweepResult(table, [*write_sweep_table(out, table), *draw_table(out, table)])


class _AtWork:
    """The work of this process in the folder of a sweep."""

    def __init__(self, settings: RowSettings, out: Path, report: Report | None) -> None:
        self._settings, self._out, self._report = settings, out, report
        self._started = time.time()
        self._recorded: dict[str, Recorded] = {}
        (out / ROWS).mkdir(parents=True, exist_ok=True)

    def is_done(self, row: Row) -> bool:
        """Whether a row has a result; a failure in an earlier call is no result."""
        file = self._out / ROWS / row.name / ROW_FILE
        if not file.exists():
            return False
        return "failed" not in read_row(file, row) or file.stat().st_mtime >= self._started

    def end(self, row: Row) -> bool:
        """Trains a claimed row and writes its result; False if its recording is not there yet."""
        place = self._out / ROWS / row.name
        key = {**row.key(), "seed": row.seed}
        try:
            recorded = self._recording(row)
            if recorded is None:
                return False
            if row.control and row.needs_truth and not recorded.labels.flipped.any():
                why = "it needs the true labels, and no label is known to be wrong"
                write_json(place / ROW_FILE, {**key, LEFT_OUT: why})
                return True
            made = recorded.make(row)
            result = {**key, **made.facts, **self._train(row, recorded, made)}
        except TdctlError as error:
            result = {**key, "failed": str(error)}
        write_json(place / ROW_FILE, result)
        return True

    def _recording(self, row: Row) -> Recorded | None:
        """The recording of a row, made if it is missing; None while another process makes it."""
        name = row.recording
        if name not in self._recorded:
            folder = self._out / RECORDINGS / name
            # generate_td claims the run folder only after its checks. This claim covers the checks.
            with _claimed(self._out / RECORDINGS / f".{name}.claim") as ours:
                if not ours:
                    return None
                config = self._settings.of_recording(row)
                generate_td(config, folder, resume=True, report=staged(self._report, name))
            while len(self._recorded) >= KEPT:
                del self._recorded[next(iter(self._recorded))]
            self._recorded[name] = Recorded(folder, World(device=pick_device(config.device)))
        return self._recorded[name]

    def _train(self, row: Row, recorded: Recorded, made: Made) -> dict[str, Any]:
        folder = self._out / RECORDINGS / row.recording
        config = self._settings.of_training(row)
        share = float(made.label_set.keep.mean())
        if row.equal == "steps":
            epochs = round(config.robust.epochs / share)
            config = _with_epochs(config, epochs)
        cleaned = Cleaned(recorded.labels, made.label_set)
        result = train(
            config,
            self._out / ROWS / row.name / RUN,
            td=folder,
            cleaned=cleaned,
            resume=True,
            report=staged(self._report, row.name),
        )
        manifest, of_recording = result.manifest, read_json(folder / MANIFEST_FILE)
        facts = {name: fact for name, fact in cleaned.facts().items() if name != "fingerprint"}
        ours = {name: manifest[name] for name in OF_TRAINING}
        # If the training was resumed, its manifest knows only the last part of its time.
        whole = not manifest.get("resumed")
        return {
            **facts,
            **ours,
            "seconds": manifest["seconds"] if whole else None,
            "cpu_seconds": manifest["cpu_seconds"] if whole else None,
            "recording_cpu_seconds": None
            if of_recording.get("resumed")
            else of_recording.get("cpu_seconds"),
        }


def _with_epochs(config: Config, epochs: int) -> Config:
    robust = config.robust.model_copy(update={"epochs": epochs})
    return config.model_copy(update={"robust": robust})


def _check_before(settings: RowSettings, rows: Sequence[Row], out: Path) -> None:
    """Refuses what can be refused before anything is trained."""
    if out.exists() and not out.is_dir():
        raise RunError(f"{out}: is a file; give a folder with --out")
    if out.is_dir() and any(out.iterdir()) and not (out / ROWS).is_dir():
        raise RunError(f"{out}: holds files but no sweep; give another --out, or empty it yourself")
    detectors: dict[str | None, str] = {}
    for name in {row.detector for row in rows} - {None, BEST_SCORE, "auto"}:
        source = source_of(str(name))
        if isinstance(source, Path):
            ranker = open_ranker(source, World(device=pick_device("cpu")))
            detectors[name] = ranker.fingerprints()["detector"]
    for row in {row.recording: row for row in rows}.values():
        config = settled(settings.of_recording(row))
        _check_as_begun(config, out / RECORDINGS / row.recording, "generate-td", (*HELD, *PLACES))
    for row in rows:
        config = settled(settings.of_training(row))
        if not out.exists():
            refuse_in_data(config.data, out)
        _check_as_trained(config, row, out / ROWS / row.name, detectors.get(row.detector))


def _check_as_trained(config: Config, row: Row, place: Path, detector: str | None) -> None:
    """Refuses a finished row that was trained with other settings, or ranked by another detector.

    Args:
        config: the settings of the row's training.
        row: the row.
        place: its folder.
        detector: the fingerprint of its detector's file; None if it has none.

    Raises:
        RunError: it was.
    """
    if (place / ROW_FILE).exists():
        was = read_row(place / ROW_FILE, row).get(RANKER)
        if detector is not None and was not in (None, detector):
            raise RunError(
                f"{place}: was ranked by another detector than {row.detector} is now; give "
                "another --out, or remove that folder to train it again"
            )
        free = (*HELD, *PLACES, *(("robust.epochs",) if row.equal == "steps" else ()))
        _check_as_begun(config, place / RUN, "train", free, place)


def _check_as_begun(
    config: Config, run: Path, command: str, free: Sequence[str], named: Path | None = None
) -> None:
    """Refuses a run that began with other settings.

    Raises:
        RunError: it did.
    """
    if not (run / CONFIG_FILE).exists():
        return
    differ = differences(read_config(run), suited(config, run), UNREAD[command], free)
    if differ:
        raise RunError(
            f"{named or run}: was trained with other settings ({'; '.join(differ)}); give another "
            f"--out{'' if named is None else ', or remove that folder to train it again'}"
        )


@contextmanager
def _claimed(place: Path) -> Iterator[bool]:
    """Claims a folder for the block; gives False if another process has claimed it."""
    place.mkdir(parents=True, exist_ok=True)
    try:
        claim(place)
    except RunError:
        yield False
        return
    try:
        yield True
    finally:
        release(place)


class _Clock:
    """How far the sweep is, and how long the rest will take."""

    def __init__(self, settings: RowSettings, left: Sequence[Row], rows: int) -> None:
        self._start, self._rows = time.perf_counter(), rows
        self._cost = {row: _cost(settings, row) for row in left}
        self._whole = sum(self._cost.values())

    def ended(self, row: Row, left: Sequence[Row], result: dict[str, Any]) -> SweepProgress:
        """The report of a row that has just ended; rows that others ended count too."""
        rest = sum(self._cost[one] for one in left)
        elapsed = time.perf_counter() - self._start
        seconds = elapsed * rest / max(self._whole - rest, 1e-9)
        outcome = result.get("test_error_last")
        for word, name in (("failed", "failed"), ("left out", LEFT_OUT)):
            if name in result:
                outcome = f"{word}: {result[name]}"
        return SweepProgress(row, outcome, self._rows - len(left), self._rows, seconds)


def _cost(settings: RowSettings, row: Row) -> float:
    """The expected work of a row, in epochs of plain training."""
    robust = settings.of_training(row).robust
    return robust.epochs * COST[robust.algorithm]
