"""Records the dynamics of any training loop: ``tdctl.Recorder``.

Shape suffixes: n samples, E epochs, k classes, B batch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from tdctl.dynamics import Store
from tdctl.errors import DataError, DynamicsError
from tdctl.recorder import processes
from tdctl.recorder.batches import Batches
from tdctl.recorder.epoch_files import Kinds
from tdctl.recorder.loop_checks import Values, check_lengths, targets_of, values_of
from tdctl.recorder.loop_epoch import LoopEpoch
from tdctl.recorder.loop_finishing import True_, finish_recording
from tdctl.recorder.loop_folder import EpochReport, LoopFolder
from tdctl.recorder.naming import Names, checked_names
from tdctl.recorder.probabilities import logits_of
from tdctl.recorder.sample_ids import Ids, SampleIds, is_whole

__all__ = ["Recorder"]

# The version of ``state_dict``.
STATE = 1


class Recorder:
    """Records the output of a network for each training sample, in your own training loop.

    Call ``record`` for each training batch and ``end_epoch`` after each epoch. At the end the
    folder contains what ``tdctl detect``, ``report``, ``clean`` and ``show`` read.

    Samples may come in any order and in batches of any size, also in micro-batches whose gradients
    are accumulated. If a sample is recorded several times in an epoch, the first recording counts.
    A sample that an epoch does not record (a weighted sampler, a dropped last batch) keeps its
    values of the epoch before; these values are marked. ``end_epoch`` says how many samples were
    missed.

    Memory does not grow with the number of epochs. With ``torch.distributed``, each process
    records what it sees and the first process merges it. All processes then call ``end_epoch`` and
    ``finish``, and must see the folder.

    Args:
        out: the run folder; the first ``record`` creates it.
        num_samples: n, if it is known. Ids are then 0 to n - 1.
        num_classes: k; by default the width of the first logits.
        store: which part of each epoch's softmax is kept: ``full``, ``given`` or ``topk:K``.
        file_names: n different names. The ranking shows them, and ``record`` accepts them as ids.
        class_names: k different names, class 0 first. ``record`` accepts them as targets.
        true_targets: the true labels, if you know them: int [n] by id, or a mapping from ids to
            labels. Then ``detect`` says how many wrong labels it finds.
        overwrite: replaces another recording in the folder.

    Attributes:
        reports: an ``EpochReport`` of each epoch that was recorded.

    Raises:
        RunError: the folder contains another recording or run.
        DataError: the number of names is wrong, or a name is not a string, or appears twice.
        ConfigError: the store is unknown.

    Example::

        >>> with tdctl.Recorder("runs/own") as recorder:
        ...     for epoch in range(3):
        ...         for ids, images, targets in loader:
        ...             logits = net(images)
        ...             pass  # loss, backward, optimiser step
        ...             recorder.record(ids, logits, targets)
        ...         report = recorder.end_epoch()
        >>> report.samples, report.missed, report.repeated
        (60, 0, 0)
    """

    def __init__(
        self,
        out: str | os.PathLike[str],
        num_samples: int | None = None,
        num_classes: int | None = None,
        *,
        store: str = "full",
        file_names: Names | None = None,
        class_names: Names | None = None,
        true_targets: True_ | None = None,
        overwrite: bool = False,
    ) -> None:
        names = (
            None
            if file_names is None
            else checked_names("file_names", file_names, num_samples, "samples")
        )
        self._ids = SampleIds(num_samples, names)
        self._classes: list[str] | None = None
        if class_names is not None:
            self._classes = checked_names("class_names", class_names, num_classes, "classes")
            num_classes = len(self._classes)
        if num_classes is not None and not (is_whole(num_classes) and num_classes > 1):
            raise DataError(
                f"recorder: num_classes is {num_classes!r}; expected a whole number of at least 2, "
                "or None"
            )
        Store.of(store, num_classes if num_classes is not None else 1 << 30)
        self._class_of = {name: i for i, name in enumerate(self._classes or [])} or None
        self._true, self._k, self._store = true_targets, num_classes, store
        self._folder = LoopFolder(Path(out), overwrite, self._classes)
        self._epoch: LoopEpoch | None = None
        self._batches: Batches | None = None
        self._shapes: tuple[Any, ...] = ()
        self._state: Mapping[str, Any] | None = None
        self._finished = False

    @property
    def reports(self) -> tuple[EpochReport, ...]:
        """How complete each recorded epoch is."""
        return tuple(self._folder.reports)

    def record(
        self, ids: Ids, logits: Values, targets: Values, probabilities: bool = False
    ) -> None:
        """Records a batch. It is copied, so the caller may overwrite it.

        Values are checked some batches later, all of them together.

        Args:
            ids: int [B], the samples' positions in the data set; or B strings.
            logits: float [B, k], the network's output before the softmax, of the unmixed samples.
            targets: int [B] in [0, k), the given labels; or B class names.
            probabilities: ``logits`` contains probabilities.

        Raises:
            DynamicsError: the message names the sample: an id out of range, logits of the wrong
                width or not finite, a label that changed, targets that are mixed.
            RunError: the folder contains another recording, or the disk is full.
        """
        rows_B = self._ids.rows_of(ids)
        batches, epoch = self._batches, self._epoch
        if not isinstance(targets, torch.Tensor) or not isinstance(logits, torch.Tensor):
            logits, targets = values_of(logits, self._k), targets_of(targets, self._class_of)
        shapes = rows_B.shape, logits.shape, logits.dtype, targets.shape, targets.dtype
        if shapes != self._shapes or batches is None or epoch is None:
            batches = self._expect(rows_B, logits, targets)
            self._shapes = shapes
        if probabilities:
            logits = logits_of(logits, rows_B, self._ids.name_of)
        if batches.filled == len(batches.places):
            self._settle()
        if logits.requires_grad:
            logits = logits.detach()
        rows_place, targets_place, logits_place = batches.places[batches.filled]
        rows_place.copy_(rows_B)
        targets_place.copy_(targets)
        logits_place.copy_(logits)
        batches.filled += 1
        if epoch is None:
            self._settle()  # a mistake in the first batch is reported at once

    def _expect(
        self, rows_B: torch.Tensor, logits_BK: torch.Tensor, targets_B: torch.Tensor
    ) -> Batches:
        """Checks the shapes of a batch, and makes room for more batches of these shapes."""
        values_of(logits_BK, self._k)
        targets_of(targets_B, self._class_of)
        check_lengths(rows_B, logits_BK, targets_B)
        if self._batches is None:
            self._open(logits_BK.shape[1])
            on = [rows_B.device, targets_B.device]
            self._batches = Batches(logits_BK.device, logits_BK.shape[1], on)
        self._settle()
        self._batches.fit(len(rows_B))
        return self._batches

    def _open(self, width: int) -> LoopEpoch:
        """Opens the folder, and applies a loaded state."""
        self._refuse_finished()
        self._k = width if self._k is None else self._k
        kinds = Kinds(Store.of(self._store, self._k), self._k)
        self._folder.open(kinds, self._ids, self._state)
        stem = self._folder.part(len(self._folder.reports), processes.rank())
        self._epoch = LoopEpoch(self._ids, kinds, stem)
        if self._state is not None:
            self._folder.restore(self._epoch, self._state)
            self._state = None
        return self._epoch

    def _refuse_finished(self) -> None:
        if self._finished:
            raise DynamicsError(
                f"{self._folder.path}: the recording is finished; record into another folder"
            )

    def _settle(self) -> None:
        """Processes the batches that have only been collected so far."""
        batches, epoch = self._batches, self._epoch
        if batches is not None and epoch is not None and batches.filled:
            epoch.add(*batches.take())

    def end_epoch(self) -> EpochReport:
        """Writes the epoch to the disk. With several processes, all of them call it.

        Returns:
            How many samples the epoch recorded, missed, and recorded again.

        Raises:
            DynamicsError: nothing was recorded since the last call, or as in ``record``.
            RunError: the disk is full.
        """

        def settled() -> tuple[int, int]:
            self._refuse_finished()
            self._settle()
            return (0 if self._epoch is None else self._epoch.total), self._k or 0

        found = processes.together(settled)
        total = sum(count for count, _ in found)
        number = len(self._folder.reports)
        if not total:
            raise DynamicsError(
                f"recorder, epoch {number}: nothing was recorded; call record(ids, logits, "
                "targets) for each training batch"
            )
        # This process may have had no batch.
        epoch = self._epoch or self._open(max(width for _, width in found))
        report = self._folder.commit(epoch, total)
        epoch.end()
        epoch.stem = self._folder.part(number + 1, processes.rank())
        return report

    def reset(self) -> None:
        """Forgets what was recorded since the last ``end_epoch``."""
        if self._batches is not None:
            self._batches.filled = 0
        if self._epoch is not None:
            self._epoch.end()

    def state_dict(self) -> dict[str, Any]:
        """The position in the recording, for the loop's own checkpoint: a few numbers and a tensor.

        It contains which samples of the current epoch this process has recorded already. The
        recorded values stay in the folder.
        """
        if self._epoch is None:
            return dict(self._state) if self._state is not None else {"version": STATE, "epoch": 0}
        self._settle()
        return self._folder.state(self._epoch) | {"version": STATE}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from a checkpoint; call it before the first ``record``.

        Epochs that were recorded after the checkpoint are forgotten, because the loop trains them
        again.

        Raises:
            RunError: the folder does not contain the recording.
            DynamicsError: something was recorded already, or the state is not one of a recorder.
        """
        if self._epoch is not None:
            raise DynamicsError("recorder: load_state_dict is called before the first record")
        if not isinstance(state, Mapping) or state.get("version") != STATE or "epoch" not in state:
            raise DynamicsError(
                "recorder: this is no state of a tdctl.Recorder; give what state_dict returned"
            )
        self._folder.check_state(state)
        # An epoch 0 in which nothing was recorded is a new recording.
        self._state = state if state["epoch"] or "recording" in state else None
        if self._state is not None:
            self._folder.load_names(self._ids, state)

    def finish(self) -> None:
        """Writes ``training_dynamics.npz`` and ``metadata.pth``, and removes the working files.

        With several processes, all of them call it.

        Raises:
            DynamicsError: no epoch was recorded, or samples were recorded after the last
                ``end_epoch``; call that first, or ``reset``.
            RunError: the disk is full; everything recorded is kept.
        """
        if self._finished:
            return

        def checked() -> int:
            self._settle()
            return 0 if self._epoch is None else self._epoch.total

        pending = sum(processes.together(checked))
        if pending:
            raise DynamicsError(
                f"recorder: {pending} samples were recorded after the last end_epoch; call "
                "end_epoch, or reset to forget them"
            )
        if self._epoch is None and self._state is not None and self._state.get("classes"):
            self._open(int(self._state["classes"]))
        if self._epoch is None or not self._folder.reports:
            raise DynamicsError(
                "recorder: no epoch was recorded; call record for each batch and end_epoch after "
                "each epoch"
            )

        def written() -> None:
            if processes.rank() == 0 and self._epoch is not None:
                finish_recording(self._folder, self._ids, self._epoch.kinds, self._true)

        processes.together(written)
        self._finished, self._epoch, self._batches = True, None, None

    @classmethod
    def complete(cls, out: str | os.PathLike[str], true_targets: True_ | None = None) -> None:
        """Finishes a recording whose training ended early, with the epochs that it committed.

        Args:
            out: the run folder.
            true_targets: as for the recorder.

        Raises:
            RunError: there is no unfinished recording, or its files are damaged.
            DynamicsError: no epoch was committed.
        """
        folder, ids, kinds = LoopFolder.read(Path(out))
        if not folder.reports:
            raise DynamicsError(f"{out}: no epoch was recorded completely; record it again")
        finish_recording(folder, ids, kinds, true_targets)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finishes the recording; after an error it is kept, so that it can be resumed."""
        if error is None:
            self.finish()
