"""Builds the networks of a training, and loads pretrained weights if the settings name some."""

from __future__ import annotations

from torch import nn

from tdctl.config import Config
from tdctl.errors import ConfigError
from tdctl.nets import build_net, checkpoint_blocks
from tdctl.pretrained import Weights, load_published, load_weights, weights_file
from tdctl.training import Plain

__all__ = ["build_networks"]


def build_networks(
    config: Config,
    num_classes: int,
    shape: tuple[int, ...],
    mode: Plain,
    checkpointed: bool = False,
) -> tuple[nn.Module, Weights | None]:
    """Builds the networks of a recording mode.

    Args:
        config: the network, its weights file and the seed.
        num_classes: number of classes of the data set.
        shape: C, H, W of an image.
        mode: the recording mode; it says how many networks there are, and their seeds.
        checkpointed: whether the networks keep only the inputs of their blocks in a step.

    Returns:
        The networks as one module, and the pretrained weights (None if they are random).

    Raises:
        ConfigError: the weights do not fit the network, or their file changed between two of the
            networks, or the network has no blocks.
    """
    vectors = len(shape) == 1
    file = None if vectors else weights_file(config)
    loaded: list[Weights] = []

    def build(seed: int, extra_classes: int = 0) -> nn.Module:
        net = build_net(config.net, num_classes + extra_classes, shape, seed)
        if file is not None:
            loaded.append(load_weights(net, file))
        elif config.net.pretrained == "imagenet" and not vectors:
            loaded.append(load_published(net, config.net))
        if checkpointed and not vectors:
            checkpoint_blocks(net, config.net.label)
        return net

    net = mode.build(build, config.seed)
    weights = loaded[0] if loaded else None
    if any(other != weights for other in loaded):
        raise ConfigError(
            f"net.pretrained: {file}: changed while it was read; leave it alone until the training "
            "has begun"
        )
    return net, weights
