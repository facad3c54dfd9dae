"""Linear heads on frozen features, one for each fold, trained together.

On frozen features a head learns any label by heart within a few epochs. So a sample is judged only
by the head that was trained without its fold.

Shape suffixes: n samples, d features, K folds and heads, k classes, B batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tdctl.errors import TrainingError
from tdctl.features.transform import Transform
from tdctl.streams import HEAD_ORDER

__all__ = [
    "Course",
    "Epoch",
    "HeadTrainer",
    "MeanHead",
    "Rows",
    "stable_course",
    "weights_of_margins",
]

# The exponent of the generalised cross-entropy. On photographs with known flips and on CIFAR-10
# with human labels, 0.5 ranked about as well as 0.3 and 0.7, and all better than cross-entropy.
EXPONENT = 0.5
# The share of all steps in which the exponent rises from 0.
RISING = 0.2
# With momentum 0.9, heads diverged where a learning rate was above about 0.07 times the number of
# samples of a step, and trained at half of that.
CHANCE = 30.0
# Heads begin with the loss ln k. While the loss is still cross-entropy, one above this multiple of
# it means that they diverge. Then the rate is halved, at most so often.
DIVERGES, HALVINGS = 1.05, 8
# How sharply a label that the first heads doubt loses its weight, and the smallest weight.
SHARPNESS, LEAST_WEIGHT = 3.0, 0.02
# Transformed features are kept in memory up to this size; larger ones are computed batch by batch.
HELD_BYTES = 1 << 30


class Rows(Protocol):
    """Features by row."""

    def __len__(self) -> int:
        """n."""

    def batches(self, parts: Sequence[NDArray[np.int64]]) -> Iterator[torch.Tensor]:
        """The features of each part, float [B, d] on the CPU, in the given order."""


class Watch(Protocol):
    """Is told the logits of each batch."""

    def __call__(
        self, rows_B: torch.Tensor, seen_BK: torch.Tensor, heldout_BK: torch.Tensor
    ) -> None:
        """Takes the rows, the logits by a head that trains on the sample, and by one that does not.

        Args:
            rows_B: int64 [B], positions among the n samples.
            seen_BK: float32 [B, k]; with two folds or more, the head after the sample's fold.
            heldout_BK: float32 [B, k], the head of the sample's fold.
        """


@dataclass(frozen=True)
class Course:
    """How heads are trained.

    Attributes:
        epochs: passes over the samples.
        batch_size: samples per step at most; the steps of an epoch are of equal size.
        rate: the learning rate, in units of the largest at which a squared loss would be stable.
        momentum: of the steps.
        weight_decay: of the heads' weights.
        robust: whether the loss is generalised cross-entropy instead of cross-entropy.
    """

    epochs: int
    batch_size: int
    rate: float
    momentum: float = 0.9
    weight_decay: float = 0.0
    robust: bool = True


@dataclass(frozen=True)
class Epoch:
    """What one pass over the samples gave.

    Attributes:
        number: from 0.
        train_error, train_loss: of heads that train on a sample, over all samples, before each
            step; the loss is cross-entropy.
        heldout_error, heldout_loss: of the heads that do not train on a sample.
    """

    number: int
    train_error: float
    train_loss: float
    heldout_error: float
    heldout_loss: float


class HeadTrainer:
    """Trains K heads, each on all samples except its fold, by SGD with Nesterov momentum.

    All heads read a batch at the same time, so the logits of held-out samples cost no extra pass.

    Args:
        rows: the features.
        given: int64 [n] in [0, k), the given labels.
        num_classes: k.
        folds: int64 [n] in [0, K), the fold of each sample.
        transform: what is done to the features first.
        course: how they are trained.
        weights: float32 [n] in [0, 1], how much each sample counts; None weighs all alike.
        seed: of the order of the samples.
        device: where it is computed.

    Source: the loss is the generalised cross-entropy of Zhang and Sabuncu (NeurIPS 2018).
    """

    def __init__(
        self,
        rows: Rows,
        given: NDArray[np.int64],
        num_classes: int,
        folds: NDArray[np.int64],
        transform: Transform,
        course: Course,
        *,
        weights: NDArray[np.float32] | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self._rows, self._course, self._transform = rows, course, transform.to(device)
        self._seed, self._device = seed, torch.device(device)
        self._k, self._folds = num_classes, int(folds.max()) + 1
        self._given = torch.from_numpy(given).to(device)
        self._fold = torch.from_numpy(folds).to(device)
        n = len(given)
        self._weights = torch.ones(n, device=device)
        if weights is not None:
            # The mean weight is 1, so that doubted labels do not make the steps smaller.
            self._weights = torch.from_numpy(weights / max(float(weights.mean()), 1e-6)).to(device)
        out = self._folds * num_classes
        self._w = torch.zeros(transform.width, out, device=device)
        self._b = torch.zeros(out, device=device)
        self._vw, self._vb = torch.zeros_like(self._w), torch.zeros_like(self._b)
        self._done = 0
        self._held: torch.Tensor | None = None
        if n * transform.width * 4 <= HELD_BYTES:
            parts = [np.arange(start, min(n, start + 8192)) for start in range(0, n, 8192)]
            batches = rows.batches(parts)
            self._held = torch.cat([self._transform(batch.to(device)) for batch in batches])

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The heads and what is done to the features before.

        ``weight`` is float32 [K, k, d], ``bias`` [K, k], ``mean`` [d], ``axes`` [d, d].
        """
        heads, k = self._folds, self._k
        return {
            "weight": self._w.view(-1, heads, k).permute(1, 2, 0).contiguous().cpu(),
            "bias": self._b.view(heads, k).cpu(),
            "mean": self._transform.mean.cpu(),
            "axes": self._transform.axes.cpu(),
        }

    def mean_head(self) -> MeanHead:
        """The heads together, as a network; it follows their training."""
        return MeanHead(self._transform, self._w, self._b, self._folds)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return -(-len(self._given) // self._course.batch_size)

    def train_epoch(
        self, number: int, watch: Watch | None, tell: Callable[[int], None] | None = None
    ) -> Epoch:
        """One pass over the samples; ``watch`` gets each batch's logits before its step."""
        n, sums = len(self._given), torch.zeros(4, device=self._device)
        generator = HEAD_ORDER.torch_generator(self._seed, number)
        order = torch.randperm(n, generator=generator)
        # Rows of a file are read in rising order within a batch.
        parts = [part.sort().values for part in order.tensor_split(self.steps)]
        for step, (part, z) in enumerate(zip(parts, self._batches(parts), strict=True)):
            sums += self._step(part.to(self._device), z, watch)
            if tell is not None:
                tell(step)
        means = (sums / n).tolist()
        return Epoch(number, *means)

    def _batches(self, parts: list[torch.Tensor]) -> Iterator[torch.Tensor]:
        if self._held is not None:
            for part in parts:
                yield self._held[part.to(self._device)]
            return
        for batch in self._rows.batches([part.numpy() for part in parts]):
            yield self._transform(batch.to(self._device, non_blocking=True))

    def _step(self, rows: torch.Tensor, z: torch.Tensor, watch: Watch | None) -> torch.Tensor:
        """One step of all heads; returns the sums of errors and losses, [4]."""
        heads, k, given, fold = self._folds, self._k, self._given[rows], self._fold[rows]
        logits = torch.addmm(self._b, z, self._w).view(len(rows), heads, k)
        at = torch.arange(len(rows), device=self._device)
        heldout, seen = logits[at, fold], logits[at, (fold + 1) % heads]
        if watch is not None:
            watch(rows, seen, heldout)
        log = torch.nn.functional.cross_entropy
        sums = torch.stack(
            [
                (seen.argmax(1) != given).sum().float(),
                log(seen, given, reduction="sum"),
                (heldout.argmax(1) != given).sum().float(),
                log(heldout, given, reduction="sum"),
            ]
        )
        # The gradient of the loss by the logits; a head takes none of its own fold.
        grad = logits.softmax(dim=2)
        own = grad.gather(2, given[:, None, None].expand(-1, heads, 1))[..., 0]
        counts = self._weights[rows][:, None].repeat(1, heads)
        counts[at, fold] = 0
        if self._course.robust:
            # Divided by its mean over what a head trains on: with many classes every probability
            # is small at first.
            trust = own ** self._exponent()
            trained = torch.ones_like(trust)
            trained[at, fold] = 0
            mean = (trust * trained).sum(dim=0) / trained.sum(dim=0).clamp_min(1)
            counts *= trust / mean.clamp_min(1e-12)
        grad[at, :, given] -= 1
        grad *= (counts * (heads / max(heads - 1, 1) / len(rows)))[..., None]
        flat = grad.view(len(rows), heads * k)
        gw = torch.addmm(self._w, z.T, flat, beta=self._course.weight_decay)
        gb = flat.sum(dim=0)
        # A step of few samples also moves the heads by what these have by chance.
        chance = 0.0 if self.steps == 1 else CHANCE / len(rows)
        rate = self._course.rate / (self._transform.largest + chance)
        for value, speed, slope in ((self._w, self._vw, gw), (self._b, self._vb, gb)):
            speed.mul_(self._course.momentum).add_(slope)
            value.sub_(slope.add_(speed, alpha=self._course.momentum), alpha=rate)
        self._done += 1
        return sums

    def _exponent(self) -> float:
        """0 at the start, so that every class is learned; it rises to that of the loss."""
        rising = RISING * self._course.epochs * self.steps
        return EXPONENT * min(1.0, self._done / rising)


class MeanHead(nn.Module):
    """The mean softmax of K heads, for samples that none of them has seen.

    Args:
        transform: what is done to the features first.
        weight: float32 [d, K * k], which is not copied.
        bias: float32 [K * k], which is not copied.
        heads: K.
    """

    def __init__(
        self, transform: Transform, weight: torch.Tensor, bias: torch.Tensor, heads: int
    ) -> None:
        super().__init__()
        self._transform, self._weight, self._bias = transform, weight, bias
        self._heads = heads

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """The logarithm of the mean softmax, float32 [B, k]."""
        z = self._transform(features)
        logits = torch.addmm(self._bias, z, self._weight).view(len(z), self._heads, -1)
        return logits.log_softmax(dim=2).logsumexp(dim=1) - math.log(self._heads)


def stable_course(
    make: Callable[[Course], HeadTrainer], course: Course, num_classes: int
) -> Course:
    """The course, with the rate halved until the first epochs do not diverge.

    The largest stable rate depends on the weights of the samples, on what a step has by chance and
    on how sure the heads are, so it is tried: with the epochs in which the loss is closest to
    cross-entropy.

    Args:
        make: makes the heads anew for a course.
        course: as asked for.
        num_classes: k.

    Raises:
        TrainingError: no rate is small enough.
    """
    epochs = max(1, round(RISING * course.epochs))
    limit = DIVERGES * math.log(num_classes)
    tried = course
    for _ in range(HALVINGS):
        trainer = make(tried)
        losses = (trainer.train_epoch(epoch, None).train_loss for epoch in range(epochs))
        # A NaN is not at most the limit.
        if all(loss <= limit for loss in losses):
            return tried
        tried = replace(tried, rate=tried.rate / 2)
    raise TrainingError(
        f"the heads diverge at each rate from {course.rate:g} to {2 * tried.rate:g}; give vectors "
        "of a usual scale, or a smaller --lr"
    )


def weights_of_margins(margins: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much each sample counts in the next round, float32 [n] in [0.02, 1].

    Args:
        margins: float32 [n], the mean held-out margin of the given label; below 0 the heads of the
            other folds prefer another class.
    """
    typical = float(np.median(np.abs(margins))) or 1.0
    doubt = np.clip(-SHARPNESS * margins / typical, -60, 60)
    weights: NDArray[np.float32] = np.maximum(1 / (1 + np.exp(doubt)), LEAST_WEIGHT).astype(
        np.float32
    )
    return weights
