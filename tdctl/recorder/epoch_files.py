"""The files of one recorded epoch: a row for each sample, at the sample's place.

A row that is not recorded has ``seen`` 0. The number of samples may grow.

Shape suffixes: n samples, S samples to write, k classes, K kept other classes.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.dynamics import Store, class_type
from tdctl.errors import DynamicsError, RunError
from tdctl.files import atomic_path
from tdctl.slabs import SLAB, ArrayFile, create_array, open_array, slabs_of

__all__ = ["EpochFiles", "Kinds", "merge_parts"]

Rows = NDArray[Any]
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class Kinds:
    """What a row contains.

    Attributes:
        store: which probabilities are kept.
        num_classes: k.
    """

    store: Store
    num_classes: int

    @property
    def kept_only(self) -> Store:
        """The store with means over the kept values only."""
        return replace(self.store, sums=False)

    @property
    def stats(self) -> np.dtype[Any]:
        """The small values of a row."""
        fields: list[Any] = [("margin", "f4"), ("loss", "f4"), ("target", "i4")]
        entropy = [("entropy", "f2")] if self.store.others else []
        return np.dtype([*fields, *entropy, ("seen", "u1")])

    @property
    def probs(self) -> np.dtype[Any]:
        """The kept probabilities of a row."""
        if not self.store.others:
            return np.dtype([("probs", "f2", (self.num_classes,))])
        kept = (self.store.others,)
        classes = class_type(self.num_classes)
        return np.dtype([("given", "f2"), ("other", "f2", kept), ("other_class", classes, kept)])


class EpochFiles:
    """Two files, with the rows' small values and with their probabilities."""

    def __init__(self, stem: Path, arrays: dict[str, ArrayFile]) -> None:
        self._stem, self._arrays = stem, arrays
        self._mapped: dict[str, Rows] = {}

    @staticmethod
    def paths(stem: Path) -> list[Path]:
        """The two files of a stem."""
        return [stem.with_name(f"{stem.name}.{name}.npy") for name in ("stats", "probs")]

    @classmethod
    def create(cls, stem: Path, kinds: Kinds, size: int) -> EpochFiles:
        """New files of ``size`` rows, none of them recorded; their disk space is reserved.

        Raises:
            RunError: the disk is full.
        """
        stem.parent.mkdir(parents=True, exist_ok=True)
        arrays = {}
        for path, name in zip(cls.paths(stem), ("stats", "probs"), strict=True):
            try:
                arrays[name] = create_array(path, getattr(kinds, name), (size,))
            except OSError as error:
                if error.errno not in FULL:
                    raise
                path.unlink(missing_ok=True)
                raise RunError(
                    f"{path}: the disk has no room for the epoch ({error.strerror}); make room, "
                    "or keep less of each epoch with store='given'"
                ) from None
        return cls(stem, arrays)

    @classmethod
    def open(cls, stem: Path, kinds: Kinds, writable: bool = False) -> EpochFiles:
        """The files that were written.

        Raises:
            RunError: a file is missing, cut off, or of another recording.
        """
        arrays = {}
        for path, name in zip(cls.paths(stem), ("stats", "probs"), strict=True):
            try:
                arrays[name] = open_array(path, writable)
            except (OSError, ValueError) as error:
                raise RunError(
                    f"{path}: the recording cannot be read ({error}); record it again"
                ) from None
            if arrays[name].dtype != getattr(kinds, name):
                raise RunError(f"{path}: is of another recording; record it again")
        return cls(stem, arrays)

    def __len__(self) -> int:
        return len(self._arrays["stats"])

    def block(self, name: str, start: int, stop: int) -> Rows:
        """Rows of one of the two files, memory-mapped; fewer if the file has fewer."""
        size = len(self)
        return self._arrays[name].block(min(start, size), min(stop, size))

    def whole(self, name: str) -> Rows:
        """All rows of one of the two files, memory-mapped until ``close``."""
        if name not in self._mapped:
            self._mapped[name] = self._arrays[name].whole()
        return self._mapped[name]

    def put(self, stats: Rows, probs: Rows) -> None:
        """Writes all rows."""
        self._arrays["stats"].put(stats)
        self._arrays["probs"].put(probs)

    def moved(self, stem: Path) -> EpochFiles:
        """The files under another name, replacing what is there."""
        for old, new in zip(self.paths(self._stem), self.paths(stem), strict=True):
            old.replace(new)
        self._stem = stem
        return self

    def copied(self, stem: Path) -> None:
        """Copies the files to another name; each appears whole or not at all."""
        for old, new in zip(self.paths(self._stem), self.paths(stem), strict=True):
            with atomic_path(new) as part:
                shutil.copyfile(old, part)

    def sync(self) -> None:
        """Waits until all rows are on the disk."""
        for array in self._arrays.values():
            array.sync()

    def close(self) -> None:
        """Ends the memory maps."""
        self._mapped.clear()


def merge_parts(
    parts: Sequence[EpochFiles],
    rows_of: Sequence[NDArray[np.int64] | None],
    into: EpochFiles,
    name_of: Any,
) -> None:
    """Copies the rows that several processes recorded; of two of a sample, the first counts.

    Args:
        parts: the files of each process, the first process first.
        rows_of: for each of them, int64, the row of the result of each of its rows; None if they
            are the same.
        into: receives the rows.
        name_of: the name of a row in a message.

    Raises:
        DynamicsError: two processes recorded a sample with different labels.
    """
    stats, probs = into.whole("stats"), into.whole("probs")
    for part, to in zip(parts, rows_of, strict=True):
        row = part.whole("stats").dtype.itemsize + part.whole("probs").dtype.itemsize
        for start, stop in slabs_of(len(part), max(1, SLAB // row)):
            found = np.flatnonzero(part.block("stats", start, stop)["seen"])
            place = found + start if to is None else to[found + start]
            new = part.block("stats", start, stop)[found]
            there = stats["seen"][place] > 0
            differ = np.flatnonzero(there & (stats["target"][place] != new["target"]))
            if len(differ):
                first = differ[0]
                raise DynamicsError(
                    f"recorder: the label of sample {name_of(int(place[first]))} is "
                    f"{new['target'][first]} in one process and "
                    f"{stats['target'][place[first]]} in another; record the label that the data "
                    "set gives"
                )
            fresh = ~there
            stats[place[fresh]] = new[fresh]
            probs[place[fresh]] = part.block("probs", start, stop)[found[fresh]]
        part.close()
