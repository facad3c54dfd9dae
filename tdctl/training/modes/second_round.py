"""A second round: the most suspicious images are not trained on, only predicted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from tdctl.csv_files import write_csv
from tdctl.data.dataset import Images
from tdctl.files import LEFT_OUT_FILE
from tdctl.training.modes.plain import Plain, Recording
from tdctl.training.modes.unseen import Unseen
from tdctl.training.trainer import Setup, Trainer

if TYPE_CHECKING:
    from tdctl.training.modes.folds import FoldTrainer

__all__ = ["SecondRound"]


class SecondRound(Plain):
    """One network is trained without some images and predicts these after each epoch.

    Args:
        left_out: the images that are not trained on. Their predictions are recorded like those of
            the other images.
    """

    def __init__(self, left_out: Images) -> None:
        self._left_out = left_out
        self._unseen: Unseen | None = None

    def trainer(self, setup: Setup) -> Trainer | FoldTrainer:
        """The trainer of the network."""
        self._unseen = Unseen(self._left_out, setup.pipeline, setup.world)
        return super().trainer(setup)

    def after_epoch(self, trainer: Trainer | FoldTrainer, recorder: Recording | None) -> None:
        """Records the predictions for the images that were left out."""
        if recorder is not None and self._unseen is not None:
            self._unseen.record(trainer.judged, recorder)

    def predict(self, trainer: Trainer | FoldTrainer, recorder: Recording) -> bool:
        """Records the predictions after the last epoch, those for the left-out images too."""
        self.after_epoch(trainer, recorder)
        return super().predict(trainer, recorder)

    def write(self, folder: Path, epochs: int) -> None:
        """Writes ``left_out.csv``."""
        write_csv(folder / LEFT_OUT_FILE, pd.DataFrame({"index": self._left_out.index}))
