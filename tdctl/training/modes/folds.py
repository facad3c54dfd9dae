"""Several networks, each trained without one fold of the images, which it then predicts.

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
    """Trains K networks, each on all images except its fold, which it then predicts.

    Args:
        of: int64 [n] in [0, K), the fold of each image.
        count: K; network f never trains on fold f.
        heldout_recording: records, after every epoch, the softmax of each image by the network
            that was not trained on it; None records nothing.
    """

    heldout = True

    def __init__(
        self, of: NDArray[np.int64], count: int, heldout_recording: Recording | None = None
    ) -> None:
        self.of, self.count, self.heldout_recording = of, count, heldout_recording

    def check(self, images: int, batch_size: int, processes: int) -> None:
        """Refuses more folds than images, and too few images outside a fold.

        Raises:
            ConfigError: the message says what is expected.
        """
        if self.count > images:
            raise ConfigError(
                f"train.folds: {self.count} folds of {images} images; give at most as many as "
                "images"
            )
        super().check(images, batch_size, processes)

    def images_of_each(self, images: int) -> int:
        """The smallest number of images that a network is trained on."""
        return images - math.ceil(images / self.count)

    def softmax_values(self, images: int, num_classes: int) -> int:
        """How many numbers a softmax of each image needs, for all networks that train on it."""
        return images * num_classes * max(self.count - 1, 1)

    def build(self, build: BuildNetwork, seed: int) -> nn.Module:
        """A ``FoldEnsemble`` of K networks."""
        return FoldEnsemble([build(own) for own in fold_seeds(seed, self.count)])

    def trainer(self, setup: Setup) -> FoldTrainer:
        """The trainer of the K networks."""
        return FoldTrainer(*setup, self)

    def recordings(self, recorder: Recording | None) -> list[Recording]:
        """The recording by networks that have seen an image, and the held-out recording."""
        both = (recorder, self.heldout_recording)
        return [recording for recording in both if recording is not None]

    @property
    def _trains(self) -> str:
        return f"train.folds: without a fold of {self.count}"


class FoldEnsemble(nn.ModuleList):
    """K networks as one; its logits are the logarithm of their mean softmax."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Float32 [B, k], each row the logarithm of probabilities."""
        logs = torch.stack([net(pixels).float().log_softmax(dim=1) for net in self])
        return logs.logsumexp(dim=0) - math.log(len(self))


def fold_seeds(seed: int, count: int) -> list[int]:
    """One seed for each of the networks of a run, in [0, 2^31)."""
    return FOLD_NETWORKS.seeds(count, seed, bits=31)


class FoldTrainer:
    """Trains K networks in turn within each epoch; has the same methods as ``Trainer``.

    Attributes:
        steps: batches per epoch, of all networks together.
        judged: the ensemble of the networks, which is evaluated and saved.
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
            # K - 1 networks train on an image. The one after the image's fold records it.
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
        """One pass of each network over its images; then each predicts the images of its fold.

        The values in the row of the log are means over the networks.
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
        """Records each sample by one network that was trained on it."""
        for trainer in self._trainers:
            trainer.capture_pass(epoch, recorder)

    def state_dict(self) -> dict[str, Any]:
        """The state of all networks, to resume from."""
        return {"folds": [trainer.state_dict() for trainer in self._trainers]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores a state, in a training with the same settings; raises the errors of torch."""
        for trainer, part in zip(self._trainers, state["folds"], strict=True):
            trainer.load_state_dict(part)


def _mean(values: Sequence[float | int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
