"""Finds ids, labels and logits in what another package passes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from tdctl.errors import DynamicsError

__all__ = ["Where", "logits_in", "part_of"]

# A key, a position, or a function of the batch.
Where = str | int | Callable[[Any], Any]


def part_of(batch: Any, where: Where, what: str) -> Any:
    """Part of a batch.

    Args:
        batch: what the data loader gave.
        where: its key, its position, or a function of the batch.
        what: how a message names the part: ``ids`` or ``targets``.

    Raises:
        DynamicsError: the batch has no such part.
    """
    if callable(where):
        return where(batch)
    try:
        return batch[where]
    except (KeyError, IndexError, TypeError):
        if isinstance(batch, Mapping):
            has = f"the keys {', '.join(map(str, batch))}"
        elif isinstance(batch, Sequence):
            has = f"{len(batch)} parts"
        else:
            has = f"type {type(batch).__name__}"
        raise DynamicsError(
            f"recorder: the batch has no {what} at {where!r} (it has {has}); let the data set "
            f"return them, and say where with {what}=, a key, a position or a function of the batch"
        ) from None


def logits_in(output: Any, name: str = "logits") -> torch.Tensor | None:
    """The logits in what a network returns: itself, its key or its attribute; None if not there."""
    if isinstance(output, torch.Tensor):
        return output
    found = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
    return found if isinstance(found, torch.Tensor) else None
