"""Recording with AUM's threshold samples: two networks, their targets, losses and margins.

Shape suffixes: n training images, k classes, B batch, 2 networks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from tdctl.config import FitConfig
from tdctl.cuts import Thresholds, count_threshold_samples, draw_threshold_samples
from tdctl.data.dataset import Images
from tdctl.nets import TwoNetworks
from tdctl.recorder import logit_margin
from tdctl.streams import SECOND_NETWORK
from tdctl.training.losses import Loss, TrainingLoss
from tdctl.training.modes.plain import BuildNetwork, Plain, Recording
from tdctl.training.trainer import Setup, Trainer
from tdctl.training.world import World

if TYPE_CHECKING:
    from tdctl.training.modes.folds import FoldTrainer

__all__ = ["DrawnSamples", "ThresholdSamples", "ThresholdTrainer"]


class ThresholdSamples(Plain):
    """Two networks are trained; each sees some images with an extra class as their label.

    After the last epoch, ``threshold.npz`` contains the margins of both networks for every image.

    Args:
        num_classes: number of classes of the data set, without the extra class.
    """

    trained_at_once = 2

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes
        self._trainer: ThresholdTrainer | None = None

    def check(self, images: int, batch_size: int, processes: int) -> None:
        """Refuses too few images, also for drawing threshold samples.

        Raises:
            ConfigError: the message says what is expected.
        """
        super().check(images, batch_size, processes)
        count_threshold_samples(images, self._num_classes)

    def softmax_values(self, images: int, num_classes: int) -> int:
        """How many numbers a softmax of each image needs, in both networks."""
        return self.trained_at_once * images * (num_classes + 1)

    def build(self, build: BuildNetwork, seed: int) -> nn.Module:
        """``TwoNetworks`` with one class more than the data set has."""
        (other,) = SECOND_NETWORK.seeds(1, seed)
        first, second = (build(own, extra_classes=1) for own in (seed, other))
        return TwoNetworks(first, second, self._num_classes)

    def trainer(self, setup: Setup) -> Trainer:
        """The trainer of the two networks, which are trained together."""
        self._trainer = ThresholdTrainer(*setup)
        return self._trainer

    def after_epoch(self, trainer: Trainer | FoldTrainer, recorder: Recording | None) -> None:
        """Adds the margins of the epoch, in all processes."""
        if self._trainer is not None and recorder is not None:
            self._trainer.samples.commit(self._trainer.world)

    def predict(self, trainer: Trainer | FoldTrainer, recorder: Recording) -> bool:
        """There are two networks, so there is no prediction of one."""
        return False

    def thresholds(self, epochs: int) -> Thresholds:
        """The margins of both networks for every image.

        Args:
            epochs: number of epochs trained.

        Raises:
            ValueError: nothing was trained yet.
        """
        if self._trainer is None:
            raise ValueError("nothing was trained")
        return self._trainer.samples.found(epochs)

    def write(self, folder: Path, epochs: int) -> None:
        """Writes ``threshold.npz``."""
        self.thresholds(epochs).write(folder)


class ThresholdTrainer(Trainer):
    """Trains ``TwoNetworks``, each with targets of its own.

    Attributes:
        samples: the images that each network sees with the extra class, and their margins.
    """

    samples: DrawnSamples

    def _make_loss(self, config: FitConfig, images: Images, seed: int) -> TrainingLoss:
        self.samples = DrawnSamples(
            images, self._targets, cast(TwoNetworks, self.net).num_classes, seed
        )
        return TwoNetworksLoss(config, len(images), self.samples)

    def _recorded_net(self, net: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        return cast(TwoNetworks, net).apart

    def _judged(self, rows: torch.Tensor, logits: torch.Tensor, recorded: bool) -> torch.Tensor:
        """Logits [B, k] of the networks that saw the given label of an image."""
        if recorded:
            self.samples.record(rows, logits)
        return self.samples.judged(rows, logits)


class DrawnSamples:
    """The threshold samples of each of two networks, and the margins so far.

    Args:
        images: the training images.
        targets: int64 [n] on the device, their given labels.
        num_classes: k; this is also the number of the extra class.
        seed: seed of the draw.

    Raises:
        ConfigError: there are too few images for a draw.
    """

    def __init__(self, images: Images, targets: torch.Tensor, num_classes: int, seed: int) -> None:
        self._index = images.index
        self._marks = draw_threshold_samples(len(images), num_classes, seed)
        self._marks_2n = torch.from_numpy(self._marks).to(targets.device)
        self._targets_2n = torch.where(self._marks_2n, num_classes, targets)
        # The margins of the epoch (0 for images of another process), and their sum over epochs.
        self._epoch_2n = torch.zeros(self._marks_2n.shape, device=targets.device)
        self._total_2n = torch.zeros_like(self._epoch_2n)

    def targets(self, rows: torch.Tensor) -> torch.Tensor:
        """Int64 [2, B]: the labels that each network sees for the images at ``rows``."""
        return self._targets_2n[:, rows]

    def record(self, rows: torch.Tensor, logits_B2k: torch.Tensor) -> None:
        """Keeps the margins of a batch, from both networks' logits of k + 1 classes.

        For an image with its given label, the extra class is one of the other classes.
        """
        self._epoch_2n[:, rows] = logit_margin(logits_B2k, self.targets(rows).T).T

    def judged(self, rows: torch.Tensor, logits_B2k: torch.Tensor) -> torch.Tensor:
        """Float [B, k]: the mean logits of the networks that saw the given label.

        Source: the published code of AUM (``examples/paper_replication`` of asappresearch/aum)
            averages the AUM over the runs in which an image is no threshold sample.
        """
        judges_B21 = (~self._marks_2n[:, rows]).T[:, :, None].to(logits_B2k.dtype)
        return (logits_B2k[:, :, :-1] * judges_B21).sum(dim=1) / judges_B21.sum(dim=1)

    def commit(self, world: World) -> None:
        """Adds the epoch's margins to the sum, in all processes."""
        self._total_2n += world.sum(self._epoch_2n)
        self._epoch_2n.zero_()

    def found(self, epochs: int) -> Thresholds:
        """The result after ``epochs`` epochs."""
        aum = (self._total_2n / epochs).cpu().numpy()
        return Thresholds(self._index, self._marks, aum)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The state that a training needs to be resumed after a complete epoch."""
        return {"total": self._total_2n}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restores a state.

        Raises:
            ValueError, KeyError: it belongs to another training.
        """
        total = state["total"].to(self._total_2n.device)
        if total.shape != self._total_2n.shape:
            raise ValueError(f"margins of {tuple(total.shape)} images")
        self._total_2n = total


class TwoNetworksLoss:
    """The loss of two networks, each with its own targets and its own state.

    It has the same methods as ``Loss``. It returns the sum of both losses. The networks share no
    weights, so each network gets only the gradient of its own loss.
    """

    networks = 2

    def __init__(self, config: FitConfig, n: int, samples: DrawnSamples) -> None:
        self._samples = samples
        self._parts = [Loss(config, n) for _ in range(self.networks)]

    def __call__(
        self, logits: torch.Tensor, targets: torch.Tensor, rows: torch.Tensor
    ) -> torch.Tensor:
        """The sum over a batch and both networks, a scalar.

        Args:
            logits: float [B, 2, k + 1].
            targets: not used, because the threshold samples have their own labels.
            rows: int64 [B], the images' positions.
        """
        shown_2B = self._samples.targets(rows)
        both = zip(self._parts, logits.unbind(dim=1), shown_2B, strict=True)
        return torch.stack([loss(own, shown, rows) for loss, own, shown in both]).sum()

    def epoch_done(self, world: World) -> None:
        """Makes the state equal in all processes."""
        for part in self._parts:
            part.epoch_done(world)

    def state_dict(self) -> dict[str, Any]:
        """The state that a training needs to be resumed, including the margins."""
        parts = {str(i): part.state_dict() for i, part in enumerate(self._parts)}
        return parts | self._samples.state_dict()

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Restores a state.

        Raises:
            ValueError, KeyError: it belongs to another loss or to other images.
        """
        for i, part in enumerate(self._parts):
            part.load_state_dict(state[str(i)], device)
        self._samples.load_state_dict(state)
