"""The pictures of a run's samples, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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
from tdctl.sources.encoded import Files
from tdctl.sources.vector_files import VectorRows

__all__ = ["FoundPictures", "find_pictures"]

Picture = NDArray[np.uint8]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class FoundPictures:
    """The pictures of a data set, found by the indices and file names that a run has of them.

    Attributes:
        title: the name of the data set.
        images: encoded, or uint8 [n, C, H, W].
        reading: how encoded ones are read.
        order, own: int64 [n], the rows of the data set by index, and their indices.
        names: of the files of the data set; None where they are no files.
        folder: where the files lie, None where they are no files.
    """

    title: str
    images: Encoded | torch.Tensor
    reading: Reading
    order: Rows
    own: Rows
    names: list[str] | None
    folder: Path | None

    def rows_of(self, index: Rows, names: Sequence[str]) -> Rows:
        """Int64 [m], the rows of some samples; -1 where a picture is gone, or has another name.

        Args:
            index: int64 [m], of the samples.
            names: m file names as the run has them; empty ones where it has none.
        """
        at = np.minimum(np.searchsorted(self.own, index), len(self.own) - 1)
        rows = np.where(self.own[at] == index, self.order[at], -1)
        if self.names is not None:
            for place, name in enumerate(names):
                row = rows[place]
                if row >= 0 and name and normal(self.names[row]) != normal(name):
                    rows[place] = -1
        return rows

    def squares(self, index: Rows, names: Sequence[str], side: int) -> list[Picture | None]:
        """Uint8 [side, side, 3] of each sample: the whole picture between black bars.

        Small pictures grow. A picture that does not decode any more is None.

        Args:
            index: int64 [m], of the samples.
            names: m file names as the run has them; empty ones where it has none.
            side: in pixels.

        Raises:
            DataError: a picture is gone, or has another name than in the run.
        """
        rows = self.rows_of(index, names)
        for place in np.flatnonzero(rows < 0)[:1]:
            self._refuse(int(index[place]), names[place])
        if isinstance(self.images, torch.Tensor):
            return [_of_pixels(self.images[row], side) for row in rows]
        reading = replace(self.reading, size=side, fit="pad")
        found: list[Picture | None] = []
        with quiet():
            for row in rows.tolist():
                try:
                    found.append(read_rgb(self.images, row, reading))
                except Unreadable:
                    found.append(None)
        return found

    def _refuse(self, index: int, name: str) -> None:
        at = int(np.searchsorted(self.own, index))
        known = self.names is not None and at < len(self.own) and self.own[at] == index
        what = f"is named {self.names[self.order[at]]!r}" if known and self.names else "is gone"
        raise DataError(
            f"{self.title}: the picture of index {index}, {name!r} in the run, {what}; give the "
            "data that the run was made with by --data-dir"
        )


def find_pictures(config: Config) -> FoundPictures:
    """The pictures of a run.

    Args:
        config: the run's settings, which say where its data lies.

    Raises:
        DataError: the data set is missing, or another one, or of embeddings.
    """
    listing = list_training_data(config)
    images: Any = listing.images
    if isinstance(images, VectorRows):
        raise DataError(f"{images.path}: embeddings have no pictures to be looked at")
    reading = Reading()
    if not isinstance(images, torch.Tensor):
        limit = megapixels(config.data.max_megapixels)
        # What the pictures have in common, such as the bits in use: one rule for all of them.
        seen = survey(images, limit)
        reading = Reading(bits=seen.bits, ground=seen.ground, max_pixels=limit)
    order = np.argsort(listing.labels.index, kind="stable")
    folder = config.data.root if isinstance(images, Files) and listing.names else None
    own = listing.labels.index[order]
    return FoundPictures(listing.name, images, reading, order, own, listing.names, folder)


def _of_pixels(pixels: torch.Tensor, side: int) -> Picture:
    """Of uint8 [C, H, W]: pixels stay squares, as many times as large as fits."""
    image = pixels.permute(1, 2, 0).numpy()
    if image.shape[2] == 1:
        image = np.repeat(image, 3, axis=2)
    times = max(1, side // max(image.shape[:2]))
    return image.repeat(times, axis=0).repeat(times, axis=1)
