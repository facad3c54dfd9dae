"""How a batch reaches the network: augmentation, normalisation, device and precision."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from tdctl.config import TrainConfig
from tdctl.data.augment import Augment, Normalise
from tdctl.data.dataset import DataSet
from tdctl.training.device import use_bfloat16

__all__ = ["Pipeline"]


@dataclass(frozen=True)
class Pipeline:
    """What every forward pass of a run shares, in training as in evaluation."""

    augment: Augment
    normalise: Normalise
    device: torch.device
    bfloat16: bool

    @classmethod
    def of(cls, config: TrainConfig, dataset: DataSet, device: torch.device) -> Pipeline:
        """The pipeline that the settings and the data set ask for."""
        return cls(
            Augment(config, dataset),
            Normalise(dataset, device),
            device,
            use_bfloat16(config.amp, device),
        )

    def logits(
        self, net: nn.Module, pixels: torch.Tensor, stream: torch.Generator | None = None
    ) -> torch.Tensor:
        """Logits float32 [B, k] of pixels uint8 [B, C, H, W]; augmented where a stream is given."""
        pixels = pixels.to(self.device)
        if stream is not None:
            pixels = self.augment(pixels, stream)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            outputs: torch.Tensor = net(self.normalise(pixels))
        return outputs.float()
