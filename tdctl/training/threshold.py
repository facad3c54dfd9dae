"""Training two networks with AUM's threshold samples: targets, losses, margins.

Shape suffixes: n training images, k classes, B batch, 2 networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from tdctl.config import FitConfig
from tdctl.cuts import Thresholds, draw_threshold_samples
from tdctl.data.dataset import Images
from tdctl.training.losses import Loss
from tdctl.training.world import World

__all__ = ["PairLoss", "ThresholdSamples"]


class ThresholdSamples:
    """The threshold samples of each of two networks, and the margins found so far.

    Args:
        images: the training images.
        targets: int64 [n] on the device, their given labels.
        num_classes: k; the threshold samples' class.
        seed: of the draw.

    Raises:
        ConfigError: there are too few images for a draw.
    """

    def __init__(self, images: Images, targets: torch.Tensor, num_classes: int, seed: int) -> None:
        self._index = images.index
        self._marks = draw_threshold_samples(len(images), num_classes, seed)
        self._marks_2n = torch.from_numpy(self._marks).to(targets.device)
        self._targets_2n = torch.where(self._marks_2n, num_classes, targets)
        # The margins of the epoch, 0 for what another process sees, and their sum over epochs.
        self._epoch_2n = torch.zeros(self._marks_2n.shape, device=targets.device)
        self._total_2n = torch.zeros_like(self._epoch_2n)

    def targets(self, rows: torch.Tensor) -> torch.Tensor:
        """Int64 [2, B]: the labels that each network is shown of the images at ``rows``."""
        return self._targets_2n[:, rows]

    def record(self, rows: torch.Tensor, logits_B2k: torch.Tensor) -> None:
        """Takes the margins of a batch from both networks' logits of k + 1 classes.

        The extra class is among the others of an image with its given label.
        """
        shown_B21 = self.targets(rows).T[:, :, None]
        own_B2 = logits_B2k.gather(2, shown_B21)[:, :, 0]
        others_B2 = logits_B2k.scatter(2, shown_B21, -torch.inf).amax(dim=2)
        self._epoch_2n[:, rows] = (own_B2 - others_B2).T

    def judged(self, rows: torch.Tensor, logits_B2k: torch.Tensor) -> torch.Tensor:
        """Float [B, k]: mean logits of the networks that were shown the given label.

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
        """The result, after so many epochs."""
        aum = (self._total_2n / epochs).cpu().numpy()
        return Thresholds(self._index, self._marks, aum)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """What a training needs to go on after a whole epoch."""
        return {"total": self._total_2n}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Puts a state back.

        Raises:
            ValueError, KeyError: it is of another training.
        """
        total = state["total"].to(self._total_2n.device)
        if total.shape != self._total_2n.shape:
            raise ValueError(f"margins of {tuple(total.shape)} images")
        self._total_2n = total


class PairLoss:
    """The loss of two networks, each with its own targets and its own memory.

    It offers what ``Loss`` does, and adds up: the networks share no weight, so each gets the
    gradient of its own part.
    """

    networks = 2

    def __init__(self, config: FitConfig, n: int, samples: ThresholdSamples) -> None:
        self._samples = samples
        self._parts = [Loss(config, n) for _ in range(self.networks)]

    def __call__(
        self, logits: torch.Tensor, targets: torch.Tensor, rows: torch.Tensor
    ) -> torch.Tensor:
        """The sum over a batch and both networks, a scalar.

        Args:
            logits: float [B, 2, k + 1].
            targets: of no use here: the threshold samples have their own.
            rows: int64 [B], the images' positions.
        """
        shown_2B = self._samples.targets(rows)
        both = zip(self._parts, logits.unbind(dim=1), shown_2B, strict=True)
        return torch.stack([loss(own, shown, rows) for loss, own, shown in both]).sum()

    def epoch_done(self, world: World) -> None:
        """Brings all processes to one state."""
        for part in self._parts:
            part.epoch_done(world)

    def state_dict(self) -> dict[str, Any]:
        """What a training needs to go on after a whole epoch, the margins among it."""
        parts = {str(i): part.state_dict() for i, part in enumerate(self._parts)}
        return parts | self._samples.state_dict()

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Puts a state back.

        Raises:
            ValueError, KeyError: it is of another loss, or of other images.
        """
        for i, part in enumerate(self._parts):
            part.load_state_dict(state[str(i)], device)
        self._samples.load_state_dict(state)
