"""Several networks, each trained without a fold of the images, which it then judges.

Shape suffixes: n images, K folds and networks, k classes, B batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tdctl.config import FitConfig
from tdctl.data.dataset import Images
from tdctl.recorder import EpochRows, Recorder
from tdctl.streams import FOLD_NETWORKS
from tdctl.training.feed import Feed
from tdctl.training.pipeline import Pipeline
from tdctl.training.progress import LogRow, Teller
from tdctl.training.tap import Tap
from tdctl.training.threshold import ThresholdSamples
from tdctl.training.trainer import Trainer
from tdctl.training.unseen import Unseen
from tdctl.training.world import World

__all__ = ["FoldEnsemble", "FoldTrainer", "Folds", "fold_seeds"]

Recording = Recorder | EpochRows


@dataclass(frozen=True)
class Folds:
    """Which images each network does not see, and where its answers to them go.

    Attributes:
        of: int64 [n] in [0, K), the fold of each image.
        count: K; network f never trains on fold f.
        heldout: records each image as the network of its fold sees it after every epoch; None
            records nothing.
    """

    of: NDArray[np.int64]
    count: int
    heldout: Recording | None = None


class FoldEnsemble(nn.ModuleList):
    """K networks as one, whose logits are the logarithm of their mean softmax."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Float32 [B, k], each row the logarithm of probabilities."""
        logs = torch.stack([net(pixels).float().log_softmax(dim=1) for net in self])
        return logs.logsumexp(dim=0) - math.log(len(self))


def fold_seeds(seed: int, count: int) -> list[int]:
    """A seed of its own for each of the networks of a run, in [0, 2^31)."""
    return FOLD_NETWORKS.seeds(count, seed, bits=31)


class FoldTrainer:
    """What ``Trainer`` is, of K networks that train in turn within each epoch.

    Attributes:
        steps: batches of an epoch, of all networks.
        judged: their ensemble, as it is evaluated and saved.
        threshold, tap: none; pairs and features go with one training.
    """

    threshold: ThresholdSamples | None = None
    tap: Tap | None = None

    def __init__(
        self,
        nets: nn.Module,
        images: Images,
        config: FitConfig,
        pipeline: Pipeline,
        seed: int,
        world: World,
        compiled: bool,
        folds: Folds,
    ) -> None:
        self.pipeline, self.world, self._heldout = pipeline, world, folds.heldout
        feed, count = Feed(images, pipeline.device), folds.count
        self._trainers: list[Trainer] = []
        self._unseen: list[Unseen] = []
        parts = zip(nets.children(), fold_seeds(seed, count), strict=True)
        for fold, (net, own_seed) in enumerate(parts):
            rows = np.flatnonzero(folds.of != fold)
            trained = images.take(rows)
            # Of the networks that see an image, the one that has the next fold records it.
            recorded = (folds.of[rows] + 1) % count == fold
            trained = replace(trained, index=np.where(recorded, trained.index, -1))
            course = (config, pipeline, own_seed, world, compiled)
            self._trainers.append(Trainer(net, trained, *course, feed.take(rows)))
            unseen = np.flatnonzero(folds.of == fold)
            held = images.take(unseen)
            self._unseen.append(Unseen(held, pipeline, world, feed.take(unseen)))
        self.steps = sum(trainer.steps for trainer in self._trainers)
        self.judged: nn.Module = FoldEnsemble([trainer.judged for trainer in self._trainers])

    def train_epoch(self, epoch: int, recorder: Recording | None, tell: Teller) -> LogRow:
        """One pass of each network over its images, and its answers to the others.

        Figures are means over the networks.
        """
        rows = [trainer.train_epoch(epoch, recorder, tell) for trainer in self._trainers]
        if recorder is not None:
            recorder.drop_unknown()
        if self._heldout is not None:
            for trainer, unseen in zip(self._trainers, self._unseen, strict=True):
                unseen.record(trainer.judged, self._heldout)
        means = {name: _mean([row[name] for row in rows]) for name in rows[0]}
        return {**means, "epoch": epoch}

    @torch.no_grad()
    def capture_pass(self, epoch: int, recorder: Recording) -> None:
        """Records each sample by a network that has seen it, as ``Trainer`` does."""
        for trainer in self._trainers:
            trainer.capture_pass(epoch, recorder)

    def state_dict(self) -> dict[str, Any]:
        """What the trainings go on from."""
        return {"folds": [trainer.state_dict() for trainer in self._trainers]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Puts a state back into trainings that were made as before; raises as torch does."""
        for trainer, part in zip(self._trainers, state["folds"], strict=True):
            trainer.load_state_dict(part)


def _mean(values: Sequence[float | int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
