"""Plain recording: one network, trained on all images. Other modes override some of its methods."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from torch import nn

from tdctl.errors import ConfigError
from tdctl.recorder import EpochRows, RunRecorder
from tdctl.training.trainer import Setup, Trainer

if TYPE_CHECKING:
    from tdctl.training.modes.folds import FoldTrainer

__all__ = ["BuildNetwork", "Plain", "Recording"]

# The first process writes the recording; the others collect the rows that they saw.
Recording = RunRecorder | EpochRows


class BuildNetwork(Protocol):
    """Builds one network with its initial weights."""

    def __call__(self, seed: int, extra_classes: int = 0) -> nn.Module:
        """A network for the classes of the data set plus ``extra_classes``."""
        ...


class Plain:
    """One network is trained on all images and recorded.

    The methods are called in this order: ``check``, ``build``, ``trainer``, ``after_epoch`` once
    per epoch, ``predict``, and ``write``.

    Attributes:
        trained_at_once: number of networks that compute a batch together.
        heldout: whether held-out curves are recorded too, in a second file.
    """

    trained_at_once = 1
    heldout = False

    def check(self, images: int, batch_size: int, processes: int) -> None:
        """Refuses fewer than two images per process, in the data or in a batch.

        Raises:
            ConfigError: the message says what is expected.
        """
        least = 2 * processes
        left = self.images_of_each(images)
        if left < least:
            raise ConfigError(f"{self._trains}: {left} images are left; expected at least {least}")
        if batch_size < least:
            raise ConfigError(
                f"batch_size: {batch_size} images for {processes} processes; expected at least "
                f"{least}, two for each"
            )

    def images_of_each(self, images: int) -> int:
        """The smallest number of images that a network is trained on."""
        return images

    def softmax_values(self, images: int, num_classes: int) -> int:
        """How many numbers a softmax of each image needs, for all networks that train on it."""
        return images * num_classes

    def build(self, build: BuildNetwork, seed: int) -> nn.Module:
        """All networks of the training, as one module."""
        return build(seed)

    def trainer(self, setup: Setup) -> Trainer | FoldTrainer:
        """The trainer of the networks that ``build`` returned."""
        return Trainer(*setup)

    def recordings(self, recorder: Recording | None) -> list[Recording]:
        """The recordings that are committed after an epoch."""
        return [] if recorder is None else [recorder]

    def after_epoch(self, trainer: Trainer | FoldTrainer, recorder: Recording | None) -> None:
        """Records what the training steps of the epoch did not see."""

    def predict(self, trainer: Trainer | FoldTrainer, recorder: Recording) -> bool:
        """Records what the network predicts for each sample after the last epoch.

        Returns whether there is such a prediction; there is none where several networks train.
        """
        if not isinstance(trainer, Trainer):
            return False
        trainer.final_pass(recorder)
        return True

    def write(self, folder: Path, epochs: int) -> None:
        """Writes the files of this mode into the run folder, after the last epoch."""

    @property
    def _trains(self) -> str:
        """The first words of an error message."""
        return "training"
