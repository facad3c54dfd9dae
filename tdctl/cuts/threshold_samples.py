"""AUM's threshold samples: images that are trained with a label that cannot be right.

Shape suffixes: n samples, 2 networks.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.dynamics.writing import write_arrays
from tdctl.errors import ConfigError, DynamicsError
from tdctl.files import first_line
from tdctl.streams import THRESHOLD_SAMPLES

__all__ = [
    "THRESHOLD_FILE",
    "Thresholds",
    "above_threshold_samples",
    "count_threshold_samples",
    "draw_threshold_samples",
]

THRESHOLD_FILE = "threshold.npz"
TYPES = {"index": np.dtype(np.int64), "threshold": np.dtype(np.bool_), "aum": np.dtype(np.float32)}


def count_threshold_samples(n: int, num_classes: int) -> int:
    """How many threshold samples a network gets: n / (k + 1), rounded down.

    This is the mean size of a class if the extra class is counted too.

    Args:
        n: number of training samples.
        num_classes: k, without the extra class.

    Raises:
        ConfigError: there is only one class, or there are too few samples for one threshold
            sample.
    """
    if num_classes < 2 or n <= num_classes:
        raise ConfigError(
            f"train.threshold_samples: {n} samples of {num_classes} classes; expected two classes "
            f"or more and at least {max(2, num_classes) + 1} samples, or leave it out"
        )
    return n // (num_classes + 1)


def draw_threshold_samples(n: int, num_classes: int, seed: int) -> NDArray[np.bool_]:
    """Bool [2, n], the samples that each of two networks sees with the extra class k.

    No sample is drawn for both networks, so each sample is judged by at least one network.

    Args:
        n: number of training samples.
        num_classes: k, without the extra class.
        seed: seed of the draw.

    Raises:
        ConfigError: as in ``count_threshold_samples``.

    Source: Pleiss et al., "Identifying Mislabeled Data using the Area Under the Margin Ranking",
        NeurIPS 2020 (arXiv 2001.10528), section 3.2, from which n / (k + 1) comes. Its published
        code (asappresearch/aum, ``examples/paper_replication``) draws n / k. The two sets have no
        common sample, as in that code.
    """
    count = count_threshold_samples(n, num_classes)
    order = THRESHOLD_SAMPLES.numpy_generator(seed).permutation(n)
    drawn_2n = np.zeros((2, n), dtype=np.bool_)
    for network in range(2):
        drawn_2n[network, order[network * count : (network + 1) * count]] = True
    return drawn_2n


@dataclass(frozen=True)
class Thresholds:
    """The results of two networks with threshold samples; the content of ``threshold.npz``.

    Attributes:
        index: int64 [n], positions of the samples in the source data set.
        threshold: bool [2, n], the threshold samples of each network.
        aum: float32 [2, n], the mean over the epochs of a logit margin: the logit of the label
            that the network was trained with, minus the largest other logit. That label is the
            extra class for threshold samples, and the given label for all others. Low means more
            likely mislabeled.
    """

    index: NDArray[np.int64]
    threshold: NDArray[np.bool_]
    aum: NDArray[np.float32]

    def flagged(self) -> NDArray[np.bool_]:
        """Bool [n]: the samples that are flagged by every network that judges them.

        A network judges all samples except its threshold samples.

        Raises:
            DynamicsError: a network has no threshold samples, or a value is not finite.

        Source: see ``draw_threshold_samples``. In the published code, too, all networks must
            agree.
        """
        above_2n = [
            above_threshold_samples(-own.astype(np.float64), marks)
            for own, marks in zip(self.aum, self.threshold, strict=True)
        ]
        spared_2n = ~np.stack(above_2n) & ~self.threshold
        return ~np.asarray(spared_2n.any(axis=0))

    def write(self, folder: Path) -> None:
        """Writes ``threshold.npz`` into a run folder, completely or not at all."""
        arrays = {"index": self.index, "threshold": self.threshold, "aum": self.aum}
        layout = {name: (TYPES[name], array.shape) for name, array in arrays.items()}
        slabs = {name: partial(_whole, array) for name, array in arrays.items()}
        write_arrays(folder / THRESHOLD_FILE, layout, slabs)

    @classmethod
    def read(cls, folder: Path, index: NDArray[np.int64]) -> Thresholds | None:
        """Reads ``threshold.npz`` of a run folder, in the order of ``index``; None without one.

        Raises:
            DynamicsError: the file is malformed, or has other samples.
        """
        path = folder / THRESHOLD_FILE
        if not path.exists():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in TYPES}
        except (
            OSError,
            ValueError,
            LookupError,
            EOFError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise DynamicsError(
                f"{path}: not a file of threshold samples ({first_line(error)}); record the run "
                "again"
            ) from None
        n = len(index)
        for name, dtype in TYPES.items():
            shape = (n,) if name == "index" else (2, n)
            if arrays[name].dtype != dtype or arrays[name].shape != shape:
                raise DynamicsError(
                    f"{path}: {name} is {arrays[name].dtype} {arrays[name].shape}, expected "
                    f"{dtype} {shape}; record the run again"
                )
        order, wanted = np.argsort(arrays["index"]), np.argsort(index)
        if not np.array_equal(arrays["index"][order], index[wanted]):
            raise DynamicsError(
                f"{path}: its index is not that of the dynamics beside it; the two files are of "
                "different runs"
            )
        rows = np.empty(n, dtype=np.int64)
        rows[wanted] = order
        return cls(index, arrays["threshold"][:, rows], arrays["aum"][:, rows])


def above_threshold_samples(
    suspicion: NDArray[np.float64], threshold: NDArray[np.bool_], percentile: float = 99.0
) -> NDArray[np.bool_]:
    """Bool [n]: the samples that are more suspicious than nearly all threshold samples.

    The paper flags samples whose AUM is below the 99th percentile of the threshold samples' AUM.
    The suspicion is minus the AUM, so a sample is flagged if its suspicion is above their
    (100 - percentile)th percentile. Threshold samples are never flagged.

    Args:
        suspicion: float64 [n], such as minus the AUM.
        threshold: bool [n], the threshold samples, which were trained with an extra class.
        percentile: in (0, 100).

    Raises:
        DynamicsError: the lengths differ, or no sample or every sample is a threshold sample, or
            a suspicion is not finite.

    Source: see ``draw_threshold_samples``.
    """
    if suspicion.shape != threshold.shape or suspicion.ndim != 1:
        raise DynamicsError(
            f"threshold samples: {suspicion.shape} scores and {threshold.shape} marks; expected "
            "one of each per sample"
        )
    if not threshold.any() or threshold.all():
        raise DynamicsError("threshold samples: none or all are marked; expected some")
    if not np.isfinite(suspicion).all():
        raise DynamicsError("threshold samples: a suspicion is NaN or infinite")
    limit = np.percentile(suspicion[threshold], 100 - percentile)
    flagged: NDArray[np.bool_] = (suspicion > limit) & ~threshold
    return flagged


def _whole(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    yield array
