"""How a batch reaches the network: augmentation, normalisation, device and precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from tdctl.config import FitConfig
from tdctl.data.augment import Augment, Draw, Normalise
from tdctl.data.dataset import DataSet
from tdctl.training.device import DTYPES, Precision, pick_precision

__all__ = ["Pipeline"]


@dataclass(frozen=True)
class Pipeline:
    """What every forward pass of a run shares, in training as in evaluation."""

    augment: Augment
    normalise: Normalise
    device: torch.device
    precision: Precision

    @classmethod
    def of(
        cls,
        config: FitConfig,
        dataset: DataSet,
        device: torch.device,
        precision: Precision | None = None,
    ) -> Pipeline:
        """The pipeline that the settings and the data set ask for, in a precision if given."""
        return cls(
            Augment(config, dataset),
            Normalise(dataset, device),
            device,
            precision or pick_precision(config, device),
        )

    def logits(
        self,
        net: Callable[[torch.Tensor], torch.Tensor],
        pixels: torch.Tensor,
        draw: Draw | None = None,
        share: float | None = None,
    ) -> torch.Tensor:
        """Logits float32 [B, k] of pixels uint8 [B, C, H, W]; augmented where draws are given.

        With a ``share`` the images are mixed, and there are B + 1: each but the first has that
        share in a mixture with the one before it.
        """
        pixels = pixels.to(self.device, non_blocking=True)
        if draw is not None:
            pixels = self.augment(pixels, draw)
        enabled = self.precision != "float32"
        with torch.autocast(self.device.type, DTYPES[self.precision], enabled=enabled):
            values = self.normalise(pixels)
            if share is not None:
                values = torch.lerp(values[:-1], values[1:], share)
            return net(values).float()
