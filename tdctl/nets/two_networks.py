"""Two networks in one, for AUM's threshold samples.

Shapes: B batch, C channels, H and W the image, k the number of the images' classes.
"""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["TwoNetworks"]


class TwoNetworks(nn.Module):
    """Two networks side by side, each with one more class than the images have.

    The extra class has the number k and is for the threshold samples. The networks share nothing.
    Trained on the sum of their losses, each becomes what it would become alone.

    Attributes:
        networks: the two networks, each with logits [B, k + 1].
        num_classes: k.
    """

    def __init__(self, first: nn.Module, second: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.networks = nn.ModuleList([first, second])
        self.num_classes = num_classes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """In train mode the result of ``apart``; in eval mode the mean logits of k classes."""
        logits = self.apart(x)
        return logits if self.training else logits[:, :, :-1].mean(dim=1)

    def apart(self, x: torch.Tensor) -> torch.Tensor:
        """The logits of both networks, [B, 2, k + 1], of images [B, C, H, W]; in either mode."""
        return torch.stack([network(x) for network in self.networks], dim=1)
