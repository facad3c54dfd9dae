"""Records the dynamics of a training: what a training loop calls, batch by batch.

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
from tdctl.recorder.capture import (
    capture_layout,
    check_room,
    create_capture,
    forecast,
    open_capture,
)
from tdctl.recorder.checking import check_epoch
from tdctl.recorder.finishing import file_of, write_files
from tdctl.recorder.naming import Names, names_left, refuse_stale_names, write_names
from tdctl.recorder.neighbours import agreement, check_neighbours
from tdctl.recorder.putting import put_softmax
from tdctl.recorder.rows import EpochRows
from tdctl.slabs import ArrayFile

__all__ = ["CAPTURE_FOLDERS", "Recorder"]

CAPTURE_FOLDERS = ("capture", "capture_heldout")
# How far an epoch came; 0 where it was never begun.
BEGUN, COMMITTED = 1, 2


class Recorder:
    """Softmax, logit margin and loss of every sample at every epoch, in memory-mapped files.

    One epoch is kept on the device that the logits are on; ``commit`` moves it to the disk,
    slab by slab. Memory does not grow with the number of epochs.

    Example::

        recorder = Recorder.create(folder, labels, num_classes=10, epochs=30)
        for epoch in range(30):
            for index, images, targets in loader:
                logits = net(images)
                ...
                recorder.record(index, logits)
            recorder.commit(epoch)
        recorder.finish()  # training_dynamics.npz and metadata.pth

    What ``create`` is told of names stands beside the recording, in ``samples.csv`` and
    ``class_names.csv``, where ``tdctl detect`` finds it.

    With ``heldout`` it records beside it, in files of its own, what a network says of samples
    that it is not trained on: ``heldout_dynamics.npz``. ``metadata.pth`` is left to the other.

    Attributes:
        rows: the epoch that is being recorded. Other processes of the same training have an
            ``EpochRows`` of their own, whose ``packed`` rows this one absorbs before ``commit``.
    """

    def __init__(
        self,
        folder: Path,
        labels: Labels,
        num_classes: int,
        rows: EpochRows,
        store: Store,
        capture: dict[str, ArrayFile],
        neighbours: int = 0,
        heldout: bool = False,
    ) -> None:
        self.rows, self._num_classes, self._neighbours = rows, num_classes, neighbours
        self._heldout = heldout
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
        neighbours: int = 0,
        heldout: bool = False,
        overwrite: bool = False,
        file_names: Names | None = None,
        class_names: Names | None = None,
    ) -> Recorder:
        """A new recording in ``folder/capture``; the room on the disk is taken at once.

        Args:
            labels: given labels of the n samples.
            device: where the logits are.
            store: ``full``, ``given`` or ``topk:K``, what is kept of each epoch's softmax.
            neighbours: how many nearest neighbours of each sample, by the features that
                ``record`` is given, are asked for their given labels after each epoch; 0: none.
                One epoch's features are on the device, 2 n F bytes.
            heldout: of networks that are not trained on what they are recorded on.
            overwrite: replaces a recording that is there, finished or not, with its names.
            file_names: n different names, in the order of ``labels``; the ranking shows them.
            class_names: k different names, that of class 0 first; the ranking shows them.

        Raises:
            RunError: the folder holds a recording, or names of another one; or the disk has no
                room for this one and the file made of it.
            DataError: names are too many or too few, not all texts, or two of them are the same.
            ConfigError: the store is unknown, or keeps no fewer classes than there are; or so
                many neighbours there are not.
        """
        folder = Path(folder)
        rows, kind = _checked(labels, num_classes, epochs, device, store, neighbours)
        there = [folder / CAPTURE_FOLDERS[heldout], folder / file_of(heldout)]
        for path in there:
            if path.exists() and not overwrite:
                raise RunError(
                    f"{path}: holds a recording; give another folder, go on with Recorder.resume, "
                    "or create it with overwrite=True"
                )
        names = names_left(folder, labels, num_classes, file_names, class_names, overwrite)
        if not heldout and any(path.exists() for path in there):
            refuse_stale_names(folder, file_names, class_names)
        size = forecast(len(labels), num_classes, epochs, store, neighbours)
        check_room(folder, size.needed_bytes, store)
        layout = capture_layout(len(labels), num_classes, epochs, kind, neighbours)
        capture = create_capture(folder / CAPTURE_FOLDERS[heldout], layout)
        write_names(names)
        return cls(folder, labels, num_classes, rows, kind, capture, neighbours, heldout)

    @classmethod
    def resume(
        cls,
        folder: Path,
        labels: Labels,
        num_classes: int,
        epochs: int,
        device: torch.device | str = "cpu",
        store: str = "full",
        neighbours: int = 0,
        heldout: bool = False,
        file_names: Names | None = None,
        class_names: Names | None = None,
    ) -> Recorder:
        """Goes on with the recording that ``create`` began in the folder.

        Args:
            file_names: as ``create`` was given them, or None: they are kept.
            class_names: likewise.

        Raises:
            RunError: there is none, or its shape is another, or its names are.
            DataError: as in ``create``.
        """
        folder = Path(folder)
        rows, kind = _checked(labels, num_classes, epochs, device, store, neighbours)
        layout = capture_layout(len(labels), num_classes, epochs, kind, neighbours)
        capture = open_capture(folder / CAPTURE_FOLDERS[heldout], layout)
        write_names(names_left(folder, labels, num_classes, file_names, class_names, False))
        return cls(folder, labels, num_classes, rows, kind, capture, neighbours, heldout)

    def record(
        self,
        index: torch.Tensor,
        logits: torch.Tensor,
        features: torch.Tensor | None = None,
        probabilities: bool = False,
    ) -> None:
        """Takes the logits of a batch; see ``EpochRows.record``.

        Args:
            index: int64 [B], the samples' positions in the source data set.
            logits: float [B, k], the network's output before any softmax; log-probabilities
                (``log_softmax``) serve as well.
            features: float [B, F], what the network's last layer was given, where the recording
                was created with ``neighbours``.
            probabilities: ``logits`` holds probabilities, of a network that gives nothing else.
                Margins and losses are less exact then, where these are rounded to 0 or 1.

        Raises:
            DynamicsError: the shapes do not fit, features are missing or not asked for, or what
                should be probabilities is none.
        """
        # Arrays and lists too, as other people's loops have them.
        self.rows.record(torch.as_tensor(index), torch.as_tensor(logits), features, probabilities)

    def reset(self) -> None:
        """Forgets what was recorded since the last commit, to begin the epoch again."""
        self.rows.reset()

    def drop_unknown(self) -> None:
        """See ``EpochRows.drop_unknown``."""
        self.rows.drop_unknown()

    def commit(self, epoch: int) -> None:
        """Writes the epoch that was recorded to the disk and starts the next.

        Where it is refused the epoch is forgotten, to be recorded again; after an OSError (a
        full disk) it can be committed again.

        An epoch may be committed again, as a training does that was killed before it wrote its
        own checkpoint.

        Raises:
            DynamicsError: an index is unknown, a sample was not recorded exactly once, a value
                is not finite, or all logits are probabilities.
            RunError: it is the first and not epoch 0; or it does not follow the epoch committed
                last and is not that one again, where the store is ``given`` or ``topk``: their
                running means build on each other.
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
        votes = self._votes(epoch)
        capture["state"].put(np.array([BEGUN], np.uint8), epoch)
        put_softmax(capture, epoch, self.rows, self._store)
        for i, values in enumerate((self.rows.margin, self.rows.loss)):
            capture["stats"].at(i).at(epoch).put(values[:-1].cpu().numpy())
        if votes is not None:
            capture["neighbours"].at(epoch).put(votes)
        for name in capture.keys() - {"state"}:
            capture[name].sync()
        capture["state"].put(np.array([COMMITTED], np.uint8), epoch)
        capture["state"].sync()
        self.rows.reset()

    def _votes(self, epoch: int) -> NDArray[np.float16] | None:
        """Float16 [n]: how far each sample's neighbours agree with it, where that is recorded."""
        features, given = self.rows.features, self.rows.given
        if features is None:
            return None
        found = agreement(features[:-1], given[:-1], self._neighbours, seed=epoch)
        votes: NDArray[np.float16] = found.cpu().numpy()
        return votes

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
        """Writes the dynamics and ``metadata.pth`` and keeps the capture.

        Args:
            valid_indices: int64 [m], indices that were held out; none by default.

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
        )

    def finish(self, valid_indices: NDArray[np.int64] | None = None) -> None:
        """Writes the files as ``write`` does, and drops the capture."""
        self.write(valid_indices)
        self._capture.clear()
        shutil.rmtree(self._folder)


def _checked(
    labels: Labels,
    num_classes: int,
    epochs: int,
    device: torch.device | str,
    store: str,
    neighbours: int,
) -> tuple[EpochRows, Store]:
    if epochs < 1:
        raise DynamicsError(f"recorder: {epochs} epochs; expected at least one")
    kind = Store.of(store, num_classes)
    rows = EpochRows(labels, num_classes, device, kind, features=neighbours > 0)
    check_neighbours(len(labels), neighbours)
    return rows, kind
