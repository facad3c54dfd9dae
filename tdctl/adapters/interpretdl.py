"""InterpretDL's three interpreters of training, on torch models.

They have the names, arguments and results of InterpretDL (which needs Paddle), so that its
notebooks run after a change of imports. Where they differ, the class says it.

Shape suffixes: n samples, E epochs, k classes, B batch.

Source: ``interpretdl/interpreter/training_dynamics.py`` and ``forgetting_events.py`` of
    PaddlePaddle/InterpretDL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, Dataset

from tdctl.adapters.train_step import Progress, Shown, bridged, trained
from tdctl.detector import Detector, load_detector
from tdctl.dynamics import TD_FILE, read_run, write_arrays
from tdctl.dynamics import TrainingDynamics as Dynamics
from tdctl.errors import ConfigError, DynamicsError, RunError
from tdctl.exchange import order_and_predictions, write_interpretdl
from tdctl.labels import Labels
from tdctl.scores import late_learned, mean_correct_epoch

__all__ = ["BHDFInterpreter", "ForgettingEventsInterpreter", "TrainingDynamics"]

STATS_FILE = "stats.npz"
NEVER = -1

# Of each sample: whether each epoch's prediction was right, and the prediction.
Stats = dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]]


class TrainingDynamics:
    """Trains a model and records its training dynamics.

    InterpretDL replaces the values of the last, smaller batch of an epoch by NaN, and fills them
    by interpolation across classes. Here every sample has its values.

    Args:
        model: returns logits [B, k]. It is trained in train mode.
        device: where it is trained, for example ``cpu`` or ``cuda:0``.
    """

    def __init__(self, model: nn.Module, device: str = "cpu") -> None:
        self.model, self.device = model, torch.device(device)

    def generator(
        self,
        train_loader: Iterable[Any],
        optimizer: torch.optim.Optimizer,
        epochs: int,
        scheduler: Any = None,
        progress: Progress | None = None,
    ) -> dict[int, NDArray[np.float16]]:
        """Trains, and records the softmax of each training step.

        Args:
            train_loader: gives batches (indices, x, y), as ``tdctl.IndexedDataset`` makes them.
            optimizer: of the model.
            epochs: E.
            scheduler: its ``step()`` is called after each epoch.
            progress: is called after each epoch with its number, mean loss and accuracy.

        Returns:
            For each index float16 [E, k], NaN in epochs that did not show the sample.

        Raises:
            TrainingError: the loss is not finite.
            DynamicsError: there was no batch.
        """
        rows: dict[int, int] = {}
        kept = np.empty((0, epochs, 0), np.float16)

        def keep(shown: Shown) -> None:
            nonlocal kept
            place = [rows.setdefault(index, len(rows)) for index in shown.indices]
            if len(rows) > len(kept):
                size = max(len(rows), 2 * len(kept))
                more = np.full((size, epochs, shown.logits.shape[1]), np.nan, np.float16)
                more[: len(kept)] = kept.reshape(len(kept), epochs, -1) if len(kept) else 0
                kept = more
            kept[place, shown.epoch] = shown.logits.softmax(dim=1).cpu().numpy()

        trained(self.model, self.device, train_loader, optimizer, epochs, keep, scheduler, progress)
        return {index: kept[row] for index, row in rows.items()}

    def save(
        self,
        training_dynamics: Mapping[int, NDArray[np.floating[Any]]],
        assigned_targets: Sequence[int] | NDArray[np.integer[Any]],
        label_flip: Sequence[bool] | NDArray[np.bool_] | None = None,
        save_path: str | Path | None = None,
        overwrite: bool = False,
    ) -> TrainingDynamics:
        """Writes ``training_dynamics.npz``, which all tdctl commands and InterpretDL read.

        In epochs that did not show a sample, it gets its values of the epoch before.

        Args:
            training_dynamics: what ``generator`` returned.
            assigned_targets: the given labels, by rising index.
            label_flip: where the given label is wrong, by rising index, if known.
            save_path: the folder; by default ``assets``.
            overwrite: replaces a file that is there. InterpretDL always does.

        Returns:
            Itself.

        Raises:
            RunError: the file exists.
            DynamicsError: the labels do not fit the recorded samples.
        """
        path = Path("assets" if save_path is None else save_path) / TD_FILE
        if path.exists() and not overwrite:
            raise RunError(f"{path}: exists; give another save_path, or overwrite=True")
        index = np.array(sorted(training_dynamics), dtype=np.int64)
        given, flip = np.asarray(assigned_targets), label_flip
        for name, array in (("assigned_targets", given), ("label_flip", label_flip)):
            if array is not None and len(array) != len(index):
                raise DynamicsError(
                    f"{name}: {len(array)} values for {len(index)} recorded samples; expected one "
                    "for each, by rising index"
                )
        probs = bridged(np.stack([training_dynamics[i] for i in index.tolist()]))
        dynamics = Dynamics.of(probs, given, index)
        given = given.astype(np.int64)
        # Of a wrong label, the true one is not known.
        true = given if flip is None else np.where(np.asarray(flip, dtype=np.bool_), -1, given)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_interpretdl(path, dynamics, Labels(index, given, true))
        return self


class BHDFInterpreter:
    """Ranks samples by how likely their labels are wrong (Beyond Hand-Designed Features).

    InterpretDL's docstring calls ``predictions`` "predictions as clean"; they are P(mislabeled),
    and **the worst samples come last** in ``order``. Without a detector, InterpretDL downloads
    one; here the shipped one ranks.

    Args:
        detector: a detector of tdctl, its file or name; or a module that returns probabilities
            [B, 2] for curves [B, E], as InterpretDL's detectors do.
        device: where it computes.
    """

    def __init__(
        self, detector: Detector | nn.Module | str | Path = "builtin", device: str = "cpu"
    ) -> None:
        if isinstance(detector, str | Path):
            detector = load_detector(Path(detector))
        net = detector.net if isinstance(detector, Detector) else detector
        net.to(torch.device(device))
        self.detector, self.device = detector, torch.device(device)

    def interpret(
        self,
        training_dynamics: Mapping[str, NDArray[Any]] | None = None,
        training_dynamics_path: str | Path = f"assets/{TD_FILE}",
    ) -> tuple[NDArray[np.int64], list[float]]:
        """Ranks the samples of a recording.

        Args:
            training_dynamics: ``td``, float [n, E, k], the given label first, and ``labels``, int
                [n, k], the class of each column; by default they are read from the file.
            training_dynamics_path: the file, named ``training_dynamics.npz``.

        Returns:
            ``order``, int64 [n], the rows by rising suspicion, and ``predictions``, P(mislabeled)
            of each row.

        Raises:
            DynamicsError: the dynamics are malformed.
            RunError: there is no file.
        """
        if training_dynamics is None:
            path = Path(training_dynamics_path)
            if path.name != TD_FILE or not path.is_file():
                raise RunError(f"{path}: no such file, or not named {TD_FILE}; record it first")
            dynamics = read_run(path.parent)[0]
        else:
            dynamics = _dynamics_of(training_dynamics)
        if isinstance(self.detector, Detector):
            return order_and_predictions(self.detector.score(dynamics))
        curves = torch.from_numpy(np.asarray(dynamics.td[:, :, 0], dtype=np.float32))
        self.detector.eval()
        with torch.no_grad():
            found = [
                self.detector(part.to(self.device))[:, 1].cpu()
                for part in torch.split(curves, 1024)
            ]
        return order_and_predictions(torch.cat(found).double().numpy())


def _dynamics_of(arrays: Mapping[str, NDArray[Any]]) -> Dynamics:
    lacks = [name for name in ("td", "labels") if name not in arrays]
    if lacks:
        raise DynamicsError(
            f"training_dynamics: has no {' and no '.join(lacks)}; expected td [n, epochs, classes] "
            "and labels [n, classes], as TrainingDynamics.save writes them"
        )
    td, labels = np.asarray(arrays["td"], np.float16), np.asarray(arrays["labels"])
    if td.ndim != 3 or labels.shape != (td.shape[0], td.shape[2]):
        raise DynamicsError(
            f"training_dynamics: td is {td.shape} and labels {labels.shape}; expected "
            "[n, epochs, classes] and [n, classes]"
        )
    return Dynamics(td, labels, np.arange(len(td)))


class ForgettingEventsInterpreter:
    """Trains a model and counts how often each sample is forgotten.

    InterpretDL writes pickles; here the statistics are written as ``stats.npz``, and only if
    ``save_path`` is given.

    Args:
        model: returns logits [B, k]. It is trained in train mode.
        device: where it is trained.
    """

    def __init__(self, model: nn.Module, device: str = "cpu") -> None:
        self.model, self.device = model, torch.device(device)

    def interpret(
        self,
        train_reader: Callable[[], Iterable[Any]] | DataLoader[Any] | Dataset[Any],
        optimizer: torch.optim.Optimizer,
        batch_size: int,
        epochs: int,
        noisy_labels: bool = False,
        save_path: str | Path | None = None,
        progress: Progress | None = None,
    ) -> tuple[Stats, list[int] | tuple[dict[int, list[int]], dict[int, NDArray[np.int64]]]]:
        """Trains, and finds wrong labels or forgotten samples.

        Args:
            train_reader: gives batches: a function, as Paddle's readers are, or a ``DataLoader``.
                A batch is a list of samples (index, x, y), or (indices, x, y). A map-style data
                set of such samples is read in its order, ``batch_size`` at a time.
            optimizer: of the model.
            batch_size: the largest size of a batch.
            epochs: E.
            noisy_labels: find wrong labels.
            save_path: the folder for ``stats.npz``.
            progress: is called after each epoch with its number, mean loss and accuracy.

        Returns:
            ``stats``: for each index, whether each epoch's prediction was right (0 or 1), and the
            predictions, both int64 [E]; without epochs that did not show the sample.
            Then, with ``noisy_labels``, the indices of the wrong labels, the worst first: see
            ``find_noisy_labels``. Without it, ``(count_forgotten, forgotten)``: see
            ``compute_and_order_forgetting_stats``.

        Raises:
            ConfigError: a batch is larger than ``batch_size``.
            RunError: ``stats.npz`` exists.
            TrainingError: the loss is not finite.
        """
        path = None if save_path is None else Path(save_path) / STATS_FILE
        if path is not None and path.exists():
            raise RunError(f"{path}: exists; give another save_path")
        heard: dict[int, list[tuple[int, int]]] = {}

        def keep(shown: Shown) -> None:
            if len(shown.indices) > batch_size:
                raise ConfigError(
                    f"train_reader: a batch has {len(shown.indices)} samples; expected at most "
                    f"batch_size, {batch_size}"
                )
            predicted = shown.logits.argmax(dim=1)
            right = (predicted == shown.targets).tolist()
            for index, *found in zip(shown.indices, right, predicted.tolist(), strict=True):
                heard.setdefault(index, []).append((int(found[0]), found[1]))

        loader = _Read(train_reader, batch_size)
        trained(self.model, self.device, loader, optimizer, epochs, keep, None, progress)
        stats: Stats = {}
        for index, pairs in heard.items():
            columns = np.array(pairs, dtype=np.int64).T
            stats[index] = columns[0], columns[1]
        if path is not None:
            _write_stats(path, stats, epochs)
        if noisy_labels:
            return stats, self.find_noisy_labels(stats)
        return stats, self.compute_and_order_forgetting_stats(stats)

    def find_noisy_labels(self, stats: Stats) -> list[int]:
        """The samples that were learned unusually late, the latest first.

        The mean number of the epochs that predicted the given label is more than five standard
        deviations above the mean of all samples that were ever learned. Samples that were never
        learned are not flagged, and at most one in 26 can be: see ``tdctl.scores.late_learned``.

        Source: ``find_noisy_labels`` of InterpretDL's ``ForgettingEventsInterpreter``.
        """
        epochs = max((len(right) for right, _ in stats.values()), default=0)
        index = np.array(list(stats), dtype=np.int64)
        right = np.zeros((len(index), epochs), np.bool_)
        for row, (found, _) in enumerate(stats.values()):
            right[row, : len(found)] = found
        if not len(index):
            return []
        late = mean_correct_epoch(right)
        flagged = np.flatnonzero(late_learned(late, epochs))
        order = np.argsort(-late[flagged], kind="stable")
        found_index: list[int] = index[flagged[order]].tolist()
        return found_index

    def compute_and_order_forgetting_stats(
        self, stats: Stats
    ) -> tuple[dict[int, list[int]], dict[int, NDArray[np.int64]]]:
        """How often each sample was forgotten, and what was predicted then.

        A sample is forgotten when its prediction is wrong after it was right in the epoch before
        (Toneva et al. 2019, arXiv 1812.05159).

        Returns:
            ``count_forgotten``: for each count of forgetting events the indices; -1 for samples
            that were never learned. ``forgotten``: for each index the wrong predictions at these
            events; all predictions if it was never learned.

        Source: the method of the same name of InterpretDL's ``ForgettingEventsInterpreter``.
        """
        counts: dict[int, list[int]] = {}
        forgotten: dict[int, NDArray[np.int64]] = {}
        for index, (right, predicted) in stats.items():
            events = np.flatnonzero(np.diff(right) < 0) + 1
            learned = bool(right.any())
            forgotten[index] = predicted[events] if learned else predicted
            counts.setdefault(len(events) if learned else NEVER, []).append(index)
        return counts, forgotten


class _Read:
    """Batches of a reader, a loader or a data set, anew for each epoch."""

    def __init__(self, source: Any, batch_size: int) -> None:
        if not callable(source) and not isinstance(source, DataLoader):
            source = DataLoader(source, batch_size)
        self._source = source

    def __iter__(self) -> Any:
        return iter(self._source() if callable(self._source) else self._source)


def _write_stats(path: Path, stats: Stats, epochs: int) -> None:
    """Writes ``index`` [n], ``right`` and ``predicted`` [n, E]; -1 pads epochs not shown."""
    shape = len(stats), epochs
    right, predicted = np.full(shape, -1, np.int64), np.full(shape, -1, np.int64)
    for row, (was_right, label) in enumerate(stats.values()):
        right[row, : len(was_right)], predicted[row, : len(label)] = was_right, label
    arrays = {"index": np.array(list(stats)), "right": right, "predicted": predicted}
    layout = {name: (array.dtype, array.shape) for name, array in arrays.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_arrays(
        path,
        layout,
        {
            "index": lambda: iter([arrays["index"]]),
            "right": lambda: iter([right]),
            "predicted": lambda: iter([predicted]),
        },
    )
