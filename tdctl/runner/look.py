"""The check of a data set by itself: what a training of it would be told beforehand."""

from __future__ import annotations

import numpy as np
import torch

from tdctl.config import DataConfig
from tdctl.data import open_dataset
from tdctl.data.picture import megapixels
from tdctl.data.shown import sides
from tdctl.sources import list_dataset

__all__ = ["look"]

# What images of different sizes are brought to, to be looked at.
SIDE = 64


def look(config: DataConfig) -> tuple[str, ...]:
    """What the user should know of a data set before a training, one line each.

    A sample of the images is decoded. Those of different sizes are looked at in one, where the
    settings name none.

    Raises:
        DataError: it cannot be trained on as it is.
    """
    images = list_dataset(config).images
    if config.image_size is None and not isinstance(images, torch.Tensor):
        found = sides(images, megapixels(config.max_megapixels)).sides
        if len(np.unique(found, axis=0)) > 1:
            small, large = (found[at].tolist() for at in np.argsort(found.prod(axis=1))[[0, -1]])
            sized = config.model_copy(update={"image_size": SIDE})
            return (
                f"images of different sizes, from {small[0]}x{small[1]} to {large[0]}x{large[1]}: "
                f"a training needs --image-size (looked at here with {SIDE})",
                *open_dataset(sized, dry=True).notes,
            )
    return open_dataset(config, dry=True).notes
