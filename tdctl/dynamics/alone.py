"""The labels of a ``training_dynamics.npz`` that stands alone, as InterpretDL writes it.

Shape suffixes: n samples, k classes. Numpy only.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.errors import DynamicsError
from tdctl.files import first_line
from tdctl.labels import Labels
from tdctl.metadata import METADATA_FILE
from tdctl.slabs import HEADERS, Array

__all__ = ["labels_alone"]

FLIP = "label_flip"


def labels_alone(path: Path, columns_nk: Array, index: Array | None) -> Labels:
    """What the file itself says of its labels.

    Row i is index i, as InterpretDL sorts by index and names none, unless the file has ``index``.
    The given label is the first of ``labels``. What ``label_flip`` marks is wrong, with a true
    label of -1: the right one is not in the file. Where it is a Python object, such as the None
    that ``TrainingDynamics.save`` writes by default, it is not read, and the truth is unknown.

    Args:
        path: of the npz file.
        columns_nk: its ``labels``, int [n, k].
        index: its ``index``, int [n], or None.

    Raises:
        DynamicsError: it has no ``label_flip``, so that it is a half of a run folder, or one that
            does not fit.

    Source: ``TrainingDynamics.save`` in ``interpretdl/interpreter/training_dynamics.py`` of
        PaddlePaddle/InterpretDL.
    """
    found, flip = _flip(path)
    if not found:
        raise DynamicsError(
            f"{path.with_name(METADATA_FILE)}: no such file, and {path.name} has no {FLIP}, as one "
            "of InterpretDL would; expected a folder that tdctl generate-td wrote"
        )
    if columns_nk.ndim != 2 or columns_nk.dtype.kind not in "iu" or 0 in columns_nk.shape:
        raise DynamicsError(
            f"{path}: labels is {columns_nk.dtype} {columns_nk.shape}; expected integers [n, k]"
        )
    n = len(columns_nk)
    rows = np.arange(n) if index is None else np.asarray(index)
    if rows.shape != (n,) or rows.dtype.kind not in "iu":
        raise DynamicsError(f"{path}: index is {rows.dtype} {rows.shape}, expected integers [{n}]")
    if len(np.unique(rows)) < n or (n and rows.min() < 0):
        raise DynamicsError(f"{path}: index names a sample twice, or a negative one")
    given = columns_nk[:, 0].astype(np.int64)
    if flip is None:
        return Labels(rows.astype(np.int64), given, given)
    if flip.shape != (n,) or flip.dtype.kind not in "biu" or not np.isin(flip, (0, 1)).all():
        raise DynamicsError(f"{path}: {FLIP} is {flip.dtype} {flip.shape}, expected bool [{n}]")
    return Labels(rows.astype(np.int64), given, np.where(flip.astype(np.bool_), -1, given))


def _flip(path: Path) -> tuple[bool, NDArray[Any] | None]:
    """Whether there is a ``label_flip``, and it; None where it is a Python object."""
    try:
        with zipfile.ZipFile(path) as archive:
            if f"{FLIP}.npy" not in archive.namelist():
                return False, None
            with archive.open(f"{FLIP}.npy") as member:
                header = HEADERS.get(np.lib.format.read_magic(member))
                if header is None:
                    raise ValueError("its npy format is unknown")
                if header(member)[2].hasobject:
                    return True, None
            with archive.open(f"{FLIP}.npy") as member:
                return True, np.lib.format.read_array(member, allow_pickle=False)
    except (ValueError, zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError) as error:
        raise DynamicsError(
            f"{path}: its {FLIP} cannot be read ({first_line(error)}); record the run again"
        ) from None
