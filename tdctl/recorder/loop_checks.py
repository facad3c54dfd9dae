"""Checks of the values that a training loop records; each message says what to do.

Shape suffixes: B batch, k classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from tdctl.errors import DynamicsError

__all__ = ["check_lengths", "targets_of", "values_of"]

Values = torch.Tensor | np.ndarray[Any, Any] | Sequence[Any]


def values_of(logits: Values, num_classes: int | None) -> torch.Tensor:
    """The logits as a tensor [B, k], without gradients.

    Raises:
        DynamicsError: they are not floats [B, k].
    """
    found = logits if isinstance(logits, torch.Tensor) else torch.as_tensor(_array(logits))
    if not found.dtype.is_floating_point:
        raise DynamicsError(
            f"recorder: the logits are {found.dtype}; expected floats, the output of the network "
            "before its softmax"
        )
    if found.ndim != 2:
        raise DynamicsError(
            f"recorder: the logits are {list(found.shape)}; expected [batch, classes]; for a "
            "network with a single output z of two classes, record "
            "torch.stack([torch.zeros_like(z), z], dim=1)"
        )
    width = found.shape[1]
    if num_classes is not None and width != num_classes:
        raise DynamicsError(
            f"recorder: the logits have {width} columns; expected {num_classes}, one for each class"
        )
    if width < 2:
        raise DynamicsError(
            "recorder: the logits have 1 column; expected one for each class; for a network with "
            "a single output z of two classes, record torch.cat([torch.zeros_like(z), z], dim=1)"
        )
    return found.detach() if found.requires_grad else found


def _array(values: Any) -> np.ndarray[Any, Any]:
    try:
        found = np.asarray(values)
    except ValueError:  # lists of different lengths
        found = np.zeros(0, object)
    if found.dtype.kind not in "biufc":
        raise DynamicsError(
            "recorder: the logits are no numbers [batch, classes]; expected as many for each sample"
        )
    return found


def targets_of(targets: Values, classes: Mapping[str, int] | None) -> torch.Tensor:
    """The given labels as a tensor of whole numbers [B].

    Args:
        targets: whole numbers; or class names if ``classes`` is given.
        classes: the number of each class name.

    Raises:
        DynamicsError: they are mixed or soft targets, or a class name is unknown.
    """
    if not isinstance(targets, torch.Tensor):
        values = np.asarray(targets)
        if values.dtype.kind in "UO":
            values = _numbers_of(values, classes)
        targets = torch.as_tensor(values)
    if targets.dtype.is_floating_point or targets.ndim == 2:
        raise DynamicsError(
            f"recorder: the targets are {_short(targets.dtype)} {list(targets.shape)}; expected "
            "whole numbers [batch], the given labels; with mixup, cutmix or soft targets, record "
            "before mixing: the logits of the unmixed batch (net.eval() and torch.no_grad()) and "
            "its labels, or switch the mixing off while recording"
        )
    if targets.ndim != 1 or targets.dtype.is_complex or targets.dtype == torch.bool:
        raise DynamicsError(
            f"recorder: the targets are {_short(targets.dtype)} {list(targets.shape)}; expected "
            "whole numbers [batch], the given labels"
        )
    return targets


def _numbers_of(values: np.ndarray[Any, Any], classes: Mapping[str, int] | None) -> Any:
    if classes is None:
        raise DynamicsError(
            f"recorder: the target {str(values.flat[0])!r} is no whole number; give class_names, "
            "or record class numbers from 0"
        )
    try:
        return np.asarray([classes[str(value)] for value in values], dtype=np.int64)
    except KeyError as error:
        raise DynamicsError(f"recorder: the target {error} is not among the class_names") from None


def check_lengths(rows_B: torch.Tensor, logits_BK: torch.Tensor, targets_B: torch.Tensor) -> None:
    """Refuses ids, logits and targets of different lengths.

    Raises:
        DynamicsError: the message names the three lengths.
    """
    if rows_B.ndim != 1 or not len(rows_B) == len(logits_BK) == len(targets_B):
        ids = list(rows_B.shape) if rows_B.ndim != 1 else len(rows_B)
        raise DynamicsError(
            f"recorder: {ids} ids, {len(logits_BK)} rows of logits and {len(targets_B)} targets; "
            "expected one of each for every sample of the batch"
        )


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
