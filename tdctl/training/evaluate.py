"""Loss, prediction and confidence of a network for given images, in eval mode."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from tdctl.data.dataset import Images
from tdctl.training.feed import Feed
from tdctl.training.pipeline import Pipeline
from tdctl.training.world import World

__all__ = ["Evaluation", "evaluate"]


@dataclass(frozen=True)
class Evaluation:
    """The output of a network for n images, row by row.

    Attributes:
        loss: float32 [n], cross-entropy in nats.
        prediction: int64 [n], the most probable class.
        confidence: float32 [n], probability of the predicted class, in [0, 1].
        targets: int64 [n], the labels that the loss was computed with.
        top5: bool [n], whether the target is among the five most probable classes (among all
            classes, if there are fewer).
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
    net: nn.Module,
    images: Images,
    pipeline: Pipeline,
    batch_size: int = 512,
    world: World | None = None,
    feed: Feed | None = None,
) -> Evaluation:
    """Evaluates a network on all images, without augmentation; leaves it in eval mode.

    With several processes, each evaluates a part, and all get the whole result.

    Args:
        net: the network.
        images: the n images with their targets.
        pipeline: normalisation, device and precision.
        batch_size: images per batch.
        world: the processes; by default this process only.
        feed: a feed of these images from an earlier evaluation; None creates one.
    """
    net.eval()
    world = World(device=pipeline.device) if world is None else world
    part = world.part(0, len(images))
    rows = torch.split(torch.arange(part.start, part.stop), batch_size)
    targets = torch.from_numpy(images.targets[part]).to(pipeline.device)
    feed = Feed(images, pipeline.device) if feed is None else feed
    columns: list[dict[str, torch.Tensor]] = []
    parts = torch.split(targets, batch_size)
    for goal, pixels in zip(parts, feed.batches(rows), strict=True):
        columns.append(_answers(pipeline.logits(net, pixels), goal))
    own = {name: torch.cat([column[name] for column in columns]) for name in columns[0]}
    every = world.gather_to_all(own)
    whole = {name: torch.cat([found[name] for found in every]).cpu().numpy() for name in own}
    return Evaluation(**whole, targets=images.targets)


def _answers(logits: torch.Tensor, goal: torch.Tensor) -> dict[str, torch.Tensor]:
    confidence, prediction = logits.softmax(dim=1).max(dim=1)
    among = logits.topk(min(5, logits.shape[1]), dim=1).indices == goal[:, None]
    loss = functional.cross_entropy(logits, goal, reduction="none")
    return {
        "loss": loss,
        "prediction": prediction,
        "confidence": confidence,
        "top5": among.any(dim=1),
    }
