"""The channel statistics for the normalisation of images."""

from __future__ import annotations

from tdctl.config import DataConfig
from tdctl.errors import ConfigError

__all__ = ["IMAGENET", "channels"]

# Mean and standard deviation of ImageNet's training pixels, divided by 255. torchvision's weights
# were trained with these.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def channels(
    config: DataConfig, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation for the normalisation, C values each in [0, 1].

    Args:
        config: its ``normalise`` chooses the statistics. What a network expects is known only
            where the network is, so ``network`` gives those of the data here.
        mean, std: the statistics of the data set's own training pixels.

    Raises:
        ConfigError: ImageNet's statistics are requested, but the images do not have 3 channels.
    """
    if config.normalise in ("data", "network"):
        return mean, std
    if len(mean) != 3:
        raise ConfigError(
            f"data.normalise: ImageNet's statistics are of 3 channels, the images of "
            f"{config.dataset} have {len(mean)}; give --set data.normalise=data"
        )
    return IMAGENET
