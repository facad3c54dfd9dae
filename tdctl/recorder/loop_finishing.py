"""Makes the files of a run from the epochs that a training loop recorded, and fills gaps.

Shape suffixes: n samples, E epochs, k classes, s rows of a slab.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.dynamics import write_kept, write_td
from tdctl.errors import DataError
from tdctl.labels import Labels
from tdctl.metadata import METADATA_FILE, write_metadata
from tdctl.recorder.epoch_files import EpochFiles, Kinds
from tdctl.recorder.finishing import file_of, refuse_full_disk
from tdctl.recorder.loop_folder import LoopFolder
from tdctl.recorder.naming import names_left, write_names
from tdctl.recorder.sample_ids import SampleIds, is_whole
from tdctl.slabs import SLAB, slabs_of

__all__ = ["True_", "finish_recording"]

# The true labels by id.
True_ = torch.Tensor | NDArray[Any] | Sequence[int] | Mapping[Any, int]


class Column:
    """One of the recorded values of every epoch, as the writers of dynamics read it.

    Attributes:
        shape: (E, n, ...).
        dtype: of the values.
    """

    def __init__(
        self, epochs: Sequence[EpochFiles], order: NDArray[np.int64], file: str, name: str
    ) -> None:
        self._epochs, self._order, self._file, self._name = epochs, order, file, name
        self._kind = epochs[0].block(file, 0, 0).dtype
        field = self._kind[name]
        self.dtype = field.base
        self.shape = (len(epochs), len(order), *field.shape)

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """The rows of every epoch, [s, E, ...]; gaps are filled."""
        rows = self._order[start:stop]
        found = np.empty((len(rows), len(self._epochs), *self.shape[2:]), self.dtype)
        for epoch, files in enumerate(self._epochs):
            found[:, epoch] = rows_at(files, self._file, rows)[self._name]
        source = bridged(seen_at(self._epochs, rows))
        if source is not None:
            found = found[np.arange(len(rows))[:, None], source]
        return found


class Seen:
    """Which values were recorded, like a ``Column``: 1, or 0 if a gap was filled."""

    def __init__(self, epochs: Sequence[EpochFiles], order: NDArray[np.int64]) -> None:
        self._epochs, self._order = epochs, order
        self.shape, self.dtype = (len(epochs), len(order)), np.dtype(np.uint8)

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Uint8 [s, E]."""
        return seen_at(self._epochs, self._order[start:stop]).astype(np.uint8)


def rows_at(files: EpochFiles, file: str, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Some rows of an epoch, [s]; zeros for rows that its file does not have."""
    if not len(rows):
        return files.block(file, 0, 0)
    first, last = int(rows[0]), int(rows[-1])
    if last - first + 1 == len(rows) and last < len(files):
        # With ids that are numbers, the rows follow each other.
        block = files.block(file, first, last + 1)
        if len(rows) < 3 or bool((np.diff(rows) == 1).all()):
            return block
    inside = rows < len(files)
    whole = files.block(file, 0, len(files))
    found = np.zeros(len(rows), whole.dtype)
    found[inside] = whole[rows[inside]]
    return found


def seen_at(epochs: Sequence[EpochFiles], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Bool [s, E]: in which epochs the rows were recorded."""
    found = np.empty((len(rows), len(epochs)), np.bool_)
    for epoch, files in enumerate(epochs):
        found[:, epoch] = rows_at(files, "stats", rows)["seen"] > 0
    return found


def bridged(seen_sE: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    """For each epoch, the epoch whose values it gets, int64 [s, E]; None if there is no gap.

    A gap gets the values of the last epoch before it in which the sample was recorded. If there is
    none, it gets those of the first epoch after it. So all values are real outputs of the network.
    """
    if seen_sE.all():
        return None
    number = np.arange(seen_sE.shape[1])
    last = np.maximum.accumulate(np.where(seen_sE, number, -1), axis=1)
    first = seen_sE.argmax(axis=1)
    return np.where(last < 0, first[:, None], last)


def finish_recording(
    folder: LoopFolder,
    ids: SampleIds,
    kinds: Kinds,
    true: True_ | None,
) -> None:
    """Writes the dynamics, the labels, the names and the manifest; removes the working files.

    Raises:
        DataError: a sample has no true label.
        RunError: the disk is full; everything recorded is kept.
    """
    epochs = [EpochFiles.open(folder.epoch(report.epoch), kinds) for report in folder.reports]
    rows, given, gaps = _samples(epochs)
    # Sorted names get the same numbers in every run that recorded the same samples.
    listed = ids.name_list()
    order, index = rows, rows
    if ids.grows:
        order = np.asarray(sorted(rows.tolist(), key=listed.__getitem__), dtype=np.int64)
        index = np.arange(len(rows))
    assigned = given[order].astype(np.int64)
    truth = _true(true, order, ids, assigned)
    wrong = np.flatnonzero((truth < 0) | (truth >= kinds.num_classes))
    if len(wrong):
        raise DataError(
            f"recorder: true_targets is {truth[wrong[0]]} for sample "
            f"{ids.name_of(int(order[wrong[0]]))}; expected a class from 0 to "
            f"{kinds.num_classes - 1}; the recording is kept, so give the right ones to "
            "Recorder.complete"
        )
    labels = Labels(index, assigned, truth)
    names = [listed[row] for row in order.tolist()] if listed else None
    classes = folder.class_names
    left = names_left(folder.path, labels, kinds.num_classes, names, classes, True)
    path = folder.path / file_of(False)

    def column(file: str, name: str) -> Column:
        return Column(epochs, order, file, name)

    recorded = Seen(epochs, order) if gaps else None
    with refuse_full_disk(path):
        if kinds.store.others:
            kept = {name: column("stats", name) for name in ("margin", "loss", "entropy")}
            kept |= {name: column("probs", name) for name in ("given", "other", "other_class")}
            # The means are over the kept values. Sums over all classes would be wrong after a gap.
            write_kept(path, kept, None, labels, kinds.kept_only, kinds.num_classes, recorded)
        else:
            margin, loss = column("stats", "margin"), column("stats", "loss")
            write_td(path, column("probs", "probs"), margin, labels, loss, recorded)
        write_metadata(folder.path / METADATA_FILE, labels, np.zeros(0, np.int64))
        write_names(left)
        own = classes or [str(label) for label in range(kinds.num_classes)]
        never = 0 if ids.fixed is None else ids.fixed - len(rows)
        facts = {
            "epochs": len(epochs),
            "never_recorded": never,
            "bridged": gaps,
            "dataset": {
                "name": folder.path.resolve().name,
                "train": len(rows),
                "class_names": list(own),
            },
        }
        folder.write_manifest("complete", kinds, facts)
    shutil.rmtree(folder.work)


def _samples(epochs: Sequence[EpochFiles]) -> tuple[NDArray[np.int64], NDArray[np.int32], int]:
    """The rows that any epoch recorded, int64 [n]; all labels; how many values are missing."""
    size = max(len(files) for files in epochs)
    times, given = np.zeros(size, np.int32), np.full(size, -1, np.int32)
    for files in epochs:
        for start, stop in slabs_of(len(files), max(1, SLAB // 64)):
            stats = files.block("stats", start, stop)
            seen = stats["seen"] > 0
            times[start:stop] += seen
            given[start:stop][seen] = stats["target"][seen]
    rows = np.flatnonzero(times)
    return rows, given, int(len(rows) * len(epochs) - times.sum())


def _true(
    true: True_ | None, rows: NDArray[np.int64], ids: SampleIds, assigned: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The true labels of the rows, int64 [n]; the given labels if the true ones are unknown."""
    if true is None:
        return assigned
    listed = ids.name_list()
    if isinstance(true, Mapping):
        keys = [listed[row] if listed else row for row in rows.tolist()]
        missing = next((key for key in keys if key not in true), None)
        if missing is not None:
            raise DataError(f"recorder: true_targets has no label of sample {missing!r}")
        found = [true[key] for key in keys]
        bad = next((key for key, one in zip(keys, found, strict=True) if not is_whole(one)), None)
        if bad is not None:
            raise DataError(
                f"recorder: true_targets is {true[bad]!r} for sample {bad!r}; expected the number "
                "of a class"
            )
        return np.asarray([int(one) for one in found], dtype=np.int64)
    values = np.asarray(true.cpu() if isinstance(true, torch.Tensor) else true)
    if ids.grows or values.ndim != 1 or values.dtype.kind not in "iu" or len(values) <= rows.max():
        raise DataError(
            f"recorder: true_targets is {values.dtype} {values.shape}; expected whole numbers, one "
            "for each id, or a mapping from ids to labels"
        )
    return values[rows].astype(np.int64)
