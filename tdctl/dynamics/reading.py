"""Reading run folders, ours or the published code's, without holding what is large.

Shape suffixes: n samples, E epochs, k classes (or the k kept columns). Numpy only.
"""

from __future__ import annotations

import struct
import tempfile
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from tdctl.dynamics.alone import labels_alone
from tdctl.dynamics.td import TrainingDynamics
from tdctl.errors import DynamicsError
from tdctl.files import first_line
from tdctl.labels import Labels
from tdctl.metadata import METADATA_FILE, read_metadata
from tdctl.slabs import ArrayFile, array_at, rows_per_slab, slabs_of

__all__ = ["HELDOUT_FILE", "TD_FILE", "read_run"]

TD_FILE = "training_dynamics.npz"
HELDOUT_FILE = "heldout_dynamics.npz"
# Softmax columns that were rounded to float16 one by one still sum to 1 within this.
SUM_TOLERANCE = 0.05
# Samples, evenly spaced, on which td is compared with what else is recorded, and how far the given
# label's probability may lie below what its loss says.
PROBED, LOSS_TOLERANCE = 256, 0.05
# The bits of the float16 next above 1; those of all probabilities are no larger numbers.
LARGEST_BITS = 0x3C01
MOST_CLASSES = 1_000_000
REQUIRED = ("td", "labels")
KEPT = ("other", "other_class", "mean", "mean_class")
EXTRAS = ("margin", "loss", "neighbours")
NAMES = (*REQUIRED, "index", *EXTRAS, *KEPT)
Arrays = dict[str, ArrayFile]


def read_run(folder: Path) -> tuple[TrainingDynamics, Labels, NDArray[np.int64]]:
    """Dynamics, labels and held-out indices of a folder of ours, the published code or InterpretDL.

    Rows come sorted by index, so that nothing that follows depends on the order in the file.
    The arrays with a value for every epoch or class stay in the file, which is checked whole.
    Where ``heldout_dynamics.npz`` stands beside it, the dynamics have ``heldout``.

    InterpretDL writes no ``metadata.pth``; its file stands for itself (``labels_alone``). In one
    that has ``metadata.pth`` beside it, ``label_flip`` is not read.

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
    path, metadata = folder / TD_FILE, folder / METADATA_FILE
    valid = np.zeros(0, dtype=np.int64)
    if metadata.exists() or not path.exists():
        labels, valid = read_metadata(metadata)
        arrays = _arrays(path)
    else:
        arrays = _arrays(path)
        labels = labels_alone(path, arrays["labels"], arrays.get("index"))
    dynamics = _checked(path, arrays, labels)
    if (folder / HELDOUT_FILE).exists():
        dynamics = replace(dynamics, heldout=_heldout(folder / HELDOUT_FILE, dynamics, labels))
    order = np.argsort(labels.index)
    if (order[1:] < order[:-1]).any():
        dynamics, labels = dynamics.take(order), labels.take(order)
    return dynamics, labels, valid


def _heldout(path: Path, seen: TrainingDynamics, labels: Labels) -> TrainingDynamics:
    heldout = _checked(path, _arrays(path), labels)
    if heldout.td.shape != seen.td.shape:
        raise DynamicsError(
            f"{path}: td is {heldout.td.shape}, that of {TD_FILE} beside it {seen.td.shape}; "
            "the two files are of different runs"
        )
    return heldout


def _arrays(path: Path) -> Arrays:
    try:
        with zipfile.ZipFile(path) as archive:
            return _members(path, archive)
    except FileNotFoundError:
        raise DynamicsError(
            f"{path}: no such file; expected a folder that tdctl generate-td wrote"
        ) from None
    except (ValueError, zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError) as error:
        raise DynamicsError(
            f"{path}: truncated or not an npz file ({first_line(error)}); record the run again"
        ) from None


def _checked(path: Path, arrays: Arrays, labels: Labels) -> TrainingDynamics:
    """The dynamics, if the arrays fit together and with the labels."""
    td, columns = arrays["td"], arrays["labels"]
    _check_shapes(path, td, columns, labels)
    td = (td.swapped() if _is_swapped(td, columns) else td).cast(np.float16)
    _check_values(path, td, labels)
    _check_columns(path, columns, labels, all_classes="mean" not in arrays)
    if "index" in arrays and not np.array_equal(np.asarray(arrays["index"]), labels.index):
        raise DynamicsError(
            f"{path}: its index is not the train_indices of {METADATA_FILE} beside it; "
            "the two files are of different runs"
        )
    extras: dict[str, Any] = {name: arrays[name] for name in (*EXTRAS, *KEPT) if name in arrays}
    _check_extras(path, td, extras)
    _check_softmax(path, td, labels, extras)
    return TrainingDynamics(td, columns, labels.index, **extras)


def _members(path: Path, archive: zipfile.ZipFile) -> Arrays:
    found = [name.removesuffix(".npy") for name in archive.namelist()]
    missing = set(REQUIRED) - set(found)
    if missing:
        raise DynamicsError(f"{path}: no array '{min(missing)}'; found {found}")
    names = (name for name in NAMES if name in found)
    return {name: _member(path, archive, f"{name}.npy") for name in names}


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> ArrayFile:
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        array, reverse, _ = array_at(_unpacked(path, archive, info))
        return _in_order(array) if reverse else array
    file = path.open("rb")
    try:
        file.seek(info.header_offset)
        sizes = struct.unpack("<26xHH", file.read(30))
    except (struct.error, OSError):
        file.close()
        raise
    file.seek(info.header_offset + 30 + sum(sizes))
    array, reverse, start = array_at(file)
    if array.offset + array.nbytes - start != info.file_size:
        raise ValueError(f"{name} has another size than its header says")
    if array.checksum(start) != info.CRC:
        raise ValueError(f"the checksum of {name} is wrong")
    return _in_order(array) if reverse else array


def _unpacked(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> BinaryIO:
    """A nameless file, gone with the process, that can be mapped as the packed one cannot."""
    file: Any = tempfile.TemporaryFile()  # noqa: SIM115  the array takes it over
    try:
        with archive.open(info) as packed:
            while piece := packed.read(1 << 20):
                _write_on(file, piece, path, info)
        file.seek(0)
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError, OSError, DynamicsError):
        file.close()
        raise
    return file  # type: ignore[no-any-return]


def _write_on(file: BinaryIO, piece: bytes, path: Path, info: zipfile.ZipInfo) -> None:
    try:
        file.write(piece)
        file.flush()
    except OSError as error:
        raise DynamicsError(
            f"{path}: {info.filename} unpacks to {info.file_size / 1e9:.1f} GB in "
            f"{tempfile.gettempdir()}, which failed ({error.strerror}); let TMPDIR name a folder "
            "with room"
        ) from None


def _in_order(array: ArrayFile) -> ArrayFile:
    """An array whose axes were stored in the reverse order, in a file of its own."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  the array takes it over
    file.truncate(array.nbytes)
    ordered = ArrayFile(file, 0, array.dtype, array.shape[::-1], writable=True)
    for start, stop in slabs_of(len(ordered), rows_per_slab(ordered)):
        ordered.block(start, stop)[...] = array.whole().T[start:stop]
    return ordered


def _check_shapes(path: Path, td: ArrayFile, columns: ArrayFile, labels: Labels) -> None:
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


def _is_swapped(td: ArrayFile, columns: ArrayFile) -> bool:
    """Whether td is [n, k, E]: some files state the last two axes the other way."""
    if td.shape[1] != td.shape[2]:
        return td.shape[2] != columns.shape[1]
    # As many epochs as classes: only along the class axis do probabilities sum to 1.
    probe = td[:256].astype(np.float64)
    gap = [float(np.abs(probe.sum(axis=axis) - 1).max()) for axis in (2, 1)]
    return gap[0] > SUM_TOLERANCE >= gap[1]


def _check_values(path: Path, td: ArrayFile, labels: Labels) -> None:
    for start, stop in slabs_of(len(td), rows_per_slab(td)):
        with np.errstate(over="ignore"):
            slab = td[start:stop]
        # As whole numbers, negative values, infinity and NaN are all larger than those of [0, 1].
        if slab.view(np.uint16).max() <= LARGEST_BITS:
            continue
        bad = ~np.isfinite(slab)
        if bad.any():
            row, epoch, _ = (int(i) for i in np.argwhere(bad)[0])
            raise DynamicsError(
                f"{path}: td holds NaN or infinity, first at index {labels.index[start + row]}, "
                f"epoch {epoch}; every sample needs a value in every epoch"
            )
        if slab.min() < 0 or slab.max() > 1.001:
            raise DynamicsError(f"{path}: td holds values outside [0, 1]; expected probabilities")


def _check_columns(path: Path, columns: ArrayFile, labels: Labels, all_classes: bool) -> None:
    largest = 0
    for start, stop in slabs_of(len(columns), rows_per_slab(columns)):
        slab = columns[start:stop]
        differ = np.flatnonzero(slab[:, 0] != labels.assigned[start:stop])
        if len(differ):
            raise DynamicsError(
                f"{path}: labels[:, 0] is not assigned_targets of {METADATA_FILE}, first at index "
                f"{labels.index[start + differ[0]]}; the two files are of different runs"
            )
        ordered = np.sort(slab, axis=1)
        if (ordered[:, 1:] == ordered[:, :-1]).any() or ordered[:, 0].min() < 0:
            raise DynamicsError(f"{path}: a row of labels names a class twice or a negative one")
        largest = max(largest, int(ordered.max()))
    if largest >= MOST_CLASSES:
        raise DynamicsError(
            f"{path}: labels names the class {largest}; expected numbers from 0 to "
            f"{MOST_CLASSES - 1}"
        )
    if all_classes and labels.true.max() > largest and columns.shape[1] > largest:
        raise DynamicsError(
            f"{path}: the true class {labels.true.max()} of {METADATA_FILE} is not among its "
            f"{columns.shape[1]} classes; the two files are of different runs"
        )


def _check_extras(path: Path, td: ArrayFile, extras: dict[str, ArrayFile]) -> None:
    n, epochs = td.shape[:2]
    kept = [name for name in KEPT if name in extras]
    if kept and len(kept) < len(KEPT):
        raise DynamicsError(f"{path}: has {', '.join(kept)}; expected {', '.join(KEPT)}")
    expected: dict[str, tuple[int, ...]] = dict.fromkeys(EXTRAS, (n, epochs))
    if kept:
        others, means = extras["other_class"].shape[-1], extras["mean_class"].shape[-1]
        expected |= {"other": (n, epochs, others), "other_class": (n, epochs, others)}
        expected |= {"mean": (n, means), "mean_class": (n, means)}
    for name, array in extras.items():
        if array.shape != expected[name] or array.dtype.kind not in "fiu" or 0 in array.shape:
            raise DynamicsError(
                f"{path}: {name} is {array.dtype} {array.shape}, expected {expected[name]}"
            )


def _check_softmax(path: Path, td: ArrayFile, labels: Labels, extras: dict[str, ArrayFile]) -> None:
    """Refuses a td that is no softmax over its classes, or not the given label's first."""
    rows = np.arange(0, len(td), max(1, len(td) // PROBED))
    probe = np.asarray(td.take(rows), dtype=np.float64)
    # A file may hold the given label's column alone.
    if probe.shape[2] > 1 and "mean" not in extras:
        sums = probe.sum(axis=2)
        row, epoch = np.unravel_index(np.abs(sums - 1).argmax(), sums.shape)
        if abs(sums[row, epoch] - 1) > SUM_TOLERANCE:
            raise DynamicsError(
                f"{path}: td sums to {sums[row, epoch]:.2f} over the classes at index "
                f"{labels.index[rows[row]]}, epoch {epoch}; expected a softmax over all of them; "
                "record the run again"
            )
    if "loss" in extras:
        # Of several networks both are means, and a mean of probabilities is no smaller than the
        # probability of the mean loss.
        told = np.exp(-np.asarray(extras["loss"].take(rows), dtype=np.float64))
        low = (probe[:, :, 0] < told - LOSS_TOLERANCE).any(axis=1)
        if low.any():
            raise DynamicsError(
                f"{path}: td's first column is not the probability of the given label that its "
                f"loss tells of, first at index {labels.index[rows[low.argmax()]]}; its columns "
                "are in another order, or the file was changed; record the run again"
            )
