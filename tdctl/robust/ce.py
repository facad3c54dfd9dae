"""Plain training: the trainer of recordings and retrainings, with the log of a robust training."""

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
    """Plain training on all given labels, with which the other algorithms are compared.

    Loss, mixup and running average are those of the settings.

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
        """The network's logits of all training images, float32 [n, k]."""
        return [look(self.judged, self._pipeline, self._feed, self._n, "the network").logits]

    def facts(self) -> dict[str, Any]:
        """Empty: this algorithm chooses no setting itself."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """The state of the trainer."""
        return self._trainer.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Loads a state; raises the errors of torch."""
        self._trainer.load_state_dict(state)
