"""A plain training with cross-entropy that shows each step, for ``adapters.interpretdl``.

Shape suffixes: n samples, E epochs, k classes, B batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import default_collate

from tdctl.errors import DynamicsError, TrainingError

__all__ = ["Progress", "Shown", "bridged", "trained"]

# Number of the epoch, its mean loss, its accuracy.
Progress = Callable[[int, float, float], None]

PARTS = 3


@dataclass(frozen=True)
class Shown:
    """What the model said of a batch.

    Attributes:
        epoch: its number, from 0.
        indices: B numbers of samples.
        logits: float [B, k], without gradients.
        targets: int64 [B], the given labels.
    """

    epoch: int
    indices: list[int]
    logits: torch.Tensor
    targets: torch.Tensor


def trained(
    model: nn.Module,
    device: torch.device,
    loader: Iterable[Any],
    optimizer: torch.optim.Optimizer,
    epochs: int,
    keep: Callable[[Shown], None],
    scheduler: Any,
    progress: Progress | None,
) -> None:
    """Trains a model, and calls ``keep`` for each batch before its step changes the model.

    Raises:
        TrainingError: the loss is not finite.
        DynamicsError: there was no batch, or it is not (indices, x, y).
    """
    model.to(device).train()
    for epoch in range(epochs):
        loss_sum, right, samples = torch.zeros((), device=device), 0, 0
        for step, batch in enumerate(loader):
            indices, x, targets = _parts(batch, device)
            logits = model(x)
            loss = nn.functional.cross_entropy(logits, targets)
            if not torch.isfinite(loss):
                raise TrainingError(
                    f"epoch {epoch}, batch {step}: the loss is not finite; lower the learning rate"
                )
            keep(Shown(epoch, indices, logits.detach(), targets))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            loss_sum += loss.detach() * len(targets)
            right += int((logits.argmax(dim=1) == targets).sum())
            samples += len(targets)
        if not samples:
            raise DynamicsError(f"epoch {epoch}: the loader gave no batch")
        if scheduler is not None:
            scheduler.step()
        if progress is not None:
            progress(epoch, float(loss_sum) / samples, right / samples)


def _parts(batch: Any, device: torch.device) -> tuple[list[int], torch.Tensor, torch.Tensor]:
    """The indices, x and y of a batch: of a list of samples, or (indices, x, y)."""
    if isinstance(batch, list) and batch and isinstance(batch[0], tuple):
        batch = default_collate(batch)
    if len(batch) != PARTS:
        raise DynamicsError(
            f"a batch has {len(batch)} parts; expected (indices, x, y): wrap the data set in "
            "tdctl.IndexedDataset"
        )
    indices, x, targets = (torch.as_tensor(part) for part in batch)
    return indices.tolist(), x.to(device), targets.to(device).long().reshape(-1)


def bridged(probs: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Fills epochs that did not show a sample with the epoch before, or with the first shown.

    Args:
        probs: float [n, E, k]; NaN in epochs that did not show the sample.
    """
    shown = ~np.isnan(probs).any(axis=2)
    if shown.all():
        return probs
    epochs = np.arange(probs.shape[1])
    before = np.maximum.accumulate(np.where(shown, epochs, -1), axis=1)
    source = np.where(before < 0, shown.argmax(axis=1)[:, None], before)
    return np.take_along_axis(probs, source[:, :, None], axis=1)
