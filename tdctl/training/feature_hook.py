"""The features of a network: the input of its last linear layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tdctl.errors import TrainingError

__all__ = ["FeatureHook"]


class FeatureHook:
    """Keeps the features of the last batch that passed through a network.

    It also works for compiled and parallel networks, because they call the same last layer. The
    hook must be created before a compiled network is called for the first time.
    """

    def __init__(self, net: nn.Module) -> None:
        layers = [module for module in net.modules() if isinstance(module, nn.Linear)]
        if not layers:
            raise TrainingError(
                "neighbours: the network has no linear layer whose input could be its features; "
                "train with --neighbours 0"
            )
        self._kept: torch.Tensor | None = None
        self._hook = layers[-1].register_forward_pre_hook(self._keep)

    def _keep(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._kept = inputs[0].detach()

    def taken(self) -> torch.Tensor:
        """The features of the last batch, float [B, F], in the network's precision.

        A second call without a new batch raises an error.

        Raises:
            TrainingError: no batch has passed through the layer since the last call.
        """
        kept, self._kept = self._kept, None
        if kept is None:
            raise TrainingError(
                "neighbours: the network's last linear layer was not called; train with "
                "--no-compile, or with --neighbours 0"
            )
        return kept

    def close(self) -> None:
        """Removes the hook from the network."""
        self._hook.remove()
