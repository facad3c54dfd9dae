"""Records the dynamics of a training; a training loop calls it for each batch.

Shape suffixes: n samples, E epochs, k classes, B batch, s rows of a slab.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.dynamics import Store
from tdctl.errors import DynamicsError, RunError, TdctlError
from tdctl.labels import Labels
from tdctl.metadata import METADATA_FILE, write_metadata
from tdctl.recorder.capture import (
    BEGUN,
    CAPTURE_FOLDERS,
    COMMITTED,
    capture_layout,
    check_room,
    create_capture,
    forecast,
    open_capture,
)
from tdctl.recorder.capture_write import put_softmax
from tdctl.recorder.check_epoch import check_epoch
from tdctl.recorder.epoch_rows import EpochRows
from tdctl.recorder.finishing import file_of, write_files
from tdctl.recorder.naming import Names, names_left, refuse_stale_names, write_names
from tdctl.slabs import ArrayFile

__all__ = ["CAPTURE_FOLDERS", "RunRecorder"]


class RunRecorder:
    """Records softmax, logit margin and loss of every sample at every epoch.

    The current epoch is kept on the same device as the logits. ``commit`` writes it to
    memory-mapped files, slab by slab. Memory use does not grow with the number of epochs.

    Names that are given to ``create`` are written to ``samples.csv`` and ``class_names.csv`` next
    to the recording, where ``tdctl detect`` finds them.

    With ``heldout``, it records predictions for samples that the network is not trained on. Their
    file is ``heldout_dynamics.npz``; ``metadata.pth`` is written only by the other recording.

    Attributes:
        rows: the epoch that is being recorded. Other processes of the same training have
            ``EpochRows`` of their own. Their ``packed`` rows are absorbed here before ``commit``.

    Example::

        recorder = RunRecorder.create(folder, labels, num_classes=10, epochs=30)
        for epoch in range(30):
            for index, images, targets in loader:
                logits = net(images)
                ...
                recorder.record(index, logits)
            recorder.commit(epoch)
        recorder.finish()  # training_dynamics.npz and metadata.pth
    """

    def __init__(
        self,
        folder: Path,
        labels: Labels,
        num_classes: int,
        rows: EpochRows,
        store: Store,
        capture: dict[str, ArrayFile],
        heldout: bool = False,
    ) -> None:
        self.rows, self._num_classes = rows, num_classes
        self._heldout = heldout
        self._final_margin: NDArray[np.float32] | None = None
        self._target, self._labels, self._store, self._capture = folder, labels, store, capture

    @classmethod
    def create(
        cls,
        folder: Path,
        labels: Labels,
        num_classes: int,
        epochs: int,
        device: torch.device | str = "cpu",
        store: str = "full",
        heldout: bool = False,
        overwrite: bool = False,
        file_names: Names | None = None,
        class_names: Names | None = None,
    ) -> RunRecorder:
        """Starts a new recording in ``folder/capture``; the disk space is reserved immediately.

        Args:
            folder: the run folder.
            labels: given (and true) labels of the n samples.
            num_classes: k.
            epochs: number of epochs that will be recorded, at least 1.
            device: the device of the logits.
            store: which part of each epoch's softmax is kept: ``full``, ``given`` or ``topk:K``.
            heldout: whether the samples are held out from the networks that are recorded.
            overwrite: replaces an existing recording, finished or not, and its names.
            file_names: n different names, in the order of ``labels``; the ranking shows them.
            class_names: k different names, class 0 first; the ranking shows them.

        Returns:
            The recorder, ready for the first epoch.

        Raises:
            RunError: the folder contains a recording, or the names of another one; or the disk
                has not enough space for the recording and its final file.
            DataError: the number of names is wrong, or a name is not a string, or appears twice.
            ConfigError: the store is unknown, or would keep all classes.
        """
        folder = Path(folder)
        rows, kind = _checked(labels, num_classes, epochs, device, store)
        there = [folder / CAPTURE_FOLDERS[heldout], folder / file_of(heldout)]
        for path in there:
            if path.exists() and not overwrite:
                raise RunError(
                    f"{path}: holds a recording; give another folder, go on with "
                    "RunRecorder.resume, or create it with overwrite=True"
                )
        names = names_left(folder, labels, num_classes, file_names, class_names, overwrite)
        if not heldout and any(path.exists() for path in there):
            refuse_stale_names(folder, file_names, class_names)
        size = forecast(len(labels), num_classes, epochs, store)
        check_room(folder, size.needed_bytes, store)
        layout = capture_layout(len(labels), num_classes, epochs, kind)
        capture = create_capture(folder / CAPTURE_FOLDERS[heldout], layout)
        _keep_labels(folder, labels, heldout)
        write_names(names)
        return cls(folder, labels, num_classes, rows, kind, capture, heldout)

    @classmethod
    def resume(
        cls,
        folder: Path,
        labels: Labels,
        num_classes: int,
        epochs: int,
        device: torch.device | str = "cpu",
        store: str = "full",
        heldout: bool = False,
        file_names: Names | None = None,
        class_names: Names | None = None,
    ) -> RunRecorder:
        """Resumes the recording that ``create`` started in the folder.

        Args:
            folder: the run folder.
            labels: as in ``create``.
            num_classes: as in ``create``.
            epochs: as in ``create``.
            device: the device of the logits.
            store: as in ``create``.
            heldout: as in ``create``.
            file_names: as in ``create``; None keeps the names.
            class_names: as in ``create``; None keeps the names.

        Raises:
            RunError: there is no recording, or it has another shape or other names.
            DataError: as in ``create``.
        """
        folder = Path(folder)
        rows, kind = _checked(labels, num_classes, epochs, device, store)
        layout = capture_layout(len(labels), num_classes, epochs, kind)
        capture = open_capture(folder / CAPTURE_FOLDERS[heldout], layout)
        _keep_labels(folder, labels, heldout)
        write_names(names_left(folder, labels, num_classes, file_names, class_names, False))
        return cls(folder, labels, num_classes, rows, kind, capture, heldout)

    def record(
        self,
        index: torch.Tensor,
        logits: torch.Tensor,
        probabilities: bool = False,
    ) -> None:
        """Adds the logits of a batch.

        Args:
            index: int64 [B], the samples' positions in the source data set.
            logits: float [B, k], the network's output before the softmax. Log-probabilities
                (``log_softmax``) are fine too. Tensors, arrays and lists are accepted.
            probabilities: ``logits`` contains probabilities, for a network that returns nothing
                else. Margins and losses are then less exact if these are rounded to 0 or 1.

        Raises:
            DynamicsError: the shapes do not fit, or ``probabilities`` is True and the values are
                not probabilities.
        """
        # Loops of other people may pass arrays or lists.
        self.rows.record(torch.as_tensor(index), torch.as_tensor(logits), probabilities)

    def reset(self) -> None:
        """Forgets what was recorded since the last commit, so that the epoch can start again."""
        self.rows.reset()

    def drop_unknown(self) -> None:
        """Forgets samples with an unknown index; see ``EpochRows.drop_unknown``."""
        self.rows.drop_unknown()

    def commit(self, epoch: int) -> None:
        """Writes the recorded epoch to the disk and starts the next one.

        If the epoch is refused, it is forgotten and can be recorded again. After an OSError (a
        full disk), ``commit`` can be called again.

        An epoch may be committed a second time. This happens if a training was killed between the
        commit and its own checkpoint.

        Args:
            epoch: its number, from 0.

        Raises:
            DynamicsError: an index is unknown, or a sample was not recorded exactly once, or a
                value is not finite, or all logits are probabilities.
            RunError: it is the first epoch and not epoch 0. Or, with the stores ``given`` and
                ``topk``, whose means add up epoch by epoch, it is neither the next one nor the
                last one again.
        """
        capture = self._capture
        if not capture:
            raise DynamicsError(f"recorder, epoch {epoch}: the recording is finished")
        state = np.asarray(capture["state"])
        if not 0 <= epoch < len(state):
            raise DynamicsError(f"recorder: epoch {epoch} of {len(state)} was committed")
        self.rows.settle()
        try:
            check_epoch(self.rows, self._labels.index, epoch)
            self._check_turn(epoch, state)
        except TdctlError:
            self.rows.reset()
            raise
        capture["state"].put(np.array([BEGUN], np.uint8), epoch)
        put_softmax(capture, epoch, self.rows, self._store)
        for i, values in enumerate((self.rows.margin, self.rows.loss)):
            capture["stats"].at(i).at(epoch).put(values[:-1].cpu().numpy())
        for name in capture.keys() - {"state"}:
            capture[name].sync()
        capture["state"].put(np.array([COMMITTED], np.uint8), epoch)
        capture["state"].sync()
        self.rows.reset()

    def commit_final(self) -> None:
        """Keeps what was recorded as the predictions of the finished network.

        Their margins are written into the file of dynamics, as ``final_margin``.

        Raises:
            DynamicsError: as in ``commit``.
        """
        self.rows.settle()
        try:
            check_epoch(self.rows, self._labels.index, len(self._capture["state"]))
            self._final_margin = self.rows.margin[:-1].cpu().numpy().copy()
        finally:
            self.rows.reset()

    def _check_turn(self, epoch: int, state: NDArray[np.uint8]) -> None:
        if epoch and not state.any():
            raise RunError(
                f"{self._folder}: epoch {epoch} is the first that is committed; epochs count from 0"
            )
        sums = self._store.others and self._store.sums
        if sums and (state[epoch + 1 :].any() or (state[:epoch] < COMMITTED).any()):
            raise RunError(
                f"{self._folder}: epoch {epoch} does not follow what was "
                f"committed; with --store {self._store.name} epochs are committed in turn, start "
                "again with --overwrite"
            )

    @property
    def _folder(self) -> Path:
        return self._target / CAPTURE_FOLDERS[self._heldout]

    def write(self, valid_indices: NDArray[np.int64] | None = None) -> None:
        """Writes the dynamics and ``metadata.pth``; keeps the capture.

        Args:
            valid_indices: int64 [m], indices of held-out images; None for none.

        Raises:
            DynamicsError: an epoch was not committed.
            RunError: the disk is full.
        """
        arrays = self._capture
        missing = np.flatnonzero(np.asarray(arrays["state"]) != COMMITTED)
        epochs = len(arrays["state"])
        if len(missing):
            raise DynamicsError(
                f"recorder: epoch {missing[0]} was never committed ({len(missing)} of "
                f"{epochs}); create it with as many epochs as are trained"
            )
        write_files(
            self._target,
            arrays,
            self._labels,
            self._store,
            self._num_classes,
            valid_indices,
            self._heldout,
            self._final_margin,
        )

    def finish(self, valid_indices: NDArray[np.int64] | None = None) -> None:
        """Writes the files as ``write`` does, then removes the capture.

        Args:
            valid_indices: int64 [m], indices of held-out images; None for none.

        Raises:
            DynamicsError: an epoch was not committed.
            RunError: the disk is full.
        """
        self.write(valid_indices)
        self._capture.clear()
        shutil.rmtree(self._folder)


def _keep_labels(folder: Path, labels: Labels, heldout: bool) -> None:
    """Keeps the labels beside the capture, so that its epochs can be ranked before the last one."""
    path = folder / CAPTURE_FOLDERS[heldout] / METADATA_FILE
    if not heldout and not path.exists():
        write_metadata(path, labels, np.zeros(0, dtype=np.int64))


def _checked(
    labels: Labels,
    num_classes: int,
    epochs: int,
    device: torch.device | str,
    store: str,
) -> tuple[EpochRows, Store]:
    if epochs < 1:
        raise DynamicsError(f"recorder: {epochs} epochs; expected at least one")
    kind = Store.of(store, num_classes)
    rows = EpochRows(labels, num_classes, device, kind)
    return rows, kind
