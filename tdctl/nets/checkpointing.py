"""Gradient checkpointing: less memory for the backward pass, and more time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from tdctl.errors import ConfigError
from tdctl.nets.heads import head_names

__all__ = ["checkpoint_blocks"]


class _Blocks(nn.Sequential):
    """Blocks in sequence; in training, only the input of each is kept for the backward pass."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self:
            if self.training and torch.is_grad_enabled():
                x = cast(torch.Tensor, checkpoint(block, x, use_reentrant=False))
            else:
                x = block(x)
        return x


def checkpoint_blocks(net: nn.Module, name: str) -> None:
    """Makes a network keep only the inputs of its blocks for the backward pass; changed in place.

    The blocks are computed twice. A batch norm inside then updates its running statistics twice
    with the same batch. The weights and their names stay.

    Args:
        net: a network of torchvision or timm.
        name: its name in error messages.

    Raises:
        ConfigError: the network has no such blocks.
    """
    refusal = ConfigError(
        f"train.checkpoint_blocks: {name} has no blocks that could be computed again; leave it "
        "out, and give a smaller --batch-size"
    )
    if hasattr(net, "set_grad_checkpointing"):
        try:
            cast(Any, net).set_grad_checkpointing(True)
        except AssertionError:  # timm's way to say so
            raise refusal from None
        return
    found = list(_sequences(net))
    if not found:
        raise refusal
    for sequence in found:
        sequence.__class__ = _Blocks


def _sequences(net: nn.Module) -> Iterator[nn.Sequential]:
    """The outermost sequences of at least two blocks, without the head's."""
    head = head_names(net)[0]
    names: list[str] = []
    for name, module in net.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in names)
        if inside or type(module) is not nn.Sequential or len(module) < 2:
            continue
        if any(True for _ in module.parameters()) and not head.startswith(f"{name}."):
            names.append(name)
            yield module
