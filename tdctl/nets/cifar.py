"""The CIFAR-style residual network."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn import functional

__all__ = ["CifarResNet"]


class _Block(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride, self.widened = stride, width - width_in

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # In place, because a new tensor for each step costs more than the arithmetic.
        out = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        if self.stride != 1 or self.widened:
            x = x[:, :, :: self.stride, :: self.stride]
            x = functional.pad(x, (0, 0, 0, 0, self.widened // 2, self.widened - self.widened // 2))
        return functional.relu(out.add_(x), inplace=True)


class CifarResNet(nn.Module):
    """A ResNet of depth 6n+2 for small images: three stages of n blocks, of widths 16, 32, 64.

    Args:
        depth: 6n+2, at least 8.
        num_classes: k, the number of logits.
        channels: the number of channels of the input image.
        stride: the stride of the first convolution; 2 halves the image, for 64 pixels and more.

    Source: He et al. (CVPR 2016), section 4.2, shortcut option A.
    """

    def __init__(self, depth: int, num_classes: int, channels: int = 3, stride: int = 1) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(channels, 16, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        stages, width_in = [], 16
        for width in (16, 32, 64):
            stage = [_Block(width_in, width, 1 if width == 16 else 2)]
            stage += [_Block(width, width, 1) for _ in range(blocks - 1)]
            stages.append(nn.Sequential(*stage))
            width_in = width
        self.stages = nn.Sequential(*stages)
        self.fc = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The logits, float [B, k], of images [B, C, H, W]."""
        x = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        x = self.stages(x).mean(dim=(2, 3))
        return cast(torch.Tensor, self.fc(x))
