"""Networks that read several channels. The paper's network is in ``lstm``.

Shape suffixes: B curves of a batch, T steps, C channels.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn import functional

from tdctl.detector.lstm import HIDDEN, LstmDetector

__all__ = ["OWN_WIDTHS", "GruDetector", "PooledDetector", "TcnDetector", "make_net"]

# Features per step, if the settings do not give a number.
OWN_WIDTHS = {"lstm": HIDDEN, "gru": 48, "tcn": 48}
# Scaled channel values are clipped to this many standard deviations of the training.
FAR = 6.0


class PooledDetector(nn.Module):
    """Base of the networks with several channels: scaled input, pooling over time, and a head.

    The head sees the pooled features and also the mean and the last value of every channel. The
    means contain what hand-made scores are made of, so the network need not learn it.

    Attributes:
        centre, scale: float [C], mean and deviation of the channels in training; saved with the
            weights.
    """

    centre: torch.Tensor
    scale: torch.Tensor

    def __init__(self, channels: int, features: int, width: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(channels))
        self.head = nn.Sequential(
            nn.Linear(features + 2 * channels, width), nn.GELU(), nn.Linear(width, 2)
        )

    def fit_scale(self, centre: torch.Tensor, scale: torch.Tensor) -> None:
        """Sets what is subtracted from each channel, and by what it is then divided."""
        self.centre.copy_(centre)
        # A channel that was constant in training has no information. With a large scale it stays
        # near 0, also if it is not constant in another run.
        self.scale.copy_(scale.masked_fill(scale < 1e-3, 1e6))

    def features(self, curves: torch.Tensor) -> torch.Tensor:
        """Float [B, features], from scaled curves, float [B, T, C]."""
        raise NotImplementedError

    def forward(self, curves: torch.Tensor) -> torch.Tensor:
        """Logits, float [B, 2] (correct, mislabeled), of curves, float [B, T, C]."""
        # A channel such as the evenness has only one value per run. In another run it may be far
        # from all values in training, so it is clipped.
        scaled = ((curves - self.centre) / self.scale).clamp(-FAR, FAR)
        seen = [self.features(scaled), scaled.mean(dim=1), scaled[:, -1]]
        return cast(torch.Tensor, self.head(torch.cat(seen, dim=1)))


class GruDetector(PooledDetector):
    """A bidirectional GRU; its features are the mean and the maximum over time."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(channels, 4 * width, width)
        self.gru = nn.GRU(channels, width, batch_first=True, bidirectional=True)

    def features(self, curves: torch.Tensor) -> torch.Tensor:
        """Float [B, 4 width]."""
        hidden, _ = self.gru(curves)
        return torch.cat([hidden.mean(dim=1), hidden.amax(dim=1)], dim=1)


class TcnDetector(PooledDetector):
    """Dilated convolutions over time; its features are the mean and an attention-weighted mean."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(channels, 2 * width, width)
        self.first = nn.Conv1d(channels, width, 5, padding=2)
        self.blocks = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding=reach, dilation=reach) for reach in (1, 2, 4)
        )
        self.attention = nn.Conv1d(width, 1, 1)

    def features(self, curves: torch.Tensor) -> torch.Tensor:
        """Float [B, 2 width]."""
        hidden = functional.gelu(self.first(curves.transpose(1, 2)))
        for block in self.blocks:
            hidden = hidden + functional.gelu(block(hidden))
        weights = self.attention(hidden).softmax(dim=2)
        return torch.cat([hidden.mean(dim=2), (hidden * weights).sum(dim=2)], dim=1)


def make_net(kind: str, channels: int, width: int = 0) -> nn.Module:
    """A network with new weights: ``lstm`` (the paper's), ``gru`` or ``tcn``.

    Args:
        kind: one of these names.
        channels: C, at least 1.
        width: features per step; 0 uses the network's default.

    Raises:
        KeyError: the kind is unknown.
    """
    return NETS[kind](channels, width or OWN_WIDTHS[kind])


NETS: dict[str, type[LstmDetector] | type[GruDetector] | type[TcnDetector]] = {
    "lstm": LstmDetector,
    "gru": GruDetector,
    "tcn": TcnDetector,
}
