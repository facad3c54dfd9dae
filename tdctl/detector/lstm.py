"""The paper's detector network."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

__all__ = ["HIDDEN", "LstmDetector"]

HIDDEN = 64


class LstmDetector(nn.Module):
    """A 2-layer LSTM that reads the given label's probability; its last state gives 2 logits.

    Args:
        channels: numbers per epoch; 1 in the paper.
        hidden: size of the hidden state.
        layers: number of layers.

    Source: Jia et al. (AAAI 2023), section 3 and published code: hidden size 64, orthogonal
        weights, biases 0.01; parameter names ``lstm.*`` and ``classifier.*`` as there.
    """

    def __init__(self, channels: int = 1, hidden: int = HIDDEN, layers: int = 2) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, hidden, layers, batch_first=True)
        self.classifier = nn.Linear(hidden, 2)
        for name, parameter in self.lstm.named_parameters():
            if name.startswith("weight"):
                nn.init.orthogonal_(parameter)
            else:
                nn.init.constant_(parameter, 0.01)

    def forward(self, curves: torch.Tensor) -> torch.Tensor:
        """Logits, float [B, 2] (correct, mislabeled), of curves, float [B, epochs, channels]."""
        hidden, _ = self.lstm(curves)
        return cast(torch.Tensor, self.classifier(hidden[:, -1]))
