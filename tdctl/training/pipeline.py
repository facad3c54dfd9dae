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
    """What all forward passes of a run share, in training and in evaluation."""

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
        """The pipeline that the settings and the data set ask for.

        Args:
            config: the settings of the training.
            dataset: the data set.
            device: the device.
            precision: None lets ``pick_precision`` choose.
        """
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
        """The logits of a batch of images, float32 [B, k].

        Args:
            net: the network.
            pixels: uint8 [B, C, H, W]; with a ``share``, [B + 1, C, H, W].
            draw: random draws of the augmentation; None does not augment.
            share: mixes each image except the first with the image before it, in [0, 1]: the
                image has this share in the mixture. None mixes nothing.
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

    def mirrored_logits(
        self, net: Callable[[torch.Tensor], torch.Tensor], pixels: torch.Tensor
    ) -> torch.Tensor:
        """The logits of images as they are, float32 [B, k].

        If the training mirrors images, it is the mean of the logits of the image and its mirror.

        Args:
            net: the network.
            pixels: uint8 [B, C, H, W].
        """
        logits = self.logits(net, pixels)
        return (logits + self.logits(net, pixels.flip(3))) / 2 if self.augment.mirrors else logits
