"""Training dynamics: the array and its file, and run folders that hold it with its metadata.

Shape suffixes: n samples, E epochs, k classes (or the k kept columns). Numpy only.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.errors import DynamicsError
from tdctl.files import atomic_path, first_line
from tdctl.labels import Labels
from tdctl.metadata import METADATA_FILE, read_metadata

__all__ = [
    "TD_FILE",
    "TrainingDynamics",
    "read_run",
    "write_td",
]

TD_FILE = "training_dynamics.npz"
# Softmax columns that were rounded to float16 one by one still sum to 1 within this.
SUM_TOLERANCE = 0.05


@dataclass(frozen=True)
class TrainingDynamics:
    """Every sample's softmax at every epoch, the given label's first.

    Attributes:
        td: float16 [n, E, k], probabilities in [0, 1]; column 0 is the given label's, the
            others follow by falling mean probability.
        labels: int [n, k], the class of each column.
        index: int64 [n], the sample's position in the source data set.
        margin: float32 [n, E] or None, the given label's logit minus the largest other.
    """

    td: NDArray[np.float16]
    labels: NDArray[np.integer[Any]]
    index: NDArray[np.int64]
    margin: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.td)

    @property
    def epochs(self) -> int:
        """E, the number of recorded epochs."""
        return int(self.td.shape[1])

    def take(self, rows: NDArray[np.int64]) -> TrainingDynamics:
        """The dynamics of some rows, in that order."""
        margin = None if self.margin is None else self.margin[rows]
        return TrainingDynamics(self.td[rows], self.labels[rows], self.index[rows], margin)

    def given_curve(self) -> NDArray[np.float32]:
        """Float32 [n, E]: the given label's probability over the epochs."""
        return self.td[:, :, 0].astype(np.float32)

    def suggested(self) -> NDArray[np.int64]:
        """Int64 [n]: the class of the largest mean probability over all epochs.

        It is the given label where no other class was more probable; ties go to it.
        """
        if self.td.shape[2] == 1:
            return self.labels[:, 0].astype(np.int64)
        means = self.td[:, :, :2].mean(axis=1, dtype=np.float64)
        column = (means[:, 1] > means[:, 0]).astype(np.int64)
        best: NDArray[np.int64] = self.labels[np.arange(len(self)), column].astype(np.int64)
        return best

    def fingerprint(self) -> str:
        """Hex digest of indices, given labels and given curves, whatever the order of rows."""
        order = np.argsort(self.index)
        digest = hashlib.sha256()
        for array, kind in (
            (self.index[order], "<i8"),
            (self.labels[order, 0], "<i8"),
            (self.td[order, :, 0], "<f2"),
        ):
            digest.update(np.ascontiguousarray(array, dtype=kind).tobytes())
        return digest.hexdigest()


def write_td(
    path: Path,
    probs_EnK: NDArray[np.float16],
    margin_En: NDArray[np.float32],
    labels: Labels,
) -> None:
    """Writes ``training_dynamics.npz`` from what was recorded epoch by epoch.

    The file is written in slabs of rows: host memory does not grow with epochs or samples.

    Args:
        path: the file; it appears whole or not at all.
        probs_EnK: float16 [E, n, k], column c is class c; may be a memory map.
        margin_En: float32 [E, n].
        labels: the n samples, in the order of the rows.
    """
    epochs, n, k = probs_EnK.shape
    column_type = np.int16 if k <= np.iinfo(np.int16).max else np.int32
    columns_nK = np.empty((n, k), dtype=column_type)
    rows_per_slab = max(1, (64 << 20) // max(1, 4 * epochs * k))

    def slabs() -> Iterator[NDArray[np.float16]]:
        for start in range(0, n, rows_per_slab):
            rows = slice(start, min(n, start + rows_per_slab))
            probs_nEK = np.ascontiguousarray(probs_EnK[:, rows].transpose(1, 0, 2))
            rank_nK = -probs_nEK.mean(axis=1, dtype=np.float64)
            rank_nK[np.arange(len(rank_nK)), labels.assigned[rows]] = -np.inf
            order_nK = np.argsort(rank_nK, axis=1, kind="stable")
            columns_nK[rows] = order_nK
            yield np.take_along_axis(probs_nEK, order_nK[:, None, :], axis=2)

    with atomic_path(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        _write_member(archive, "td", (n, epochs, k), np.dtype(np.float16), slabs())
        for name, array in (("labels", columns_nK), ("index", labels.index)):
            _write_member(archive, name, array.shape, array.dtype, iter([array]))
        margins = (
            np.ascontiguousarray(margin_En[:, start : start + rows_per_slab].T)
            for start in range(0, n, rows_per_slab)
        )
        _write_member(archive, "margin", (n, epochs), np.dtype(np.float32), margins)


def _write_member(
    archive: zipfile.ZipFile,
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    slabs: Iterator[NDArray[Any]],
) -> None:
    # A fixed date keeps two runs of the same seed identical to the byte.
    member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
    with archive.open(member, "w", force_zip64=True) as file:
        header = {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": shape,
        }
        np.lib.format.write_array_header_1_0(file, header)
        for slab in slabs:
            file.write(slab.data if slab.size else b"")


def read_run(folder: Path) -> tuple[TrainingDynamics, Labels, NDArray[np.int64]]:
    """Dynamics, labels and held-out indices of a run folder, ours or the published code's.

    Rows come sorted by index, so that nothing that follows depends on the order in the file.

    Raises:
        DynamicsError: a file is missing or malformed, or the two belong to different runs.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "no such run folder"
        raise DynamicsError(f"{folder}: {what}; expected a folder that tdctl generate-td wrote")
    if not (folder / TD_FILE).exists() and (folder / "manifest.json").exists():
        raise DynamicsError(
            f"{folder}: the run is not finished; continue it with tdctl generate-td --resume"
        )
    labels, valid = read_metadata(folder / METADATA_FILE)
    dynamics = _read_td(folder / TD_FILE, labels)
    order = np.argsort(labels.index)
    if (order[1:] < order[:-1]).any():
        dynamics, labels = dynamics.take(order), labels.take(order)
    return dynamics, labels, valid


def _read_td(path: Path, labels: Labels) -> TrainingDynamics:
    try:
        # Opened here, so that the file is closed where numpy finds no archive in it.
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise ValueError("not a zip archive")
            file.seek(0)
            arrays = _arrays(path, np.load(file, allow_pickle=False))
    except FileNotFoundError:
        raise DynamicsError(
            f"{path}: no such file; expected a folder that tdctl generate-td wrote"
        ) from None
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise DynamicsError(
            f"{path}: truncated or not an npz file ({first_line(error)}); record the run again"
        ) from None
    td, columns = arrays["td"], arrays["labels"]
    _check_shapes(path, td, columns, labels)
    td = _epochs_first(td, columns)
    _check_values(path, td, columns, labels)
    index = arrays.get("index", labels.index)
    if not np.array_equal(index, labels.index):
        raise DynamicsError(
            f"{path}: its index is not the train_indices of {METADATA_FILE} beside it; "
            "the two files are of different runs"
        )
    margin = arrays.get("margin")
    if margin is not None and margin.shape != td.shape[:2]:
        raise DynamicsError(f"{path}: margin has shape {margin.shape}, expected {td.shape[:2]}")
    return TrainingDynamics(td.astype(np.float16, copy=False), columns, labels.index, margin)


def _arrays(path: Path, archive: Any) -> dict[str, NDArray[Any]]:
    missing = {"td", "labels"} - set(archive.files)
    if missing:
        raise DynamicsError(f"{path}: no array '{min(missing)}'; found {archive.files}")
    # `label_flip` of InterpretDL's files may hold pickled objects and is never read.
    names = ("td", "labels", "index", "margin")
    return {name: archive[name] for name in names if name in archive.files}


def _check_shapes(path: Path, td: NDArray[Any], columns: NDArray[Any], labels: Labels) -> None:
    if td.ndim != 3 or columns.ndim != 2 or td.dtype.kind != "f" or columns.dtype.kind not in "iu":
        raise DynamicsError(
            f"{path}: td is {td.dtype} {td.shape} and labels {columns.dtype} {columns.shape}; "
            "expected floats [n, epochs, k] and integers [n, k]"
        )
    if columns.shape[1] not in td.shape[1:] or len(columns) != len(td) or 0 in td.shape:
        raise DynamicsError(
            f"{path}: td {td.shape} and labels {columns.shape} do not fit; "
            "expected [n, epochs, k] and [n, k]"
        )
    if len(td) != len(labels):
        raise DynamicsError(
            f"{path}: {len(td)} rows, but {METADATA_FILE} beside it has {len(labels)}; "
            "the two files are of different runs"
        )


def _epochs_first(td: NDArray[Any], columns: NDArray[Any]) -> NDArray[Any]:
    """Td as [n, E, k]: some files state the last two axes the other way."""
    k = columns.shape[1]
    swapped = td.shape[2] != k
    if td.shape[1] == td.shape[2]:
        # As many epochs as classes: only along the class axis do probabilities sum to 1.
        probe = td[:256].astype(np.float64)
        gap = [float(np.abs(probe.sum(axis=axis) - 1).max()) for axis in (2, 1)]
        swapped = gap[0] > SUM_TOLERANCE >= gap[1]
    return np.ascontiguousarray(td.transpose(0, 2, 1)) if swapped else td


def _check_values(path: Path, td: NDArray[Any], columns: NDArray[Any], labels: Labels) -> None:
    bad = ~np.isfinite(td)
    if bad.any():
        row, epoch, _ = (int(i) for i in np.argwhere(bad)[0])
        raise DynamicsError(
            f"{path}: td holds NaN or infinity, first at index {labels.index[row]}, "
            f"epoch {epoch}; every sample needs a value in every epoch"
        )
    if td.min() < 0 or td.max() > 1.001:
        raise DynamicsError(f"{path}: td holds values outside [0, 1]; expected probabilities")
    differ = np.flatnonzero(columns[:, 0] != labels.assigned)
    if len(differ):
        raise DynamicsError(
            f"{path}: labels[:, 0] is not assigned_targets of {METADATA_FILE} in {len(differ)} "
            f"rows, first at index {labels.index[differ[0]]}; the two files are of different runs"
        )
    ordered = np.sort(columns, axis=1)
    if (ordered[:, 1:] == ordered[:, :-1]).any() or ordered[:, 0].min() < 0:
        raise DynamicsError(f"{path}: a row of labels names a class twice or a negative one")
    if labels.true.max() > ordered.max() and ordered.shape[1] > ordered.max():
        raise DynamicsError(
            f"{path}: the true class {labels.true.max()} of {METADATA_FILE} is not among its "
            f"{ordered.shape[1]} classes; the two files are of different runs"
        )
