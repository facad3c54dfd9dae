"""Pictures of a run's samples, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.config import Config
from tdctl.data.picture import Reading, Unreadable, megapixels, quiet, read_rgb
from tdctl.data.survey import survey
from tdctl.errors import DataError
from tdctl.inputs.given_labels import list_training_data
from tdctl.names import normal
from tdctl.sources import Encoded

__all__ = ["pictures_of"]

Picture = NDArray[np.uint8]


def pictures_of(
    config: Config, index: NDArray[np.int64], names: Sequence[str], side: int
) -> list[Picture | None]:
    """Uint8 [side, side, 3] of each index, the whole picture between black bars; small ones grow.

    Args:
        config: the run's settings, which say where its data lies.
        index: int64 [m], of the samples.
        names: m file names as the run has them; empty ones where it has none.
        side: in pixels.

    Returns:
        None in the place of a picture that does not decode any more.

    Raises:
        DataError: the data set is missing, or a picture of it has another name than in the run.
    """
    listing = list_training_data(config)
    order = np.argsort(listing.labels.index, kind="stable")
    own = listing.labels.index[order]
    at = np.minimum(np.searchsorted(own, index), len(own) - 1)
    for place, (row, wanted, name) in enumerate(zip(at, index, names, strict=True)):
        known = own[row] == wanted
        now = "" if listing.names is None or not known else listing.names[order[row]]
        if not known or (name and normal(now) != normal(name)):
            what = f"is named {now!r}" if known else "is gone"
            raise DataError(
                f"{listing.name}: the picture of index {wanted}, {names[place]!r} in the run, "
                f"{what}; give the data that the run was made with by --data-dir"
            )
    rows = order[at]
    if isinstance(listing.images, torch.Tensor):
        return [_of_pixels(listing.images[row], side) for row in rows]
    return _of_files(listing.images.take(rows), config, side)


def _of_files(images: Encoded, config: Config, side: int) -> list[Picture | None]:
    limit = megapixels(config.data.max_megapixels)
    # What these pictures have in common, such as the bits in use: one rule for all of them.
    seen = survey(images, limit)
    reading = Reading(side, "pad", seen.bits, seen.ground, limit)
    found: list[Picture | None] = []
    with quiet():
        for row in range(len(images)):
            try:
                found.append(read_rgb(images, row, reading))
            except Unreadable:
                found.append(None)
    return found


def _of_pixels(pixels: torch.Tensor, side: int) -> Picture:
    """Of uint8 [C, H, W]: pixels stay squares, as many times as large as fits."""
    image = pixels.permute(1, 2, 0).numpy()
    if image.shape[2] == 1:
        image = np.repeat(image, 3, axis=2)
    times = max(1, side // max(image.shape[:2]))
    return image.repeat(times, axis=0).repeat(times, axis=1)
