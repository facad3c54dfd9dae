"""Collects the tensors of several batches, so that they are processed together.

A small batch then costs a copy of each tensor, not twenty small operations.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

__all__ = ["Batches"]

# The number of logits that are collected. On a CPU they should fit into its cache.
COLLECTED = {"cpu": 1 << 17}
COLLECTED_ELSEWHERE = 1 << 24
MOST_PLACES = 100


class Batches:
    """Places for the tensors of batches of one shape, which are filled one after the other.

    Attributes:
        places: for each batch, the tensors to copy into.
        filled: how many of them are filled.
    """

    def __init__(
        self, device: torch.device, width: int, numbers_on: Sequence[torch.device]
    ) -> None:
        """Makes no place yet; ``fit`` does.

        Args:
            device: where the logits are.
            width: k, the number of logits of a sample.
            numbers_on: for each column of whole numbers beside the logits, its device.
        """
        self._width = width
        self._values = COLLECTED.get(device.type, COLLECTED_ELSEWHERE)
        self._numbers = [torch.empty(0, dtype=torch.int64, device=one) for one in numbers_on]
        self._logits_SK = torch.empty(0, width, device=device)
        self._count = 0
        self.places: list[tuple[torch.Tensor, ...]] = []
        self.filled = 0

    def fit(self, count: int) -> None:
        """Prepares places for batches of ``count`` samples, so that a batch needs no new views.

        The places must be empty.
        """
        places = min(MOST_PLACES, max(1, self._values // max(1, count * self._width)))
        if places * count > len(self._logits_SK):
            size = places * count
            self._numbers = [column.new_empty(size) for column in self._numbers]
            self._logits_SK = self._logits_SK.new_empty(size, self._width)
        parts = [slice(i * count, (i + 1) * count) for i in range(places)]
        columns = (*self._numbers, self._logits_SK)
        self.places = [tuple(column[part] for column in columns) for part in parts]
        self._count = count

    def take(self) -> Sequence[torch.Tensor]:
        """What was collected, the whole numbers [S] and then the logits [S, k]; empties the places.

        The tensors are overwritten by the next batches.
        """
        stop, self.filled = self.filled * self._count, 0
        return [column[:stop] for column in (*self._numbers, self._logits_SK)]
