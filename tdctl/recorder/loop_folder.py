"""The folder of a recording in progress: committed epochs, and the parts of the current one.

Shape suffixes: n samples.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.dynamics import Store
from tdctl.errors import DynamicsError, RunError
from tdctl.files import MANIFEST_FILE, RECORDER, read_json, write_json
from tdctl.metadata import METADATA_FILE
from tdctl.recorder import processes
from tdctl.recorder.epoch_files import EpochFiles, Kinds, merge_parts
from tdctl.recorder.finishing import file_of
from tdctl.recorder.loop_epoch import LoopEpoch
from tdctl.recorder.naming import CLASSES_FILE, SAMPLES_FILE
from tdctl.recorder.sample_ids import SampleIds

__all__ = ["EpochReport", "LoopFolder"]

FOLDER, STATE_FILE, NAMES_FILE = "recording", "recording.json", "names.json"


@dataclass(frozen=True)
class EpochReport:
    """How complete a recorded epoch is.

    Attributes:
        epoch: its number, from 0.
        samples: how many different samples were recorded.
        missed: how many known samples were not recorded. They keep their values of the epoch
            before; in the first epochs, they get those of the first epoch in which they were
            recorded.
        repeated: how many recordings were dropped, because the sample had been recorded already.

    Example::

        >>> tdctl.EpochReport(epoch=3, samples=98, missed=2, repeated=0)
        EpochReport(epoch=3, samples=98, missed=2, repeated=0)
    """

    epoch: int
    samples: int
    missed: int
    repeated: int


class LoopFolder:
    """A run folder, and the working files in it.

    Attributes:
        path: the run folder.
        reports: the committed epochs.
        class_names: k names; None if the classes have none.
    """

    def __init__(self, path: Path, overwrite: bool, class_names: list[str] | None) -> None:
        self.path, self._overwrite, self.class_names = path, overwrite, class_names
        self.reports: list[EpochReport] = []
        self._id = ""
        manifest = path / MANIFEST_FILE
        if path.exists() and not path.is_dir():
            raise RunError(f"{path}: is a file; give a folder for the recording")
        if manifest.exists() and read_json(manifest).get("command") != RECORDER:
            raise RunError(
                f"{path}: holds a run of tdctl {read_json(manifest).get('command')}; give another "
                "folder"
            )
        if (path / file_of(False)).exists() and not overwrite:
            raise RunError(
                f"{path / file_of(False)}: holds a recording; give another folder, or replace it "
                "with overwrite=True"
            )

    @classmethod
    def read(cls, path: Path) -> tuple[LoopFolder, SampleIds, Kinds]:
        """Reads the committed epochs of an unfinished recording.

        Raises:
            RunError: there is no unfinished recording.
        """
        there = path / FOLDER / STATE_FILE
        if not there.exists():
            raise RunError(f"{path}: holds no unfinished recording of a tdctl.Recorder")
        found = read_json(there)
        folder = cls(path, True, found["class_names"])
        folder.reports = [EpochReport(**one) for one in found["reports"]]
        names = folder.work / NAMES_FILE
        listed = json.loads(names.read_text(encoding="utf-8")) if names.exists() else None
        ids = SampleIds(found["samples"], None if found["names"] else listed)
        if found["names"]:
            ids.put_names(listed or [])
        kinds = Kinds(Store.of(found["store"], found["classes"]), found["classes"])
        return folder, ids, kinds

    @property
    def work(self) -> Path:
        """The folder of the working files."""
        return self.path / FOLDER

    def epoch(self, number: int) -> Path:
        """The stem of the files of a committed epoch."""
        return self.work / f"epoch_{number:05d}"

    def part(self, number: int, rank: int) -> Path:
        """The stem of the files in which a process records an epoch."""
        return self.work / f"epoch_{number:05d}.part{rank}"

    def open(self, kinds: Kinds, ids: SampleIds, state: Mapping[str, Any] | None) -> None:
        """Starts a recording, or continues the one that the state belongs to.

        Raises:
            RunError: the folder has an unfinished recording, and the state is missing or belongs
                to another recording.
        """
        there = self.work / STATE_FILE
        if state is not None:
            self._take_up(read_json(there), kinds, state)
        elif processes.rank() == 0:
            if there.exists() and not self._overwrite:
                done = len(read_json(there).get("reports", []))
                raise RunError(
                    f"{self.path}: holds an unfinished recording of {done} epochs; go on with "
                    "load_state_dict, rank what there is with Recorder.complete, or replace it "
                    "with overwrite=True"
                )
            # Old files stay until new ones replace them: another process may have begun one.
            self._id = uuid.uuid4().hex
        if processes.rank() == 0:
            self._write(kinds, ids)

    def check_state(self, state: Mapping[str, Any]) -> None:
        """Refuses a state whose recording is not in the folder.

        Raises:
            RunError: the folder has no recording, or another one.
        """
        there = self.work / STATE_FILE
        if not state["epoch"] and "recording" not in state:
            return
        if not there.exists():
            why = "was finished" if (self.path / file_of(False)).exists() else "is not there"
            raise RunError(
                f"{self.path}: the recording of the checkpoint {why}; record into another folder"
            )
        found = read_json(there)
        if state.get("recording") not in {"", found.get("recording")}:
            raise RunError(
                f"{self.path}: holds another recording than the checkpoint was made with; give "
                "the folder of that one"
            )
        if len(found["reports"]) < int(state["epoch"]):
            raise RunError(
                f"{self.path}: holds {len(found['reports'])} epochs, and the checkpoint was made "
                f"after {state['epoch']}; give the folder that it was made with"
            )

    def load_names(self, ids: SampleIds, state: Mapping[str, Any]) -> None:
        """Gives the names the same rows as before the recording was interrupted."""
        here = state.get("rank") == processes.rank()
        part = self._names_of(self.part(int(state["epoch"]), processes.rank()))
        merged = self.work / NAMES_FILE
        if state.get("names") and here and part.exists():
            ids.put_names(json.loads(part.read_text(encoding="utf-8")))
        elif processes.rank() == 0 and merged.exists():
            ids.put_names(json.loads(merged.read_text(encoding="utf-8")))

    def _take_up(self, found: Mapping[str, Any], kinds: Kinds, state: Mapping[str, Any]) -> None:
        made = {"store": kinds.store.name, "classes": kinds.num_classes}
        for name, value in made.items():
            if found[name] != value:
                raise RunError(
                    f"{self.path}: was recorded with {name} {found[name]}, now it is {value}; "
                    "go on with the same"
                )
        self._id = found["recording"]
        epoch = int(state["epoch"])
        self.reports = [EpochReport(**one) for one in found["reports"][:epoch]]
        rank, several = processes.rank(), processes.count() > 1
        if several:
            self._copy_committed(epoch, kinds, state)
        elif "seen" in state and len(found["reports"]) > epoch:
            EpochFiles.open(self.epoch(epoch), kinds).moved(self.part(epoch, 0))
        if rank == 0:
            # The other processes still copy from this epoch; its next commit replaces it.
            for number in range(epoch + several, len(found["reports"])):
                self._remove(self.epoch(number))

    def _copy_committed(self, number: int, kinds: Kinds, state: Mapping[str, Any]) -> None:
        """Copies an epoch that was committed after the checkpoint to the part of this process.

        The state says which of its rows this process had recorded. If names are collected during
        the recording, the rows of the processes differ, and nothing is copied.
        """
        here = "seen" in state and state["rank"] == processes.rank() and not state.get("names")
        there, part = (EpochFiles.paths(s) for s in (self.epoch(number), self._own(number)))
        if here and all(path.exists() for path in there) and not all(p.exists() for p in part):
            EpochFiles.open(self.epoch(number), kinds).copied(self._own(number))

    def _own(self, number: int) -> Path:
        """The stem of the files in which this process records an epoch."""
        return self.part(number, processes.rank())

    def restore(self, epoch: LoopEpoch, state: Mapping[str, Any]) -> None:
        """Loads all labels, and what this process had recorded in the current epoch."""
        for number in reversed(range(len(self.reports))):
            files = EpochFiles.open(self.epoch(number), epoch.kinds)
            if not self._by_this_process(epoch.ids):
                break
            epoch.fit(len(files))
            stats = files.whole("stats")
            rows = np.flatnonzero((stats["seen"] > 0) & (epoch.given[: len(stats)] < 0))
            epoch.given[rows] = stats["target"][rows]
            files.close()
        epoch.size = int(np.flatnonzero(epoch.given >= 0).max(initial=-1)) + 1
        if "seen" not in state or state["rank"] != processes.rank():
            return
        epoch.load(np.unpackbits(np.asarray(state["seen"], dtype=np.uint8)), int(state["total"]))

    def _by_this_process(self, ids: SampleIds) -> bool:
        """Whether the rows of the committed epochs are those of this process.

        If names are collected during the recording, only the first process has all of them.
        """
        grew = read_json(self.work / STATE_FILE)["names"]
        return processes.rank() == 0 or not (ids.grows or grew)

    def state(self, epoch: LoopEpoch) -> dict[str, Any]:
        """The position in the recording; first writes the values that it refers to."""
        found: dict[str, Any] = {
            "epoch": len(self.reports),
            "recording": self._id,
            "classes": epoch.kinds.num_classes,
            "rank": processes.rank(),
        }
        if not epoch.total:
            return found
        epoch.save()
        if epoch.ids.grows:
            write_json(self._names_of(epoch.stem), epoch.ids.name_list())
            found["names"] = True
        seen = torch.from_numpy(np.packbits(epoch.times > 0))
        return found | {"seen": seen, "total": epoch.total}

    def commit(self, epoch: LoopEpoch, total: int) -> EpochReport:
        """Merges the values of all processes into an epoch, and counts the samples.

        Args:
            epoch: what this process recorded.
            total: how many rows all of them recorded.

        Raises:
            DynamicsError: two processes recorded a sample with different labels.
            RunError: the disk is full.
        """
        several = processes.count() > 1

        def on_disk() -> int | None:
            if not epoch.total:
                return None
            size = epoch.save()
            if several and epoch.ids.grows:
                write_json(self._names_of(epoch.stem), epoch.ids.name_list())
            return size

        sizes = processes.together(on_disk)
        found = processes.together(
            lambda: self._put(epoch, total, sizes) if processes.rank() == 0 else None
        )[0]
        if found is None:
            raise DynamicsError("recorder: the first process did not merge the epoch")
        if processes.rank():
            self.reports.append(found)
        return found

    def _put(self, epoch: LoopEpoch, total: int, sizes: Sequence[int | None]) -> EpochReport:
        """Adds an epoch to the committed ones; only the first process does it."""
        number = len(self.reports)
        if len(sizes) > 1:
            self._merge(epoch, number, sizes)
            stats = EpochFiles.open(self.epoch(number), epoch.kinds).whole("stats")
            samples = self._take_labels(epoch, stats)
        else:
            EpochFiles.open(epoch.stem, epoch.kinds).moved(self.epoch(number))
            samples = int(np.count_nonzero(epoch.times))
        known = epoch.ids.fixed or int(np.count_nonzero(epoch.given >= 0))
        if not number and self._overwrite:
            for name in (file_of(False), METADATA_FILE, SAMPLES_FILE, CLASSES_FILE):
                (self.path / name).unlink(missing_ok=True)
        self.reports.append(EpochReport(number, samples, known - samples, total - samples))
        self._write(epoch.kinds, epoch.ids)
        for rank in range(len(sizes)):
            self._remove(self.part(number, rank))
        return self.reports[-1]

    def _merge(self, epoch: LoopEpoch, number: int, sizes: Sequence[int | None]) -> None:
        parts, rows_of = [], []
        for rank, size in enumerate(sizes):
            if size is None:
                continue
            stem = self.part(number, rank)
            parts.append(EpochFiles.open(stem, epoch.kinds))
            rows: NDArray[np.int64] | None = None
            names = self._names_of(stem)
            if epoch.ids.grows or (rank and names.exists()):
                listed = json.loads(names.read_text(encoding="utf-8"))
                epoch.ids.put_names(listed)
                known = epoch.ids.names or {}
                rows = np.zeros(size, np.int64)
                rows[: len(listed)] = [known[name] for name in listed]
            rows_of.append(rows)
        if epoch.ids.grows:
            epoch.fit(len(epoch.ids.name_list()))
        largest = max(epoch.size, *(size or 0 for size in sizes))
        into = EpochFiles.create(self.epoch(number), epoch.kinds, largest)
        merge_parts(parts, rows_of, into, epoch.ids.name_of)
        into.sync()
        into.close()

    def _take_labels(self, epoch: LoopEpoch, stats: NDArray[Any]) -> int:
        """Compares the labels of a merged epoch with those of the epochs before; counts samples."""
        rows = np.flatnonzero(stats["seen"])
        if len(rows):
            epoch.fit(int(rows.max()) + 1)
        before, now = epoch.given[rows], stats["target"][rows]
        differ = np.flatnonzero((before >= 0) & (before != now))
        if len(differ):
            row = int(rows[differ[0]])
            raise DynamicsError(
                f"recorder: the label of sample {epoch.ids.name_of(row)} is {now[differ[0]]}, and "
                f"was {before[differ[0]]} before; record the labels that the data set gives"
            )
        epoch.given[rows] = now
        return len(rows)

    def _write(self, kinds: Kinds, ids: SampleIds) -> None:
        """Writes the list of epochs; a new epoch counts only once it is in the list."""
        self.work.mkdir(parents=True, exist_ok=True)
        if ids.names:
            write_json(self.work / NAMES_FILE, ids.name_list())
        write_json(
            self.work / STATE_FILE,
            {
                "recording": self._id,
                "store": kinds.store.name,
                "classes": kinds.num_classes,
                "samples": ids.fixed,
                "names": ids.grows,
                "class_names": self.class_names,
                "reports": [asdict(report) for report in self.reports],
            },
        )
        self.write_manifest("running", kinds, {})

    def write_manifest(self, status: str, kinds: Kinds, facts: Mapping[str, Any]) -> None:
        """Writes the manifest, which the commands read."""
        write_json(
            self.path / MANIFEST_FILE,
            {
                "command": RECORDER,
                "status": status,
                "version": version("tdctl"),
                "store": kinds.store.name,
                "recorded": [asdict(report) for report in self.reports],
                **facts,
            },
        )

    def _names_of(self, stem: Path) -> Path:
        return stem.with_name(f"{stem.name}.{NAMES_FILE}")

    def _remove(self, stem: Path) -> None:
        for path in (*EpochFiles.paths(stem), self._names_of(stem)):
            path.unlink(missing_ok=True)
