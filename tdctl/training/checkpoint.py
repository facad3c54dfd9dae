"""The state of a training after a whole epoch, from which it goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tdctl.errors import RunError
from tdctl.files import first_line, load_tensors, save_tensors

__all__ = ["Checkpoint"]


@dataclass(frozen=True)
class Checkpoint:
    """Weights, optimiser and log after ``epoch`` whole epochs.

    No random state is kept: every stream is derived from the seed and the epoch.
    """

    epoch: int
    net: dict[str, Any]
    optimizer: dict[str, Any]
    log: list[dict[str, float | int | None]]
    best_epoch: int
    best: dict[str, torch.Tensor]

    @classmethod
    def of(
        cls,
        net: nn.Module,
        optimizer: torch.optim.Optimizer,
        epoch: int,
        log: list[dict[str, float | int | None]],
        best_epoch: int,
        best: dict[str, torch.Tensor],
    ) -> Checkpoint:
        """The present state of a training."""
        return cls(epoch, net.state_dict(), optimizer.state_dict(), log, best_epoch, best)

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

    def restore(self, net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Puts the state back into a network and its optimiser, made as before.

        Raises:
            RunError: the state is of another network or optimiser.
        """
        try:
            net.load_state_dict(self.net)
            optimizer.load_state_dict(self.optimizer)
        except (RuntimeError, TypeError, AttributeError, KeyError, ValueError) as error:
            raise RunError(
                f"checkpoint: not of this network ({first_line(error)}); start again with "
                "--overwrite"
            ) from None
