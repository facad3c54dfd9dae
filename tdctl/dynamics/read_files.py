"""Reads run folders of tdctl or of the published code; large arrays stay in their files.

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
from tdctl.dynamics.check_arrays import (
    EXTRAS,
    FINAL,
    KEPT,
    check_columns,
    check_extras,
    check_shapes,
    check_softmax,
    check_values,
    is_swapped,
)
from tdctl.dynamics.td import TrainingDynamics
from tdctl.errors import DynamicsError
from tdctl.files import RECORDER, first_line, read_json
from tdctl.labels import Labels
from tdctl.metadata import METADATA_FILE, read_metadata
from tdctl.slabs import ArrayFile, array_at, rows_per_slab, slabs_of

__all__ = ["FEATURE_SCORES_FILE", "HELDOUT_FILE", "TD_FILE", "read_run"]

TD_FILE = "training_dynamics.npz"
HELDOUT_FILE = "heldout_dynamics.npz"
FEATURE_SCORES_FILE = "feature_scores.npz"
REQUIRED = ("td", "labels")
NAMES = (*REQUIRED, "index", *EXTRAS, *KEPT, FINAL)
Arrays = dict[str, ArrayFile]


def read_run(folder: Path | str) -> tuple[TrainingDynamics, Labels, NDArray[np.int64]]:
    """Reads a run folder written by tdctl, the published code or InterpretDL.

    Rows are sorted by index, so that no later result depends on the order in the file. Arrays
    with a value for every epoch or class stay in the file, but all of it is checked. If the
    folder has ``heldout_dynamics.npz``, the dynamics have ``heldout``.

    InterpretDL writes no ``metadata.pth``; then the labels come from the file of dynamics itself
    (``labels_alone``). If there is a ``metadata.pth``, ``label_flip`` is not read.

    Args:
        folder: the run folder.

    Returns:
        The dynamics of n samples; their labels, row by row; and the indices of the held-out
        images, int64 [m].

    Raises:
        DynamicsError: a file is missing or malformed, or the files belong to different runs.
        RunError: ``training_dynamics.npz`` is missing and the manifest cannot be read.

    Example::

        >>> dynamics, labels, valid_indices = tdctl.read_run("runs/a")
        >>> dynamics.td.shape
        (60, 12, 5)
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "no such run folder"
        raise DynamicsError(f"{folder}: {what}; expected a folder that tdctl generate-td wrote")
    manifest = folder / "manifest.json"
    if not (folder / TD_FILE).exists() and manifest.exists():
        facts = read_json(manifest)
        if facts.get("command") == RECORDER and facts.get("status") != "complete":
            raise DynamicsError(
                f"{folder}: the recording is not finished; go on with it in your own training "
                "loop, or call tdctl.Recorder.complete to rank the epochs that there are"
            )
        if facts.get("status") == "complete" and facts.get("command") == "train":
            raise DynamicsError(
                f"{folder / TD_FILE}: is missing: with --record none a training records nothing; "
                "train it again with --record first --overwrite, or bring the file back"
            )
        if facts.get("status") == "complete":
            raise DynamicsError(
                f"{folder / TD_FILE}: is missing, though the run was finished; bring it back, or "
                "record the run again with --overwrite"
            )
        raise DynamicsError(
            f"{folder}: the run is not finished; continue it with tdctl generate-td --resume, or "
            "let tdctl report or tdctl show rank the epochs that are over"
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
    if (folder / FEATURE_SCORES_FILE).exists():
        dynamics = replace(dynamics, **_feature_scores(folder / FEATURE_SCORES_FILE, labels))
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


def _feature_scores(path: Path, labels: Labels) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as found:
            index, scores = found["index"], {name: found[name] for name in ("knn", "centre")}
    except (ValueError, KeyError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise DynamicsError(
            f"{path}: truncated or malformed ({first_line(error)}); record the run again"
        ) from None
    whole = all(one.shape == index.shape and np.isfinite(one).all() for one in scores.values())
    if not (np.array_equal(index, labels.index) and whole):
        raise DynamicsError(
            f"{path}: is not of the samples of {METADATA_FILE} beside it; record the run again"
        )
    return {name: one.astype(np.float32) for name, one in scores.items()}


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
    """The dynamics, after a check that the arrays fit together and to the labels."""
    td, columns = arrays["td"], arrays["labels"]
    check_shapes(path, td, columns, labels)
    td = (td.swapped() if is_swapped(td, columns) else td).cast(np.float16)
    check_values(path, td, labels)
    check_columns(path, columns, labels, all_classes="mean" not in arrays)
    if "index" in arrays and not np.array_equal(np.asarray(arrays["index"]), labels.index):
        raise DynamicsError(
            f"{path}: its index is not the train_indices of {METADATA_FILE} beside it; "
            "the two files are of different runs"
        )
    more = (*EXTRAS, *KEPT, FINAL)
    extras: dict[str, Any] = {name: arrays[name] for name in more if name in arrays}
    check_extras(path, td, extras)
    check_softmax(path, td, columns, labels, extras)
    if FINAL in extras:
        extras[FINAL] = _final_margin(path, extras[FINAL])
    return TrainingDynamics(td, columns, labels.index, **extras)


def _final_margin(path: Path, array: ArrayFile) -> NDArray[np.float32]:
    margin = np.asarray(array, dtype=np.float32)
    if not np.isfinite(margin).all():
        raise DynamicsError(f"{path}: {FINAL} holds NaN or infinity; record the run again")
    return margin


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
    """An unpacked copy in a temporary file, because a packed array cannot be memory-mapped."""
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
    """A copy, in a temporary file, of an array whose axes were stored in reverse order."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  the array takes it over
    file.truncate(array.nbytes)
    ordered = ArrayFile(file, 0, array.dtype, array.shape[::-1], writable=True)
    for start, stop in slabs_of(len(ordered), rows_per_slab(ordered)):
        ordered.block(start, stop)[...] = array.whole().T[start:stop]
    return ordered
