"""Loss, prediction and confidence of a network on images, in eval mode."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from tdctl.data.dataset import Images
from tdctl.training.pipeline import Pipeline

__all__ = ["Evaluation", "evaluate"]


@dataclass(frozen=True)
class Evaluation:
    """A network's answers on n images, row by row.

    Attributes:
        loss: float32 [n], cross-entropy in nats.
        prediction: int64 [n].
        confidence: float32 [n], the predicted class's probability.
        targets: int64 [n].
        top5: bool [n], the target is among the five most probable (all, for fewer classes).
    """

    loss: NDArray[np.float32]
    prediction: NDArray[np.int64]
    confidence: NDArray[np.float32]
    targets: NDArray[np.int64]
    top5: NDArray[np.bool_]

    @property
    def error(self) -> float:
        """Share of wrong predictions, in [0, 1]."""
        return float((self.prediction != self.targets).mean())

    @property
    def top5_error(self) -> float:
        """Share of targets outside the five most probable classes, in [0, 1]."""
        return float(1 - self.top5.mean())

    @property
    def mean_loss(self) -> float:
        """Mean cross-entropy in nats."""
        return float(self.loss.mean(dtype=np.float64))


@torch.no_grad()
def evaluate(
    net: nn.Module, images: Images, pipeline: Pipeline, batch_size: int = 512
) -> Evaluation:
    """The network's answers on all images, without augmentation; leaves it in eval mode."""
    net.eval()
    columns: list[tuple[torch.Tensor, ...]] = []
    starts = range(0, len(images), batch_size)
    parts = [np.arange(start, min(start + batch_size, len(images))) for start in starts]
    for part, pixels in zip(parts, images.batches(parts), strict=True):
        logits = pipeline.logits(net, pixels)
        goal = torch.from_numpy(images.targets[part]).to(logits.device)
        confidence, prediction = logits.softmax(dim=1).max(dim=1)
        among = logits.topk(min(5, logits.shape[1]), dim=1).indices == goal[:, None]
        loss = functional.cross_entropy(logits, goal, reduction="none")
        columns.append((loss, prediction, confidence, among.any(dim=1)))
    loss_n, prediction_n, confidence_n, top5_n = (
        torch.cat(parts).cpu().numpy() for parts in zip(*columns, strict=True)
    )
    return Evaluation(loss_n, prediction_n, confidence_n, images.targets, top5_n)
