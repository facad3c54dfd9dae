"""The values of the current epoch that one process recorded, by sample.

Shape suffixes: n samples, S samples of several batches, k classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.errors import DynamicsError, RunError
from tdctl.recorder.epoch_files import EpochFiles, Kinds
from tdctl.recorder.measures import Measures, all_classes, all_classes_by_row, largest_classes
from tdctl.recorder.probabilities import FEW, are_probabilities
from tdctl.recorder.sample_ids import SampleIds

__all__ = ["LoopEpoch"]

SMALLEST = 1024
# With 30 classes both ways took 10 us a batch of 128 on one core; with 100 classes 17 and 29.
BY_ROW = 48


class LoopEpoch:
    """The rows of the current epoch in memory, and how often each sample was recorded.

    If a sample is recorded several times, the first recording counts. The rows are not in a
    memory-mapped file: it would take ten times as long, because the system tracks written pages.

    Attributes:
        ids: the rows of the ids.
        kinds: what a row contains.
        stem: the name of the epoch's files.
        times: int32 [capacity], how often each sample was recorded in this epoch.
        given: int32 [capacity], the label of each sample; -1 if it is not known yet.
        size: number of rows up to the last sample that was recorded in any epoch.
        total: how many rows were recorded in this epoch, repeated ones included.
    """

    def __init__(self, ids: SampleIds, kinds: Kinds, stem: Path) -> None:
        self.ids, self.kinds, self.stem = ids, kinds, stem
        capacity = ids.fixed or SMALLEST
        self._stats, self._probs = np.zeros(capacity, kinds.stats), np.zeros(capacity, kinds.probs)
        self.times = np.zeros(capacity, np.int32)
        self.given = np.full(capacity, -1, np.int32)
        self._stamp = np.zeros(capacity, np.int32)
        self.size = self.total = 0

    def end(self) -> None:
        """Forgets the recorded values, after they were saved or are not wanted."""
        self.total = 0
        self.times[:] = 0

    def save(self) -> int:
        """Writes the rows to files of their own; returns how many there are.

        Raises:
            RunError: the disk is full.
        """
        self._stats["seen"] = self.times > 0
        # A checkpoint may refer to older files of this name, so they stay until these are whole.
        new = self.stem.with_name(f"{self.stem.name}.new")
        files = EpochFiles.create(new, self.kinds, self.size)
        files.put(self._stats[: self.size], self._probs[: self.size])
        files.sync()
        files.moved(self.stem)
        return self.size

    def load(self, seen: NDArray[np.uint8], total: int) -> None:
        """Reads what ``save`` wrote.

        Args:
            seen: uint8, 1 for the rows that count; others were recorded after a checkpoint.
            total: how many rows had been recorded.

        Raises:
            RunError: a file is missing, cut off, or of another recording.
        """
        files = EpochFiles.open(self.stem, self.kinds)
        self.fit(len(files))
        count = min(len(files), len(seen))
        for mine, name in ((self._stats, "stats"), (self._probs, "probs")):
            mine[:count] = files.block(name, 0, count)
        self.times[:count] = seen[:count]
        rows = np.flatnonzero(self.times)
        if seen[count:].any() or not self._stats["seen"][rows].all():
            raise RunError(
                f"{self.stem}: lacks samples that the checkpoint says were recorded; go on from "
                "another checkpoint, or record again with overwrite=True"
            )
        self.given[rows] = self._stats["target"][rows]
        self.total = total

    def fit(self, size: int) -> None:
        """Makes room for this many samples."""
        if size > len(self.times):
            # The number of samples is unknown, so the capacity doubles each time.
            capacity = max(size, 2 * len(self.times))
            more = capacity - len(self.times)
            self.times = np.concatenate([self.times, np.zeros(more, np.int32)])
            self.given = np.concatenate([self.given, np.full(more, -1, np.int32)])
            self._stamp = np.zeros(capacity, np.int32)
            self._stats = np.concatenate([self._stats, np.zeros(more, self.kinds.stats)])
            self._probs = np.concatenate([self._probs, np.zeros(more, self.kinds.probs)])
        self.size = max(self.size, size)

    def add(self, rows: torch.Tensor, targets: torch.Tensor, logits_SK: torch.Tensor) -> None:
        """Adds the collected batches; the logits are overwritten.

        Args:
            rows: int64 [S], the samples.
            targets: int64 [S], their labels.
            logits_SK: float32 [S, k].

        Raises:
            DynamicsError: a row or label is out of range, a label changed, or logits are not
                finite or are probabilities.
        """
        rows_S: NDArray[np.int64] = rows.cpu().numpy()
        targets_S: NDArray[np.int64] = targets.cpu().numpy()
        if not len(rows_S):
            return
        self.ids.check_range(rows_S)
        self._check_targets(rows_S, targets_S)
        self._check_logits(logits_SK, rows_S)
        found = self._measured(logits_SK, targets)
        stats_S = self._stats_of(found, targets_S)
        self._check_values(stats_S, rows_S)
        self._check_labels(rows_S, targets_S)
        fresh = self._first(rows_S)
        probs_S = self._probs_of(found)
        if not fresh.all():
            rows_S, stats_S, probs_S = rows_S[fresh], stats_S[fresh], probs_S[fresh]
        _put(self._stats, rows_S, stats_S)
        _put(self._probs, rows_S, probs_S)

    def _measured(self, logits_SK: torch.Tensor, targets: torch.Tensor) -> Measures:
        given = targets.to(logits_SK.device)
        others = self.kinds.store.others
        if others:
            return largest_classes(logits_SK, given, others, entropy=True, like_probs=False)
        if self.kinds.num_classes >= BY_ROW:
            return all_classes_by_row(logits_SK, given)
        return all_classes(logits_SK.t().contiguous(), given, like_probs=False)

    def _stats_of(self, found: Measures, targets_S: NDArray[np.int64]) -> NDArray[Any]:
        stats_S = np.empty(len(targets_S), self.kinds.stats)
        stats_S["margin"], stats_S["loss"] = found.margin.cpu(), found.loss.cpu()
        stats_S["target"], stats_S["seen"] = targets_S, 1
        if found.entropy is not None:
            stats_S["entropy"] = found.entropy.cpu()
        return stats_S

    def _probs_of(self, found: Measures) -> NDArray[Any]:
        if found.other_class is None:
            whole = found.probs.cpu().contiguous().numpy()
            view: NDArray[Any] = whole.view(self.kinds.probs)[:, 0]
            return view
        probs_S = np.empty(len(found.probs), self.kinds.probs)
        kept = found.probs.cpu().numpy()
        probs_S["given"], probs_S["other"] = kept[:, 0], kept[:, 1:]
        probs_S["other_class"] = found.other_class.cpu()
        return probs_S

    def _check_targets(self, rows_S: NDArray[np.int64], targets_S: NDArray[np.int64]) -> None:
        k = self.kinds.num_classes
        if targets_S.min() < 0 or targets_S.max() >= k:
            wrong = int(np.flatnonzero((targets_S < 0) | (targets_S >= k))[0])
            raise DynamicsError(
                f"recorder: the label of sample {self.ids.name_of(int(rows_S[wrong]))} is "
                f"{targets_S[wrong]}; expected a class from 0 to {k - 1}; leave out samples "
                "without a label"
            )

    def _check_values(self, stats_S: NDArray[Any], rows_S: NDArray[np.int64]) -> None:
        bad = np.flatnonzero(~(np.isfinite(stats_S["margin"]) & np.isfinite(stats_S["loss"])))
        if len(bad):
            raise DynamicsError(
                f"recorder: the logits of sample {self.ids.name_of(int(rows_S[bad[0]]))} are not "
                f"finite ({len(bad)} of {len(rows_S)} samples); the training has diverged, lower "
                "its rate"
            )

    def _check_logits(self, logits_SK: torch.Tensor, rows_S: NDArray[np.int64]) -> None:
        # The first row nearly always has a negative value, so the other rows need no check.
        if len(rows_S) < FEW or float(logits_SK[0].min()) < 0:
            return
        if bool(are_probabilities(logits_SK, 1).all()):
            raise DynamicsError(
                f"recorder: these are probabilities, not logits (all {len(rows_S)} rows, from "
                f"sample {self.ids.name_of(int(rows_S[0]))} on, are >= 0 and sum to 1); record "
                "what the network gives before its softmax, or call record with probabilities=True"
            )

    def _check_labels(self, rows_S: NDArray[np.int64], targets_S: NDArray[np.int64]) -> None:
        self.fit(int(rows_S.max()) + 1)
        known = self.given[rows_S]
        if (known == targets_S).all():
            return
        new = known < 0
        self.given[rows_S[new]] = targets_S[new]
        differ = np.flatnonzero(self.given[rows_S] != targets_S)
        if len(differ):
            row, label = int(rows_S[differ[0]]), targets_S[differ[0]]
            raise DynamicsError(
                f"recorder: the label of sample {self.ids.name_of(row)} is {label}, and was "
                f"{self.given[row]} before; record the labels that the data set gives, not "
                "corrected ones, and check that the ids belong to the samples"
            )

    def _first(self, rows_S: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Counts the samples; bool [S], which of them are recorded for the first time."""
        self.total += len(rows_S)
        order = np.arange(len(rows_S), dtype=np.int32)
        # If a row appears several times, the last value stays. In reverse order, it is the first.
        self._stamp[rows_S[::-1]] = order[::-1]
        first: NDArray[np.bool_] = self._stamp[rows_S] == order
        fresh: NDArray[np.bool_] = first & (self.times[rows_S] == 0)
        if first.all():
            self.times[rows_S] += 1
        else:
            np.add.at(self.times, rows_S, 1)
        return fresh


def _put(table: NDArray[Any], rows: NDArray[np.int64], values: NDArray[Any]) -> None:
    """Writes rows of several fields, as bytes; one field at a time would take ten times as long."""
    whole = np.dtype((np.void, table.dtype.itemsize))
    np.put(table.view(whole), rows, np.ascontiguousarray(values).view(whole))
