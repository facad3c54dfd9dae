"""Records the dynamics of a training: what a training loop calls, batch by batch.

Example::

    recorder = Recorder.create(folder, labels, num_classes=10, epochs=30)
    for epoch in range(30):
        for index, images, targets in loader:
            logits = net(images)
            ...
            recorder.record(index, logits)
        recorder.commit(epoch)
    recorder.finish(folder / "training_dynamics.npz")

Shape suffixes: n samples, E epochs, k classes, B batch.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tdctl.dynamics import write_td
from tdctl.errors import DynamicsError, RunError
from tdctl.labels import Labels

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
        self._folder = folder / CAPTURE_FOLDER
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
        needed = len(labels) * epochs * (2 * num_classes + 4)
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        # The finished file stands beside the capture for a moment.
        if 2 * needed > free:
            raise RunError(
                f"{folder}: recording needs {2 * needed / 1e9:.1f} GB of disk and "
                f"{free / 1e9:.1f} GB are free; make room or record fewer epochs"
            )
        return cls(folder, labels, num_classes, epochs, device, "w+")

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
            DynamicsError: an index is unknown, or a sample was not recorded exactly once.
        """
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
        self._probs[epoch] = self._epoch_probs[:-1].cpu().numpy()
        self._margins[epoch] = self._epoch_margin[:-1].cpu().numpy()
        self._probs.flush()
        self._margins.flush()

    def write(self, path: Path) -> None:
        """Writes ``training_dynamics.npz`` from the committed epochs and keeps the capture."""
        write_td(path, self._probs, self._margins, self._labels)

    def finish(self, path: Path) -> None:
        """Writes ``training_dynamics.npz`` from the committed epochs and drops the capture."""
        self.write(path)
        del self._probs, self._margins
        shutil.rmtree(self._folder)


def _memmap(
    path: Path, dtype: Any, shape: tuple[int, ...], mode: str
) -> np.memmap[Any, np.dtype[Any]]:
    if mode == "w+":
        path.parent.mkdir(parents=True, exist_ok=True)
        return np.lib.format.open_memmap(path, "w+", dtype, shape)
    try:
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
