"""Plain training, by the trainer of recordings and retrainings, with the log of a robust one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from tdctl.robust.learner import look
from tdctl.robust.setup import RobustSetup
from tdctl.training.feed import Feed
from tdctl.training.progress import LogRow, Teller
from tdctl.training.trainer import Trainer
from tdctl.training.world import World

__all__ = ["CrossEntropy"]


class CrossEntropy:
    """All given labels, any loss, mixup and average of the settings: what the others are held to.

    Attributes:
        columns, steps, events: see ``Algorithm``.
    """

    columns: tuple[str, ...] = ()

    def __init__(self, setup: RobustSetup) -> None:
        self._pipeline, self._n = setup.pipeline, len(setup.images)
        self._feed = Feed(setup.images, setup.pipeline.device)
        world = World(device=setup.pipeline.device)
        self._trainer = Trainer(
            setup.net,
            setup.images,
            setup.config,
            setup.pipeline,
            setup.seed,
            world,
            setup.compiled,
            self._feed,
        )
        self.steps = self._trainer.steps
        self.events: list[str] = []

    @property
    def judged(self) -> nn.Module:
        """The network, or its running average."""
        return self._trainer.judged

    def epoch(self, epoch: int, tell: Teller) -> LogRow:
        """One pass over the images."""
        return self._trainer.train_epoch(epoch, None, tell)

    def logits(self) -> list[torch.Tensor]:
        """Float32 [n, k] of all training images by the network."""
        return [look(self.judged, self._pipeline, self._feed, self._n, "the network").logits]

    def facts(self) -> dict[str, Any]:
        """Nothing is chosen."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Of the trainer."""
        return self._trainer.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Puts a state back; raises as torch does."""
        self._trainer.load_state_dict(state)
