"""The state of a training after a complete epoch, from which it can be resumed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tdctl.errors import RunError
from tdctl.files import first_line, load_tensors, save_tensors
from tdctl.training.modes.folds import FoldTrainer
from tdctl.training.progress import LogRow
from tdctl.training.trainer import Trainer

__all__ = ["Checkpoint"]

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """The state and the log of a training after ``epoch`` complete epochs."""

    epoch: int
    state: dict[str, Any]
    log: list[LogRow]
    best_epoch: int
    best: State

    def write(self, path: Path) -> None:
        """Replaces the checkpoint file, completely or not at all."""
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        content["log"] = json.dumps(self.log)
        save_tensors(path, content)

    @classmethod
    def read(cls, path: Path) -> Checkpoint | None:
        """The checkpoint in the file, or None if there is no file.

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

    def restore(self, trainer: Trainer | FoldTrainer) -> None:
        """Puts the state into a training that was created with the same settings.

        Raises:
            RunError: the state belongs to another network or optimiser.
        """
        try:
            trainer.load_state_dict(self.state)
        except (RuntimeError, TypeError, AttributeError, KeyError, ValueError) as error:
            raise RunError(
                f"checkpoint: not of this network ({first_line(error)}); start again with "
                "--overwrite"
            ) from None
