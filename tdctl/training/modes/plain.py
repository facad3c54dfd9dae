"""Plain recording: one network, trained on all images. The other modes change some of its hooks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from torch import nn

from tdctl.errors import ConfigError
from tdctl.recorder import EpochRows, Recorder
from tdctl.training.trainer import Setup, Trainer

if TYPE_CHECKING:
    from tdctl.training.modes.folds import FoldTrainer

__all__ = ["BuildNetwork", "Plain", "Recording"]

# The first process writes the recording; the others keep the rows that they saw.
Recording = Recorder | EpochRows


class BuildNetwork(Protocol):
    """Builds one network with its first weights."""

    def __call__(self, seed: int, extra_classes: int = 0) -> nn.Module:
        """A network for the data set's classes and so many more."""
        ...


class Plain:
    """One network is trained on all images and recorded.

    A mode is asked in this order: ``check`` the sizes, ``build`` the networks, make the
    ``trainer``, call ``after_epoch`` once an epoch, ``write`` the files of its own.

    Attributes:
        trained_at_once: networks that see a batch together.
        heldout: whether held-out curves are recorded as well, in a second file.
    """

    trained_at_once = 1
    heldout = False

    def check(self, images: int, batch_size: int, processes: int) -> None:
        """Refuses fewer than two images for each process, in all or in a batch.

        Raises:
            ConfigError: says what is expected.
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
        """How many of the images each network is trained on, at least."""
        return images

    def softmax_values(self, images: int, num_classes: int) -> int:
        """How many numbers a softmax of each image takes, in every network that sees it."""
        return images * num_classes

    def build(self, build: BuildNetwork, seed: int) -> nn.Module:
        """All networks of the training, as one module."""
        return build(seed)

    def trainer(self, setup: Setup) -> Trainer | FoldTrainer:
        """What trains the networks that ``build`` gave."""
        return Trainer(*setup)

    def recordings(self, recorder: Recording | None) -> list[Recording]:
        """The recordings that are committed after an epoch."""
        return [] if recorder is None else [recorder]

    def after_epoch(self, trainer: Trainer | FoldTrainer, recorder: Recording | None) -> None:
        """Records what the steps of the epoch did not see."""

    def write(self, folder: Path, epochs: int) -> None:
        """Writes the files of this mode into the run folder, after the last epoch."""

    @property
    def _trains(self) -> str:
        """How a refusal begins."""
        return "training"
