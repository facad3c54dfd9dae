"""Checks that an epoch was recorded completely and from logits."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.errors import DynamicsError
from tdctl.recorder.epoch_rows import EpochRows
from tdctl.recorder.probabilities import FEW

__all__ = ["check_epoch"]


def check_epoch(rows: EpochRows, index: NDArray[np.int64], epoch: int) -> None:
    """Refuses an epoch that did not see every sample exactly once, with finite logits.

    Args:
        rows: the epoch, settled.
        index: int64 [n], the samples in the order of the rows.
        epoch: its number, for the message.

    Raises:
        DynamicsError: the message names the epoch and the first index that is wrong.
    """
    seen = rows.times_seen.cpu().numpy()
    if seen[-1]:
        raise DynamicsError(
            f"recorder, epoch {epoch}: {seen[-1]} recorded samples have an index that is not "
            "among the labels given at the start"
        )
    wrong = np.flatnonzero(seen[:-1] != 1)
    if len(wrong):
        raise DynamicsError(
            f"recorder, epoch {epoch}: index {index[wrong[0]]} was recorded "
            f"{seen[wrong[0]]} times ({len(wrong)} such samples); expected each once"
        )
    bad = _not_finite((rows.margin + rows.loss)[:-1])
    if len(bad):
        raise DynamicsError(
            f"recorder, epoch {epoch}: the logits of index {index[bad[0]]} are "
            f"not finite ({len(bad)} such samples); the training has diverged, lower its rate"
        )
    # With one class, logits and probabilities cannot be told apart.
    if len(index) >= FEW and rows.num_classes > 1 and bool(rows.like_probs[:-1].all()):
        raise DynamicsError(
            f"recorder, epoch {epoch}: these are probabilities, not logits (all {len(index)} rows "
            "are >= 0 and sum to 1); record what the network gives before its softmax, or "
            "log-probabilities, or call record with probabilities=True"
        )


def _not_finite(values_n: torch.Tensor) -> NDArray[np.int64]:
    return np.flatnonzero(~torch.isfinite(values_n).cpu().numpy())
