"""Chooses the size to which the pictures of the user's own data are brought.

Every command that trains uses this. The size depends only on the pictures, so each process of a run
and each later command chooses the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tdctl.config import Config
from tdctl.data.headers import first_other_size
from tdctl.data.picture import megapixels
from tdctl.data.shown import sides
from tdctl.finding.choices import OF_PICTURES, Choice, Seen, SeenVectors, choose
from tdctl.finding.forecast import forecast_training
from tdctl.inputs import list_training_data, with_whole_paths
from tdctl.run import CONFIG_FILE, read_config
from tdctl.sources import Listing
from tdctl.sources.vector_files import VectorRows
from tdctl.training import World

__all__ = ["Suited", "in_words", "see", "see_vectors", "suit", "suited", "suited_alike"]

# The time for decoding is named if it is longer than this number of seconds.
LONG = 10.0
# The user's own data whose images may be of any size.
OF_ANY_SIZE = {"folder", "table", "webdataset", "hf"}


@dataclass(frozen=True)
class Suited:
    """The settings that suit the pictures.

    Attributes:
        choice: the settings, without those that the user has set.
        seen: the sizes of the pictures and the classes.
        listing: the data set.
    """

    choice: Choice
    seen: Seen
    listing: Listing

    def applied(self, config: Config) -> Config:
        """The settings with the choice."""
        return _with(config, self.choice.settings)

    def line(self, config: Config, world: World | None = None) -> str:
        """The choice and how to change it, in one line; with a ``world``, also its time.

        Args:
            config: all settings, with the choice.
            world: what computes a recording.
        """
        recording = ""
        if world is not None:
            took = forecast_training(config, self.listing, world)
            time = in_words(took.whole(config.train.epochs))
            count = config.train.epochs
            epochs = f"{count} epoch{'s' * (count != 1)}"
            if took.decoding > LONG:
                epochs += f", {in_words(took.decoding)} of it to decode the images"
            recording = f"; {config.net.label} takes {time} here for {epochs}"
        sizes = f"{self.seen.short} by {self.seen.long} pixels"
        varied = "" if self.seen.alike else " (the median)"
        fit = " --fit pad" if "data.fit" in self.choice.settings else ""
        return (
            f"--image-size {config.data.image_size}{fit}, because the images have {sizes}{varied}"
            f"{recording}; give --image-size, --net-type or --epochs to change it"
        )


def see_vectors(listing: Listing) -> SeenVectors | None:
    """The number, the length and the classes of embeddings; None if the data are images."""
    if not isinstance(listing.images, VectorRows):
        return None
    numbers = int(listing.images.values.shape[1])
    return SeenVectors(len(listing), tuple(listing.class_names), numbers)


def see(config: Config, listing: Listing) -> Seen | None:
    """The sizes of the training images, from the headers of their files, and the classes.

    Of many files, 1,000 are read. If all these have one size, the others are read, too. The result
    is None if no image opens, and for vectors.
    """
    images, limit = listing.images, megapixels(config.data.max_megapixels)
    if isinstance(images, VectorRows):
        return None
    if isinstance(images, torch.Tensor):
        height, width = images.shape[2:]
        found = np.array([[width, height]])
    else:
        found = sides(images, limit).sides
    if not len(found):
        return None
    alike = len(np.unique(found, axis=0)) == 1
    if alike and not isinstance(images, torch.Tensor) and len(found) < len(images):
        width, height = found[0].tolist()
        alike = first_other_size(images, (width, height), limit) is None
    short, long = np.median(found.min(axis=1)), np.median(found.max(axis=1))
    names = tuple(listing.class_names)
    return Seen(len(listing), names, round(float(short)), round(float(long)), alike)


def suit(config: Config, named: Collection[str]) -> Suited | None:
    """The settings that suit the pictures and that the user has not set; None if there are none.

    Args:
        config: all settings.
        named: the dotted keys that the user set.

    Raises:
        DataError: the data set is missing or malformed.
    """
    if config.data.dataset not in OF_ANY_SIZE or "data.image_size" in named:
        return None
    listing = list_training_data(with_whole_paths(config))
    seen = see(config, listing)
    if seen is None:  # the decoder names the images
        return None
    choice = choose(seen).only(OF_PICTURES).free(named)
    return Suited(choice, seen, listing) if choice.parts else None


def suited(config: Config, *runs: Path | None) -> Config:
    """All settings, with those that suit the pictures.

    The user's own settings stay: a ``Config`` knows which of its values were given.

    Args:
        config: all settings.
        runs: folders. The image settings of the first one that contains a run are used again.

    Raises:
        DataError: the data set is missing or malformed.
    """
    named = {f"data.{key}" for key in config.data.model_fields_set}
    if "data.image_size" in named:
        return config
    values: Mapping[str, Any] = {}
    begun = next((run for run in runs if run is not None and (run / CONFIG_FILE).exists()), None)
    if begun is not None:
        was = {f"data.{key}": value for key, value in read_config(begun).data}
        values = {key: was[key] for key in OF_PICTURES if key not in named}
    elif (found := suit(config, named)) is not None:
        values = found.choice.settings
    return _with(config, values)


def suited_alike(config: Config, world: World, *runs: Path | None) -> Config:
    """``suited`` in several processes: the first one chooses, and all get the same choice.

    Only the choice is shared. Each process keeps its other settings, which may differ by mistake.
    """

    def chosen() -> dict[str, Any]:
        found = suited(config, *runs).data
        both = ((key, key.removeprefix("data.")) for key in OF_PICTURES)
        return {
            key: getattr(found, name)
            for key, name in both
            if getattr(found, name) != getattr(config.data, name)
        }

    values = world.told(chosen)
    return _with(config, values) if values else config


def _with(config: Config, values: Mapping[str, Any]) -> Config:
    """The settings with others of the section ``data``, by dotted key."""
    update = {key.removeprefix("data."): value for key, value in values.items()}
    return config.model_copy(update={"data": config.data.model_copy(update=update)})


def in_words(seconds: float) -> str:
    """A number of seconds in words."""
    if seconds < 1:
        return "less than a second"
    if seconds < 120:
        return f"about {round(seconds)} s"
    if seconds < 5400:
        return f"about {round(seconds / 60)} minutes"
    return f"about {seconds / 3600:.1f} hours"
