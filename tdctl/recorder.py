"""Records the dynamics of a training: what a training loop calls, batch by batch.

Example::

    recorder = Recorder.create(folder, labels, num_classes=10, epochs=30)
    for epoch in range(30):
        for index, images, targets in loader:
            logits = net(images)
            ...
            recorder.record(index, logits)
        recorder.commit(epoch)
    recorder.finish()  # training_dynamics.npz and metadata.pth

Shape suffixes: n samples, E epochs, k classes, B batch.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.dynamics import TD_FILE, write_td
from tdctl.errors import DynamicsError, RunError
from tdctl.labels import Labels
from tdctl.metadata import METADATA_FILE, write_metadata

__all__ = ["Recorder"]

CAPTURE_FOLDER = "capture"


class Recorder:
    """Softmax and logit margin of every sample at every epoch, in memory-mapped files.

    One epoch is kept on the device that the logits are on; ``commit`` moves it to the disk.
    Memory does not grow with the number of epochs.
    """

    def __init__(
        self,
        folder: Path,
        labels: Labels,
        num_classes: int,
        epochs: int,
        device: torch.device | str,
        mode: str,
    ) -> None:
        if len(labels) == 0 or epochs < 1 or labels.assigned.max() >= num_classes:
            raise DynamicsError(
                f"recorder: {len(labels)} samples, {epochs} epochs, {num_classes} classes; "
                "expected at least one sample and epoch, and labels below the number of classes"
            )
        self._folder, self._target = folder / CAPTURE_FOLDER, folder
        self._labels = labels
        n, device = len(labels), torch.device(device)
        shape_EnK, shape_En = (epochs, n, num_classes), (epochs, n)
        self._probs = _memmap(self._folder / "probs.npy", np.float16, shape_EnK, mode)
        self._margins = _memmap(self._folder / "margin.npy", np.float32, shape_En, mode)
        self._assigned = torch.from_numpy(labels.assigned).to(device)
        lookup = torch.full((int(labels.index.max()) + 1,), -1, dtype=torch.int64)
        lookup[torch.from_numpy(labels.index)] = torch.arange(n)
        self._row_of_index = lookup.to(device)
        # Row n takes what has no row, so that an unknown index is found without a
        # synchronisation in every step.
        self._epoch_probs = torch.empty(n + 1, num_classes, dtype=torch.float16, device=device)
        self._epoch_margin = torch.empty(n + 1, dtype=torch.float32, device=device)
        self._times_seen = torch.zeros(n + 1, dtype=torch.int32, device=device)

    @classmethod
    def create(
        cls,
        folder: Path,
        labels: Labels,
        num_classes: int,
        epochs: int,
        device: torch.device | str = "cpu",
    ) -> Recorder:
        """A new recording in ``folder/capture``; the bytes are reserved at once.

        Raises:
            RunError: the disk has no room for the recording and the file made of it.
        """
        cls.check_room(folder, len(labels), num_classes, epochs)
        recorder = cls(folder, labels, num_classes, epochs, device, "w+")
        # What is still NaN at the end was never committed; this also takes the room on the disk.
        for margin_n in recorder._margins:
            margin_n[:] = np.nan
        return recorder

    @staticmethod
    def check_room(folder: Path, n: int, num_classes: int, epochs: int) -> None:
        """Refuses a recording for which the disk has no room.

        Raises:
            RunError: with the bytes needed and free.
        """
        needed = n * epochs * (2 * num_classes + 4)
        above = next(p for p in (folder, *folder.absolute().parents) if p.exists())
        free = shutil.disk_usage(above).free
        # The finished file stands beside the capture for a moment.
        if 2 * needed > free:
            raise RunError(
                f"{folder}: recording needs {2 * needed / 1e9:.1f} GB of disk and "
                f"{free / 1e9:.1f} GB are free; make room or record fewer epochs"
            )

    @classmethod
    def resume(
        cls,
        folder: Path,
        labels: Labels,
        num_classes: int,
        epochs: int,
        device: torch.device | str = "cpu",
    ) -> Recorder:
        """Goes on with the recording that ``create`` began in the folder.

        Raises:
            RunError: there is none, or its shape is another.
        """
        return cls(folder, labels, num_classes, epochs, device, "r+")

    @torch.no_grad()
    def record(self, index_B: torch.Tensor, logits_BK: torch.Tensor) -> None:
        """Takes the logits of a batch; the softmax is computed in float32.

        Args:
            index_B: int64 [B], the samples' positions in the source data set.
            logits_BK: float [B, k] of any precision, un-mixed, for those samples.

        Raises:
            DynamicsError: the shapes do not fit.
        """
        k = self._epoch_probs.shape[1]
        if logits_BK.shape != (len(index_B), k):
            raise DynamicsError(
                f"recorder: logits {tuple(logits_BK.shape)} for {len(index_B)} samples; "
                f"expected [{len(index_B)}, {k}]"
            )
        device, last = self._epoch_probs.device, len(self._labels)
        logits_BK = logits_BK.detach().to(device, torch.float32)
        index_B = index_B.to(device)
        known = (index_B >= 0) & (index_B < len(self._row_of_index))
        rows = self._row_of_index[torch.where(known, index_B, 0)]
        rows = torch.where(known & (rows >= 0), rows, last)
        given = self._assigned[rows.clamp(max=last - 1)][:, None]
        own = logits_BK.gather(1, given)[:, 0]
        largest_other = logits_BK.scatter(1, given, -torch.inf).amax(dim=1)
        self._epoch_probs[rows] = logits_BK.softmax(dim=1).half()
        self._epoch_margin[rows] = own - largest_other
        self._times_seen.index_add_(0, rows, torch.ones_like(rows, dtype=torch.int32))

    def commit(self, epoch: int) -> None:
        """Writes the epoch that was recorded to the disk and starts the next.

        Raises:
            DynamicsError: an index is unknown, a sample was not recorded exactly once, or a
                value is not finite.
        """
        if not 0 <= epoch < len(self._margins):
            raise DynamicsError(f"recorder: epoch {epoch} of {len(self._margins)} was committed")
        seen = self._times_seen.cpu().numpy().copy()
        self._times_seen.zero_()
        if seen[-1]:
            raise DynamicsError(
                f"recorder, epoch {epoch}: {seen[-1]} recorded samples have an index that is not "
                "among the labels given at the start"
            )
        wrong = np.flatnonzero(seen[:-1] != 1)
        if len(wrong):
            raise DynamicsError(
                f"recorder, epoch {epoch}: index {self._labels.index[wrong[0]]} was recorded "
                f"{seen[wrong[0]]} times ({len(wrong)} such samples); expected each once"
            )
        margin_n = self._epoch_margin[:-1].cpu().numpy()
        bad = np.flatnonzero(~np.isfinite(margin_n))
        if len(bad):
            raise DynamicsError(
                f"recorder, epoch {epoch}: the logits of index {self._labels.index[bad[0]]} are "
                f"not finite ({len(bad)} such samples); the training has diverged, lower its rate"
            )
        self._probs[epoch] = self._epoch_probs[:-1].cpu().numpy()
        self._margins[epoch] = margin_n
        self._probs.flush()
        self._margins.flush()

    def write(self, valid_indices: NDArray[np.int64] | None = None) -> None:
        """Writes ``training_dynamics.npz`` and ``metadata.pth`` and keeps the capture.

        Args:
            valid_indices: int64 [m], indices that were held out; none by default.

        Raises:
            DynamicsError: an epoch was not committed.
        """
        missing = np.flatnonzero(np.isnan(self._margins[:, 0]))
        if len(missing):
            raise DynamicsError(
                f"recorder: epoch {missing[0]} was never committed ({len(missing)} of "
                f"{len(self._margins)}); create it with as many epochs as are trained"
            )
        held = np.zeros(0, dtype=np.int64) if valid_indices is None else valid_indices
        write_td(self._target / TD_FILE, self._probs, self._margins, self._labels)
        write_metadata(self._target / METADATA_FILE, self._labels, held)

    def finish(self, valid_indices: NDArray[np.int64] | None = None) -> None:
        """Writes the two files as ``write`` does, and drops the capture."""
        self.write(valid_indices)
        del self._probs, self._margins
        shutil.rmtree(self._folder)


def _memmap(
    path: Path, dtype: Any, shape: tuple[int, ...], mode: str
) -> np.memmap[Any, np.dtype[Any]]:
    if mode == "w+":
        path.parent.mkdir(parents=True, exist_ok=True)
        return np.lib.format.open_memmap(path, "w+", dtype, shape)
    try:
        # Opened for reading first: for writing, numpy would fill up a file that was cut off.
        np.lib.format.open_memmap(path, "r")
        found = np.lib.format.open_memmap(path, "r+")
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path}: the recording cannot be continued ({error}); start again with --overwrite"
        ) from None
    if found.shape != shape or found.dtype != dtype:
        raise RunError(
            f"{path}: the recording is {found.dtype} {found.shape}, expected {shape}; "
            "start again with --overwrite"
        )
    return found
