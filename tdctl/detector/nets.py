"""Networks that read several channels; the paper's own is in ``lstm``.

Shape suffixes: B curves of a batch, T steps, C channels.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn import functional

from tdctl.detector.lstm import HIDDEN, LstmDetector

__all__ = ["OWN_WIDTHS", "GruDetector", "PooledDetector", "TcnDetector", "make_net"]

# Features of a step, where no other number is asked for.
OWN_WIDTHS = {"lstm": HIDDEN, "gru": 48, "tcn": 48}
# Standard deviations in training beyond which a channel's value counts as this far.
FAR = 6.0


class PooledDetector(nn.Module):
    """What the networks of several channels share: scaled input, pooling over time, a head.

    The head sees the pooled features and, past them, the mean and the last value of every
    channel: the means hold what hand-made scores are made of, which nothing needs to learn anew.

    Attributes:
        centre, scale: float [C], what the channels were in training; part of the weights.
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
        """Sets what is subtracted from each channel, and by what it is divided."""
        self.centre.copy_(centre)
        # What was the same in all of the training says nothing, and must not shout elsewhere.
        self.scale.copy_(scale.masked_fill(scale < 1e-3, 1e6))

    def features(self, curves: torch.Tensor) -> torch.Tensor:
        """Float [B, features] of scaled curves float [B, T, C]."""
        raise NotImplementedError

    def forward(self, curves: torch.Tensor) -> torch.Tensor:
        """Logits float [B, 2] (correct, mislabeled) of curves float [B, T, C]."""
        # The numbers of a run, such as its evenness, are as many as the runs trained on: another
        # run's may lie far from them all.
        scaled = ((curves - self.centre) / self.scale).clamp(-FAR, FAR)
        seen = [self.features(scaled), scaled.mean(dim=1), scaled[:, -1]]
        return cast(torch.Tensor, self.head(torch.cat(seen, dim=1)))


class GruDetector(PooledDetector):
    """A GRU that reads the curve forwards and backwards; mean and maximum over time."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(channels, 4 * width, width)
        self.gru = nn.GRU(channels, width, batch_first=True, bidirectional=True)

    def features(self, curves: torch.Tensor) -> torch.Tensor:
        """Float [B, 4 width]."""
        hidden, _ = self.gru(curves)
        return torch.cat([hidden.mean(dim=1), hidden.amax(dim=1)], dim=1)


class TcnDetector(PooledDetector):
    """Convolutions over time with growing reach; mean over time, and a mean by attention."""

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
    """A network with fresh weights: ``lstm`` (the paper's), ``gru`` or ``tcn``.

    Args:
        width: features of a step; 0: its own number.

    Raises:
        KeyError: there is no such kind.
    """
    return NETS[kind](channels, width or OWN_WIDTHS[kind])


NETS: dict[str, type[LstmDetector] | type[GruDetector] | type[TcnDetector]] = {
    "lstm": LstmDetector,
    "gru": GruDetector,
    "tcn": TcnDetector,
}
