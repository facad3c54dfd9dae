"""The state of a training after a whole epoch, from which it goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tdctl.errors import RunError
from tdctl.files import first_line, load_tensors, save_tensors
from tdctl.training.progress import LogRow
from tdctl.training.trainer import Trainer

__all__ = ["Checkpoint"]

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """Weights, optimiser, loss scale and log after ``epoch`` whole epochs.

    ``loss`` is what the loss remembers of each image, ``average`` the averaged weights; empty
    where the settings ask for none. No random state is kept: every stream is derived from the
    seed and the epoch.
    """

    epoch: int
    net: dict[str, Any]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    loss: dict[str, Any]
    average: dict[str, Any]
    log: list[LogRow]
    best_epoch: int
    best: State

    @classmethod
    def of(
        cls, trainer: Trainer, epoch: int, log: list[LogRow], best_epoch: int, best: State
    ) -> Checkpoint:
        """The present state of a training."""
        net, optimizer, scaler = trainer.net, trainer.optimizer, trainer.scaler
        states = net.state_dict(), optimizer.state_dict(), scaler.state_dict()
        average = {} if trainer.average is None else trainer.average.net.state_dict()
        memory = trainer.loss.state_dict()
        return cls(epoch, *states, memory, average, log, best_epoch, best)

    def write(self, path: Path) -> None:
        """Replaces the checkpoint file, whole or not at all."""
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        content["log"] = json.dumps(self.log)
        save_tensors(path, content)

    @classmethod
    def read(cls, path: Path) -> Checkpoint | None:
        """The checkpoint in the file, or None where there is no file.

        Raises:
            RunError: the file is not a checkpoint of tdctl.
        """
        if not path.exists():
            return None
        try:
            content = load_tensors(path)
            found = cls(**{**content, "log": json.loads(content["log"])})
            if len(found.log) != found.epoch:
                raise ValueError("the log has another length")
            return found
        except (TypeError, KeyError, ValueError):
            raise RunError(
                f"{path}: not a checkpoint of tdctl; start again with --overwrite"
            ) from None

    def restore(self, trainer: Trainer) -> None:
        """Puts the state back into a training that was made as before.

        Raises:
            RunError: the state is of another network or optimiser.
        """
        try:
            trainer.net.load_state_dict(self.net)
            trainer.optimizer.load_state_dict(self.optimizer)
            trainer.scaler.load_state_dict(self.scaler)
            trainer.loss.load_state_dict(self.loss, trainer.pipeline.device)
            if trainer.average is not None:
                trainer.average.net.load_state_dict(self.average)
        except (RuntimeError, TypeError, AttributeError, KeyError, ValueError) as error:
            raise RunError(
                f"checkpoint: not of this network ({first_line(error)}); start again with "
                "--overwrite"
            ) from None
