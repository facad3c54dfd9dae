"""Several networks, each trained without a fold of the images, which it then judges.

Shape suffixes: n images, K folds and networks, k classes, B batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tdctl.config import FitConfig
from tdctl.data.dataset import Images
from tdctl.errors import ConfigError
from tdctl.streams import FOLD_NETWORKS
from tdctl.training.feed import Feed
from tdctl.training.modes.plain import BuildNetwork, Plain, Recording
from tdctl.training.modes.unseen import Unseen
from tdctl.training.pipeline import Pipeline
from tdctl.training.progress import LogRow, Teller
from tdctl.training.trainer import Setup, Trainer
from tdctl.training.world import World

__all__ = ["FoldEnsemble", "FoldTrainer", "Folds", "fold_seeds"]


class Folds(Plain):
    """K networks are trained, each on all images but those of its fold, which it then predicts.

    Args:
        of: int64 [n] in [0, K), the fold of each image.
        count: K; network f never trains on fold f.
        heldout_recording: records each image as the network of its fold sees it after every
            epoch; None records nothing.
    """

    heldout = True

    def __init__(
        self, of: NDArray[np.int64], count: int, heldout_recording: Recording | None = None
    ) -> None:
        self.of, self.count, self.heldout_recording = of, count, heldout_recording

    def check(self, images: int, batch_size: int, processes: int) -> None:
        """Refuses more folds than images, and too few images without a fold.

        Raises:
            ConfigError: says what is expected.
        """
        if self.count > images:
            raise ConfigError(
                f"train.folds: {self.count} folds of {images} images; give at most as many as "
                "images"
            )
        super().check(images, batch_size, processes)

    def images_of_each(self, images: int) -> int:
        """How many of the images each network is trained on, at least."""
        return images - math.ceil(images / self.count)

    def softmax_values(self, images: int, num_classes: int) -> int:
        """How many numbers a softmax of each image takes, in every network that sees it."""
        return images * num_classes * max(self.count - 1, 1)

    def build(self, build: BuildNetwork, seed: int) -> nn.Module:
        """A ``FoldEnsemble`` of K networks."""
        return FoldEnsemble([build(own) for own in fold_seeds(seed, self.count)])

    def trainer(self, setup: Setup) -> FoldTrainer:
        """What trains the K networks in turn."""
        return FoldTrainer(*setup, self)

    def recordings(self, recorder: Recording | None) -> list[Recording]:
        """Those of the images that a network has seen, and of those that it has not."""
        both = (recorder, self.heldout_recording)
        return [recording for recording in both if recording is not None]

    @property
    def _trains(self) -> str:
        return f"train.folds: without a fold of {self.count}"


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
    """

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
        self.pipeline, self.world, self._heldout = pipeline, world, folds.heldout_recording
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
