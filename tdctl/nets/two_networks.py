"""Two networks in one, for AUM's threshold samples.

Shapes: B batch, C channels, H and W the image, k the images' classes.
"""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["TwoNetworks"]


class TwoNetworks(nn.Module):
    """Two networks side by side, each with one class more than the images have.

    The extra class, k, is that of the threshold samples. The networks share nothing: trained on
    the sum of their losses, each is what it would be alone.

    Attributes:
        networks: the two, each giving logits [B, k + 1].
        num_classes: k.
    """

    def __init__(self, first: nn.Module, second: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.networks = nn.ModuleList([first, second])
        self.num_classes = num_classes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """In train mode what ``apart`` gives; in eval mode the mean logits of k classes [B, k]."""
        logits = self.apart(x)
        return logits if self.training else logits[:, :, :-1].mean(dim=1)

    def apart(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [B, 2, k + 1] of images [B, C, H, W], in either mode."""
        return torch.stack([network(x) for network in self.networks], dim=1)
