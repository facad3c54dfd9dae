"""A network's own features: what goes into its last linear layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tdctl.errors import TrainingError

__all__ = ["FeatureHook"]


class FeatureHook:
    """Keeps the features of the last batch that went through a network.

    It sees compiled and parallel passes too, as they call the network's own last layer; the
    network must be tapped before it is first called compiled.
    """

    def __init__(self, net: nn.Module) -> None:
        layers = [module for module in net.modules() if isinstance(module, nn.Linear)]
        if not layers:
            raise TrainingError(
                "neighbours: the network has no linear layer, whose input would be its features; "
                "train with --neighbours 0"
            )
        self._kept: torch.Tensor | None = None
        self._hook = layers[-1].register_forward_pre_hook(self._keep)

    def _keep(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._kept = inputs[0].detach()

    def taken(self) -> torch.Tensor:
        """Float [B, F] of the batch that went through last, in the network's precision, once.

        Raises:
            TrainingError: none went through the layer since.
        """
        kept, self._kept = self._kept, None
        if kept is None:
            raise TrainingError(
                "neighbours: the network's last linear layer was not called; train with "
                "--no-compile, or with --neighbours 0"
            )
        return kept

    def close(self) -> None:
        """Leaves the network as it was."""
        self._hook.remove()
