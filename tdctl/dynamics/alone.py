"""The labels of a ``training_dynamics.npz`` without ``metadata.pth``, as InterpretDL writes it.

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
    """Reads the labels from the file of dynamics itself.

    If the file has no ``index``, row i has index i: InterpretDL sorts its rows by index but does
    not store it. The given label is the first column of ``labels``. A sample that ``label_flip``
    marks is mislabeled; its true label is -1, because the file does not contain it. If
    ``label_flip`` is a Python object, it is not read and the truth is unknown. An example is the
    None that ``TrainingDynamics.save`` writes by default.

    Args:
        path: the npz file.
        columns_nk: its ``labels``, int [n, k].
        index: its ``index``, int [n], or None.

    Raises:
        DynamicsError: the file has no ``label_flip`` (it then belongs to a run folder whose
            ``metadata.pth`` is missing), or its ``label_flip`` does not fit.

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
    """Whether there is a ``label_flip``, and the array; None if it is a Python object."""
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
