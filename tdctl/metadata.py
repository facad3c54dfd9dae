"""``metadata.pth``: the samples that a run was trained on, and their labels.

The file has torch's format. torch is imported only to read or write it.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.errors import DynamicsError
from tdctl.files import load_tensors, save_tensors
from tdctl.labels import Labels

__all__ = ["METADATA_FILE", "read_metadata", "write_metadata"]

METADATA_FILE = "metadata.pth"
METADATA_KEYS = (
    "train_indices",
    "valid_indices",
    "true_targets",
    "assigned_targets",
    "label_flipped",
)


def write_metadata(path: Path, labels: Labels, valid_indices: NDArray[np.int64]) -> None:
    """Writes ``metadata.pth``, the whole file or nothing. Rows are in the order of ``labels``.

    Args:
        path: the file.
        labels: the labels of the n training samples.
        valid_indices: int64 [v], the indices of the held-out samples.

    Source: the keys, types and order are those of the published code of Jia et al. (AAAI 2023).
    """
    import torch

    arrays = (labels.index, valid_indices, labels.true, labels.assigned, labels.flipped)
    tensors = (torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)
    save_tensors(path, OrderedDict(zip(METADATA_KEYS, tensors, strict=True)))


def read_metadata(path: Path) -> tuple[Labels, NDArray[np.int64]]:
    """Reads the labels of the training samples and the indices of the held-out samples.

    Raises:
        DynamicsError: the file is missing, is not metadata, holds other objects than tensors, or
            its arrays do not fit together.
    """
    import torch

    try:
        content = load_tensors(path)
    except FileNotFoundError:
        raise DynamicsError(
            f"{path}: no such file; expected a folder that tdctl generate-td wrote"
        ) from None
    except ValueError as error:
        raise DynamicsError(
            f"{path}: not a metadata file of tensors ({error}); nothing was executed"
        ) from None
    if not isinstance(content, dict) or not set(METADATA_KEYS) <= set(content):
        raise DynamicsError(f"{path}: expected the keys {', '.join(METADATA_KEYS)}")
    arrays: dict[str, NDArray[Any]] = {}
    for key in METADATA_KEYS:
        value = content[key]
        if not isinstance(value, torch.Tensor) or value.ndim != 1 or value.dtype not in _whole():
            raise DynamicsError(f"{path}: {key} is not a one-dimensional tensor of whole numbers")
        arrays[key] = value.numpy()
        if len(arrays[key]) and arrays[key].min() < 0:
            raise DynamicsError(f"{path}: {key} holds a negative number")
    train = [arrays[key] for key in ("train_indices", "assigned_targets", "true_targets")]
    if len({len(array) for array in train} | {len(arrays["label_flipped"])}) != 1:
        lengths = ", ".join(f"{key} {len(arrays[key])}" for key in METADATA_KEYS)
        raise DynamicsError(f"{path}: rows differ ({lengths}); expected one per training sample")
    labels = Labels(*(array.astype(np.int64) for array in train))
    if not np.array_equal(labels.flipped, arrays["label_flipped"].astype(np.bool_)):
        raise DynamicsError(
            f"{path}: label_flipped does not say where assigned_targets differ from true_targets"
        )
    return labels, arrays["valid_indices"].astype(np.int64)


def _whole() -> set[Any]:
    import torch

    return {torch.bool, torch.uint8, torch.int16, torch.int32, torch.int64}
