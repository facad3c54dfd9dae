"""The run folder: when it may be written, how it is resumed, and the manifest that describes it."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from tdctl.claims import check_unclaimed, claim, release
from tdctl.config import Config
from tdctl.errors import ConfigError, RunError
from tdctl.files import (
    LEFT_OUT_FILE,
    MANIFEST_FILE,
    RECORDER,
    nearest_folder,
    read_json,
    write_json,
    write_text,
)
from tdctl.processors import own_processors
from tdctl.settings import differences, load_config, read_yaml
from tdctl.versions import changed_versions, software_versions

__all__ = [
    "CONFIG_FILE",
    "DROPPED_FILE",
    "HELD",
    "MANIFEST_FILE",
    "SECOND",
    "RunFolder",
    "Status",
    "read_config",
    "refuse_existing",
]

CONFIG_FILE = "config.yaml"
CHECKPOINT_FILE = "checkpoint.pth"
SKIPPED_FILE = "skipped.csv"
LOG_FILE = "train_log.csv"
# What the network of a retraining predicts for the samples that it was not trained on.
DROPPED_FILE = "results_dropped.csv"
BOARD_FOLDER = "tensorboard"
# The recording of a robust training's second network.
SECOND = "network2"
# The files that a command may leave in a run folder. --overwrite removes only these.
OUR_FILES = (
    CONFIG_FILE,
    CHECKPOINT_FILE,
    "confusion.csv",
    "feature_scores.npz",
    "heldout_dynamics.npz",
    LEFT_OUT_FILE,
    "metadata.pth",
    "model.pth",
    "model.pth.last",
    DROPPED_FILE,
    "results_valid.csv",
    "samples.csv",
    "threshold.npz",
    SKIPPED_FILE,
    LOG_FILE,
    "training_dynamics.npz",
)
OUR_FOLDERS = ("capture", "capture_heldout")
# How images are read and stored changes no result, so a resumed run may use other values.
HELD = ("data.images", "data.cache_dir", "data.workers", "data.download")
# Paths. A finished run is compared by them too. When an unfinished run is resumed, the content of
# the files is compared instead.
PLACES = (
    "data.data_dir",
    "data.labels",
    "noise.pairs",
    "noise.matrix",
    "train.leave_out",
    "robust.split_from",
)
# Sections that a command does not read. They may change before the command is resumed.
UNREAD = {
    "generate-td": ("device", "retrain", "robust", "detector"),
    "denoise": ("device", "train", "robust", "detector"),
    "train": ("device", "train", "retrain", "detector"),
}

# These facts stay as they were when the run began. Resuming adds a record of what has changed.
COMPUTATION = ("device", "precision", "compiled", "threads", "processes")

Status = Literal["new", "unfinished", "complete"]


class RunFolder:
    """A folder that one command writes and that describes itself.

    ``config.yaml`` holds the resolved settings, ``manifest.json`` the command, its status
    (``running``, ``interrupted``, ``failed`` or ``complete``), seeds, versions, device and time.
    """

    def __init__(self, path: Path, command: str) -> None:
        self.path, self._command = path, command
        self._manifest: dict[str, Any] = {}
        self._started, self._cpu = time.perf_counter(), time.process_time()

    @property
    def checkpoint(self) -> Path:
        """The file in which the training keeps its state after the last complete epoch."""
        return self.path / CHECKPOINT_FILE

    def open(self, config: Config, resume: bool, overwrite: bool) -> Status:
        """Finds out what the folder contains; changes nothing.

        Raises:
            RunError: the folder is occupied and neither ``resume`` nor ``overwrite`` is given;
                or another process is writing it; or the run to resume was started with other
                settings.
        """
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"{self.path}: is a file; give a folder with --out")
        if not self.path.exists():
            return "new"
        check_unclaimed(self.path)
        if not set(self.path.iterdir()) - set(self._leftovers()):
            return "new"
        manifest = self.path / MANIFEST_FILE
        if not resume and not manifest.exists():
            raise RunError(
                f"{self.path}: holds files but no run of tdctl, and is left alone; give "
                "another --out, or empty it yourself"
            )
        if overwrite:
            if read_json(manifest).get("command") == RECORDER:
                raise RunError(
                    f"{self.path}: holds what a training loop of your own recorded, and is left "
                    "alone; give another --out, or empty it yourself"
                )
            return "new"
        if not resume:
            raise RunError(
                f"{self.path}: the folder is occupied; go on with --resume, replace what is "
                "there with --overwrite, or give another --out"
            )
        if not manifest.exists():
            raise RunError(f"{self.path}: holds no run that could be resumed; give another --out")
        self._manifest = read_json(manifest)
        command = self._manifest.get("command")
        if command != self._command:
            raise RunError(
                f"{self.path}: was written by {command}, not by {self._command}; give another --out"
            )
        if not (self.path / CONFIG_FILE).exists() and not self.checkpoint.exists():
            return "unfinished"  # the run was killed at its start: there is nothing to continue
        unread = UNREAD.get(self._command, ("device",))
        finished = self._manifest.get("status") == "complete"
        free = HELD if finished else HELD + PLACES
        differ = differences(read_config(self.path), config, unread, free)
        if differ:
            raise RunError(
                f"{self.path}: was started with other settings ({'; '.join(differ)}); leave "
                "these out to continue with the run's own settings, or start again with --overwrite"
            )
        return "complete" if finished else "unfinished"

    def check_same(
        self, name: str, value: Any, where_known: bool = False, of: str = "images or labels"
    ) -> None:
        """Refuses to resume a run if a fact in its manifest now has another value.

        Args:
            name: the key in the manifest.
            value: the value now.
            where_known: accept a manifest that does not have this fact.
            of: what must have changed, for the message.

        Raises:
            RunError: the values differ; the message names the fact.
        """
        was = self._manifest.get(name)
        if was != value and not (where_known and was is None):
            raise RunError(
                f"{self.path}: was started on other data ({name} differs: {of} have changed "
                "since); start again with --overwrite, or give another --out"
            )

    def start(self, config: Config, facts: Mapping[str, Any], status: Status) -> None:
        """Creates the folder and marks it as running; a new run first removes the old files.

        Raises:
            RunError: another process is writing the folder.
        """
        self._started, self._cpu = time.perf_counter(), time.process_time()
        self.path.mkdir(parents=True, exist_ok=True)
        claim(self.path)
        if status == "new":
            self._manifest = {}
        self._manifest.pop("reason", None)
        versions = software_versions()
        if status == "unfinished":
            session = {**self._changes(facts), "versions": versions}
            facts = {**facts, "resumed": [*self._manifest.get("resumed", []), session]}
            facts = {key: value for key, value in facts.items() if key not in COMPUTATION}
            versions = self._manifest.get("versions", versions)
        self._manifest |= {
            "command": self._command,
            "status": "running",
            "started": self._manifest.get("started", _now()),
            "finished": None,
            "versions": versions,
            "machine": {"system": platform.platform(), "processors": own_processors()},
            **facts,
        }
        # The manifest is written first and removed last. If the process is killed in between,
        # the folder is still recognised as a run, and --overwrite still replaces it.
        self._write()
        if status == "new":
            self._clear()
        write_text(self.path / CONFIG_FILE, config.to_yaml())

    def finish(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Marks the run as complete, removes temporary files, and returns the manifest.

        ``seconds`` and ``cpu_seconds`` cover this process only, from the start or from the point
        of resuming.
        """
        self._manifest |= {
            "status": "complete",
            "finished": _now(),
            "seconds": round(time.perf_counter() - self._started, 2),
            "cpu_seconds": round(time.process_time() - self._cpu, 2),
            **facts,
        }
        self._write()
        self.tidy()
        release(self.path)
        return dict(self._manifest)

    def tidy(self) -> None:
        """Removes the checkpoint and the capture, which only an unfinished run needs."""
        for name in OUR_FOLDERS:
            shutil.rmtree(self.path / name, ignore_errors=True)
            shutil.rmtree(self.path / SECOND / name, ignore_errors=True)
        for path in (*self._leftovers(), self.checkpoint):
            path.unlink(missing_ok=True)

    def stop(self, status: Literal["interrupted", "failed"], reason: str) -> None:
        """Marks the run as ended early; it can be resumed from its last complete epoch.

        If no epoch is complete, there is nothing to resume, and the new files are removed.
        """
        try:
            self._stop(status, reason)
        finally:
            release(self.path)

    def _stop(self, status: str, reason: str) -> None:
        if self._manifest.get("status") == "complete":
            return  # only the temporary files are left to remove
        if not self.checkpoint.exists():
            self._clear()
            (self.path / MANIFEST_FILE).unlink(missing_ok=True)
            with suppress(OSError):
                self.path.rmdir()
            return
        self._manifest |= {"status": status, "finished": _now(), "reason": reason}
        self._write()

    def remove(self) -> None:
        """Removes the run; files that tdctl did not write stay, and with them the folder.

        Raises:
            RunError: another process is writing the folder.
        """
        if not (self.path / MANIFEST_FILE).exists():
            return
        check_unclaimed(self.path)
        self._clear()
        (self.path / MANIFEST_FILE).unlink()
        with suppress(OSError):
            self.path.rmdir()

    def _clear(self) -> None:
        for name in OUR_FILES:
            (self.path / name).unlink(missing_ok=True)
        for name in (BOARD_FOLDER, SECOND):
            shutil.rmtree(self.path / name, ignore_errors=True)
        self.tidy()

    def began_with(self) -> dict[str, Any]:
        """How an unfinished run was computed when it began: device, precision and so on."""
        return {key: self._manifest[key] for key in COMPUTATION if key in self._manifest}

    def other_versions(self) -> str | None:
        """A note if an unfinished run was computed with another version so far, else None."""
        first = self._manifest.get("versions")
        sessions = [first, *(one.get("versions") for one in self._manifest.get("resumed", []))]
        for was in sessions:
            differ = changed_versions(was)
            if differ is not None:
                how = "begun" if was is first else "went on"
                return (
                    f"{self.path}: {how} with {differ[0]}, goes on with {differ[1]}: the last "
                    "bits may differ from those of a run without interruption"
                )
        return None

    def _changes(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        began = self.began_with()
        changed = {key: facts[key] for key in began if facts.get(key, began[key]) != began[key]}
        return {"at": _now(), **changed}

    def _leftovers(self) -> list[Path]:
        """Temporary files that remained because a process was killed while it wrote them."""
        names = (*OUR_FILES, MANIFEST_FILE)
        return [part for name in names for part in self.path.glob(f".{name}.*.part")]

    def _write(self) -> None:
        write_json(self.path / MANIFEST_FILE, self._manifest)


def read_config(folder: Path) -> Config:
    """The settings that a run was made with.

    Raises:
        ConfigError: the file is missing or malformed.
    """
    path = folder / CONFIG_FILE
    if not path.exists():
        raise ConfigError(f"{folder}: holds no {CONFIG_FILE}; expected a run of tdctl")
    # Runs of earlier versions have no robust training; the last section shows a file cut off.
    missing = set(Config.model_fields) - set(read_yaml(path)) - {"robust", "heads"}
    if missing:
        raise ConfigError(f"{path}: is cut off, it has no '{min(missing)}'; expected a whole file")
    return load_config(path, of_run=True)


def refuse_existing(paths: Iterable[Path], overwrite: bool) -> None:
    """Refuses to replace files. Call it before the work whose result they will contain.

    Raises:
        RunError: a file exists and ``overwrite`` is off, or it is part of a run, or it cannot be
            written.
    """
    for path in paths:
        if path.is_dir():
            raise RunError(f"{path}: is a folder; expected a file name")
        if path.exists() and not path.is_file():
            raise RunError(f"{path}: is a pipe or a device; expected a file name")
        of_run = path.name in (*OUR_FILES, MANIFEST_FILE)
        if of_run and path.exists() and (path.parent / MANIFEST_FILE).exists():
            raise RunError(f"{path}: is part of a recorded run; give another --out")
        if path.exists() and not overwrite:
            raise RunError(f"{path}: exists already; give another --out, or --overwrite")
        above = nearest_folder(path.absolute().parent)
        if not above.is_dir() or not os.access(above, os.W_OK):
            raise RunError(f"{path}: cannot be written, {above} is not a folder of yours")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
