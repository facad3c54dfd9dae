"""How long a recording will take on this machine, from a few pictures and a few steps."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.classifier import Plan, plan_training
from tdctl.config import Config
from tdctl.data import DataSet, Images
from tdctl.data.dataset import channel_statistics
from tdctl.data.decode import Decoder
from tdctl.data.picture import Unreadable, quiet
from tdctl.data.survey import spread
from tdctl.errors import DataError
from tdctl.processors import own_processors
from tdctl.sources import Listing
from tdctl.sources.vector_files import VectorRows
from tdctl.training import Pipeline, Plain, World
from tdctl.training.progress import Teller
from tdctl.training.trainer import Trainer

__all__ = ["Forecast", "data_set_of", "decoded_few", "forecast_training"]

# Pictures that are decoded, and steps that are timed after one that is not.
PICTURES, STEPS = 64, 6
# Large pictures take long: of them FEWEST are decoded, and more until ENOUGH seconds have passed.
FEWEST, ENOUGH = 8, 2.0
# Ranking, the estimate and the files, a sample: 167 s for a million curves of 100 epochs.
SECONDS_PER_RANK = 4e-4
# To load torch and start.
START = 5.0


@dataclass(frozen=True)
class Forecast:
    """Seconds that parts of a recording take.

    Attributes:
        decoding: of all images, once; with frozen features, also to compute these.
        epoch: of one.
        rest: of what comes before and after.
        threads: that compute.
        device: as the manifest names it.
    """

    decoding: float
    epoch: float
    rest: float
    threads: int
    device: str

    @property
    def fixed(self) -> float:
        """Seconds that do not depend on the number of epochs."""
        return self.decoding + self.rest

    def whole(self, epochs: int) -> float:
        """Seconds from the start to the end."""
        return self.fixed + epochs * self.epoch


def forecast_training(config: Config, listing: Listing, world: World) -> Forecast:
    """Decodes and trains on a few pictures, spread over the data set, and counts up.

    Raises:
        DataError: none of these pictures decodes, or they differ in size and no size is given.
    """
    n, batch = len(listing), min(config.train.batch_size, max(2, len(listing)))
    rows = np.arange(n, dtype=np.int64)[spread(n, max(PICTURES, min(batch, n)))]
    pixels, decoding = decoded_few(config, listing, rows)
    copies = -(-batch * (STEPS + 1) // len(pixels))
    many = pixels.repeat(copies, 1, 1, 1)[: batch * (STEPS + 1)]
    targets = np.resize(listing.labels.assigned[rows], len(many))
    images = Images.held(many, np.arange(len(many)), targets)
    dataset = data_set_of(listing, images)
    plan = plan_training(config, config.train, dataset, images, Plain(), world)
    with plan.threads.used():
        of_image = _seconds_an_image(config, dataset, images, world, plan)
    networks = max(1, config.train.folds - 1) * (2 if config.train.capture == "eval-pass" else 1)
    return Forecast(
        decoding=decoding * n,
        epoch=of_image * n * networks,
        rest=START + n * SECONDS_PER_RANK,
        threads=plan.threads.count,
        device=str(world.device),
    )


def decoded_few(
    config: Config, listing: Listing, rows: NDArray[np.int64]
) -> tuple[torch.Tensor, float]:
    """Some images, uint8 [m, C, H, W], and the seconds that each of all images takes to decode."""
    started = time.perf_counter()
    pixels = _pixels(config, listing, rows)
    if isinstance(listing.images, torch.Tensor):
        return pixels, 0.0
    # One after the other here, several at once there.
    return pixels, (time.perf_counter() - started) / len(pixels) / own_processors()


def _pixels(config: Config, listing: Listing, rows: NDArray[np.int64]) -> torch.Tensor:
    """Uint8 [m, C, H, W] of some images, as a training would have them."""
    size = config.data.image_size
    if isinstance(listing.images, torch.Tensor):
        pixels = listing.images[torch.from_numpy(rows)]
        if size is not None:
            from torchvision.transforms import v2

            pixels = v2.functional.resize(pixels, [size, size], antialias=True)
        return pixels
    if isinstance(listing.images, VectorRows):
        raise DataError(f"{listing.name}: has vectors, not images")
    data = config.data
    images, reduced = listing.images.take(rows), data.decode == "reduced"
    decoder = Decoder.of(images, size, data.fit, data.max_megapixels, reduced=reduced)
    started, found = time.perf_counter(), list[NDArray[np.uint8]]()
    # Every eighth first, so that those of large pictures that are tried come from all classes.
    order = np.argsort(np.arange(len(rows)) % 8, kind="stable").tolist()
    with quiet():
        for row in order:
            with suppress(Unreadable):
                found.append(decoder.read(row))
            if len(found) >= FEWEST and time.perf_counter() - started > ENOUGH:
                break
    if not found:
        raise DataError(f"{listing.name}: none of {len(rows)} images that were tried decodes")
    return torch.from_numpy(np.stack(found))


def data_set_of(listing: Listing, images: Images) -> DataSet:
    """The few images as a data set of their own."""
    (pixels,) = images.batches([np.arange(len(images))])
    mean, std = channel_statistics(pixels)
    return DataSet(
        name=listing.name, class_names=listing.class_names, train=images, labels=listing.labels,
        test=None, file_names=None, file_sizes=None, test_names=None, test_sizes=None,
        mean=mean, std=std, mirrors=listing.mirrors,
    )  # fmt: skip


def _seconds_an_image(
    config: Config, dataset: DataSet, images: Images, world: World, plan: Plan
) -> float:
    pipeline = Pipeline.of(config.train, dataset, world.device, plan.precision)
    batch = len(images) // (STEPS + 1)

    def seconds(part: Images) -> float:
        trainer = Trainer(plan.net, part, config.train, pipeline, config.seed, world, False)
        teller = Teller(None, "", 1, trainer.steps, 0, (), "")
        started = time.perf_counter()
        trainer.train_epoch(0, None, teller)
        if world.device.type == "cuda":
            torch.cuda.synchronize(world.device)
        return (time.perf_counter() - started) / len(part)

    # The first step prepares what the others use.
    seconds(images.take(np.arange(batch)))
    return seconds(images.take(np.arange(batch, len(images))))
