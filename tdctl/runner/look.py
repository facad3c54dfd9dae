"""Checks a data set before a training: the notes that the training would begin with."""

from __future__ import annotations

import numpy as np
import torch

from tdctl.config import DataConfig
from tdctl.data import open_dataset
from tdctl.data.picture import megapixels
from tdctl.data.shown import sides
from tdctl.sources import list_dataset
from tdctl.sources.vector_files import VectorRows

__all__ = ["look"]

# To look at images of different sizes, they are scaled to this size.
SIDE = 64


def look(config: DataConfig) -> tuple[str, ...]:
    """What the user should know about a data set before a training, one line each.

    A sample of the images is decoded. If the images have different sizes and the settings name no
    size, they are looked at in one fixed size.

    Raises:
        DataError: a training could not use the data set as it is.
    """
    images = list_dataset(config).images
    if config.image_size is None and not isinstance(images, torch.Tensor | VectorRows):
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
