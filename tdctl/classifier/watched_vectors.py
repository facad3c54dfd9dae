"""The vectors that get no rank, predicted by the heads of all folds together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tdctl.classifier.train_classifier import results_of
from tdctl.config import Config
from tdctl.csv_files import write_csv
from tdctl.data import Images
from tdctl.features.heads import MeanHead
from tdctl.inputs import Prepared
from tdctl.training import Evaluation, Pipeline, World, evaluate
from tdctl.training.progress import LogRow

__all__ = ["WatchedVectors"]


@dataclass(frozen=True)
class WatchedVectors:
    """The vectors that get no rank: those that the data set holds out, and its test set.

    The heads together predict them: no head has seen any of them.

    Attributes:
        valid, test: the vectors; None if there are none.
        pipeline: gives them to the heads as they are.
        every, epochs: after how many epochs they are predicted, and how many epochs there are.
        world: the device.
    """

    valid: Images | None
    test: Images | None
    pipeline: Pipeline
    every: int
    epochs: int
    world: World

    @classmethod
    def of(cls, config: Config, prepared: Prepared, epochs: int, world: World) -> WatchedVectors:
        """Those of a data set, for a training of some epochs."""
        d = prepared.train.shape[0]
        # The heads scale the vectors themselves.
        plain = replace(prepared.dataset, mean=(0.0,) * d, std=(1.0,) * d)
        pipeline = Pipeline.of(config.train, plain, world.device, "float32")
        every = config.train.eval_every
        return cls(prepared.valid, prepared.dataset.test, pipeline, every, epochs, world)

    def due(self, epoch: int) -> bool:
        """Whether they are predicted after this epoch; after the last one always."""
        return (epoch + 1) % self.every == 0 or epoch + 1 == self.epochs

    def put(self, row: LogRow, heads: MeanHead) -> None:
        """Puts the errors into a row of the log."""
        images = self.test if self.valid is None else self.valid
        if images is None:
            return
        found = self._judged(heads, images)
        row["valid_error"], row["valid_top5_error"] = found.error, found.top5_error
        row["valid_loss"] = found.mean_loss
        row["test_error"] = found.error if self.valid is None else None

    def finish(self, folder: Path, row: LogRow, heads: MeanHead) -> float | None:
        """Writes what is predicted after the last epoch; gives the test error, if there is one."""
        images = self.test if self.valid is None else self.valid
        if images is not None:
            table = results_of(self._judged(heads, images), images.index)
            write_csv(folder / "results_valid.csv", table)
        if self.test is not None:
            row["test_error"] = self._judged(heads, self.test).error
        return row["test_error"]

    def _judged(self, heads: MeanHead, images: Images) -> Evaluation:
        return evaluate(heads, images, self.pipeline, world=self.world)
