"""The features of a network: the input of its head."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tdctl.errors import TrainingError
from tdctl.nets import head_names

__all__ = ["FeatureHook"]


class FeatureHook:
    """Keeps the features of the last batch that passed through a network.

    It also works for compiled and parallel networks, because they call the same last layer. The
    hook must be created before a compiled network is called for the first time.
    """

    def __init__(self, net: nn.Module) -> None:
        try:
            head = net.get_submodule(head_names(net)[0])
        except ValueError as error:
            raise TrainingError(f"features: {error}; use another --net-type") from None
        self._kept: torch.Tensor | None = None
        self._hook = head.register_forward_pre_hook(self._keep)

    def _keep(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        kept = inputs[0].detach()
        # A head that is a convolution sees maps [B, F, H, W].
        self._kept = kept.mean(dim=(2, 3)) if kept.ndim == 4 else kept

    def taken(self) -> torch.Tensor:
        """The features of the last batch, float [B, F], in the network's precision.

        A second call without a new batch raises an error.

        Raises:
            TrainingError: no batch has passed through the layer since the last call.
        """
        kept, self._kept = self._kept, None
        if kept is None:
            raise TrainingError(
                "features: the network's head was not called; train with --no-compile"
            )
        return kept

    def close(self) -> None:
        """Removes the hook from the network."""
        self._hook.remove()
