"""The recorded rows of one epoch, on the same device as the logits.

Shape suffixes: n samples, k classes, B batch, S collected samples, m rows seen here.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from tdctl.dynamics import Store
from tdctl.errors import DynamicsError
from tdctl.labels import Labels
from tdctl.recorder.batches import Batches
from tdctl.recorder.measures import Measures, all_classes, largest_classes
from tdctl.recorder.probabilities import logits_of

__all__ = ["EpochRows"]


class EpochRows:
    """What one process saw of an epoch: one row per sample, and how often each was recorded.

    The softmax is kept as float16, as in the file of the full store. So a store that keeps only
    some classes suggests labels from the same numbers, and memory is half of that for float32.

    With very many classes, and a store that keeps only some of them, the others are dropped
    immediately.

    Row n is for samples with an unknown index. They are then found without waiting for the device
    in every step. The attributes contain what was recorded up to the last ``settle``.

    Attributes:
        num_classes: k.
        probs: float16 [n + 1, k], the softmax; column c is class c. Or float16 [n + 1, 1 + K]: the
            given label's probability, then the K largest others in falling order.
        other_class: int32 [n + 1, K], the classes of these K; None if all classes are kept.
        margin: float32 [n + 1], the given label's logit minus the largest other logit.
        loss: float32 [n + 1], cross-entropy of the given label, in nats.
        entropy: float16 [n + 1], entropy of the softmax in nats; None with the store ``full``, of
            which it can be computed.
        like_probs: uint8 [n + 1], 1 if the logits are >= 0 and sum to 1, as probabilities do.
        times_seen: int32 [n + 1], how often the sample was recorded in this epoch.
        given: int64 [n + 1], the given labels.
    """

    def __init__(
        self,
        labels: Labels,
        num_classes: int,
        device: torch.device | str,
        store: Store = Store("full", 0),  # noqa: B008 - it cannot be changed
    ) -> None:
        classes = labels.assigned
        if len(labels) == 0 or classes.min() < 0 or classes.max() >= num_classes:
            spans = f" with the labels {classes.min()} to {classes.max()}" if len(labels) else ""
            raise DynamicsError(
                f"recorder: {len(labels)} samples{spans}, {num_classes} classes; expected at least "
                "one sample, and labels from 0 to below the number of classes; leave out samples "
                "without a label"
            )
        n, device = len(labels), torch.device(device)
        self._others = 0 if store.sums else store.others
        held = 1 + self._others if self._others else num_classes
        self.probs = torch.empty(n + 1, held, dtype=torch.float16, device=device)
        self.other_class: torch.Tensor | None = None
        if self._others:
            self.other_class = torch.empty(n + 1, self._others, dtype=torch.int32, device=device)
        self.margin = torch.empty(n + 1, dtype=torch.float32, device=device)
        self.loss = torch.empty(n + 1, dtype=torch.float32, device=device)
        self.entropy: torch.Tensor | None = None
        if store.others:
            self.entropy = torch.empty(n + 1, dtype=torch.float16, device=device)
        self.like_probs = torch.zeros(n + 1, dtype=torch.uint8, device=device)
        self.times_seen = torch.zeros(n + 1, dtype=torch.int32, device=device)
        given = torch.zeros(n + 1, dtype=torch.int64)
        given[:-1] = torch.from_numpy(labels.assigned)
        self.given = given.to(device)
        # Place 0 is for negative indices, and the last place for indices that are too large.
        self._largest = int(labels.index.max()) + 1
        lookup = torch.full((self._largest + 2,), n, dtype=torch.int64)
        lookup[torch.from_numpy(labels.index) + 1] = torch.arange(n)
        self._row_of_index = lookup.to(device)
        self.num_classes = num_classes
        self._batches = Batches(device, num_classes, [device])
        self._index_shape: tuple[int, ...] = ()
        self._logits_shape: tuple[int, ...] = ()

    def record(
        self,
        index_B: torch.Tensor,
        logits_BK: torch.Tensor,
        probabilities: bool = False,
    ) -> None:
        """Adds the logits of a batch; softmax, margin and loss are computed in float32.

        It does not wait for the device, except for probabilities.

        Args:
            index_B: int64 [B], the samples' positions in the source data set.
            logits_BK: float [B, k] of any precision, the logits of these samples (not of mixed
                images). They are copied, so the caller may overwrite them.
            probabilities: ``logits_BK`` contains probabilities, which are converted to logits.

        Raises:
            DynamicsError: the shapes do not fit, or probabilities were announced but the values
                are not probabilities.
        """
        if index_B.shape != self._index_shape or logits_BK.shape != self._logits_shape:
            self._expect(index_B, logits_BK)
        if probabilities:
            logits_BK = logits_of(logits_BK, index_B)
        batches = self._batches
        if batches.filled == len(batches.places):
            self.settle()
        if logits_BK.requires_grad:
            logits_BK = logits_BK.detach()
        index_place, logits_place = batches.places[batches.filled]
        index_place.copy_(index_B)
        logits_place.copy_(logits_BK)
        batches.filled += 1

    def _expect(self, index_B: torch.Tensor, logits_BK: torch.Tensor) -> None:
        """Prepares places for batches of this size, so that each batch needs no new views."""
        count = len(index_B)
        if index_B.dtype.is_floating_point or not logits_BK.dtype.is_floating_point:
            raise DynamicsError(
                f"recorder: the index is {index_B.dtype} and logits {logits_BK.dtype}; expected "
                "whole numbers and floats"
            )
        if index_B.ndim != 1 or logits_BK.shape != (count, self.num_classes):
            raise DynamicsError(
                f"recorder: logits {tuple(logits_BK.shape)} for {count} samples; "
                f"expected [{count}, {self.num_classes}]"
            )
        self.settle()
        self._batches.fit(count)
        self._index_shape, self._logits_shape = index_B.shape, logits_BK.shape

    def _rows_of(self, index_S: torch.Tensor) -> torch.Tensor:
        return self._row_of_index.index_select(0, index_S.clamp(-1, self._largest).add_(1))

    def settle(self) -> None:
        """Processes the batches that have only been collected so far."""
        if not self._batches.filled:
            return
        index_S, logits_SK = self._batches.take()
        rows = self._rows_of(index_S)
        given_S = self.given.index_select(0, rows)
        entropy = self.entropy is not None
        if self.other_class is None:
            found = all_classes(logits_SK.t().contiguous(), given_S, entropy)
        else:
            found = largest_classes(logits_SK, given_S, self._others, entropy)
        self._put(rows, found)

    def _put(self, rows: torch.Tensor, found: Measures) -> None:
        self.probs.index_copy_(0, rows, found.probs)
        if self.other_class is not None and found.other_class is not None:
            self.other_class.index_copy_(0, rows, found.other_class)
        if self.entropy is not None and found.entropy is not None:
            self.entropy.scatter_(0, rows, found.entropy.half())
        self.margin.scatter_(0, rows, found.margin)
        self.loss.scatter_(0, rows, found.loss)
        if found.like_probs is not None:
            self.like_probs.scatter_(0, rows, found.like_probs.to(torch.uint8))
        self.times_seen.scatter_add_(0, rows, torch.ones_like(rows, dtype=torch.int32))

    def reset(self) -> None:
        """Forgets the epoch."""
        self._batches.filled = 0
        self.times_seen.zero_()

    def drop_unknown(self) -> None:
        """Forgets that samples with an unknown index were recorded."""
        self.settle()
        self.times_seen[-1] = 0

    def packed(self) -> dict[str, torch.Tensor]:
        """The rows that this process saw, on its device, to be sent to another process.

        The dictionary contains ``rows`` int64 [m], ``times_seen`` int32 [m], ``margin`` and
        ``loss`` float32 [m], ``like_probs`` uint8 [m] and ``probs`` float16 [m, k]. It contains
        ``other_class`` and ``entropy`` float16 [m] too, if only some classes are kept.
        """
        self.settle()
        rows = self.times_seen.nonzero()[:, 0]
        columns = {name: tensor[rows] for name, tensor in self._columns().items()}
        return {"rows": rows, "times_seen": self.times_seen[rows], **columns}

    def absorb(self, packed: Iterable[dict[str, torch.Tensor]]) -> None:
        """Adds the packed rows of other processes; a row that two processes saw counts twice."""
        self.settle()
        for part in packed:
            rows = part["rows"].to(self.probs.device)
            if not len(rows):
                continue
            self.times_seen.index_add_(0, rows, part["times_seen"].to(self.probs.device))
            for name, tensor in self._columns().items():
                tensor.index_copy_(0, rows, part[name].to(self.probs.device))

    def _columns(self) -> dict[str, torch.Tensor]:
        columns = {name: getattr(self, name) for name in ("probs", "margin", "loss", "like_probs")}
        if self.other_class is not None:
            columns["other_class"] = self.other_class
        if self.entropy is not None:
            columns["entropy"] = self.entropy
        return columns
