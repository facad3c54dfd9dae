"""How long heads on features take on this machine, from a few pictures and a few steps.

Shapes: n samples, m images with those of the test set, d numbers of a vector.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.classifier import fitting_heads
from tdctl.config import Config
from tdctl.data import Images
from tdctl.data.augment import Normalise
from tdctl.data.survey import spread
from tdctl.features.extract import BATCH, frozen_network
from tdctl.features.heads import HELD_BYTES, RISING, Course, HeadTrainer
from tdctl.features.transform import Transform
from tdctl.finding.choices import Choice, fewer_heads
from tdctl.finding.forecast import SECONDS_PER_RANK, START, Forecast, data_set_of, decoded_few
from tdctl.nets import count_flops
from tdctl.sources import Listing
from tdctl.sources.vector_files import VectorRows
from tdctl.training import Threads, World

__all__ = ["forecast_heads"]

# Vectors that the heads are timed on, and epochs after a first one.
VECTORS, EPOCHS = 8192, 3
# Multiplications and additions a second: of neighbours that are sought, and of a transform.
SPEED = 4e10
# The samples that one is compared with at most, see ``tdctl.scores.knn_vote``; and the operations
# of the axes of a transform, for each d * d * d.
COMPARED, OF_AXES = 20_000, 10


def forecast_heads(config: Config, listing: Listing, world: World) -> tuple[Forecast, Choice]:
    """Times the features of a few pictures and some epochs of heads, and counts up.

    Args:
        config: all settings, with the size of the images.
        listing: images, or vectors.
        world: the device.

    Returns:
        The forecast for the folds and epochs that are trained, and these where they are fewer than
        the settings say.

    Raises:
        ConfigError: the network or its weights are not there, or do not fit.
        DataError: none of these pictures decodes.
    """
    n, k, train = len(listing), len(listing.class_names), config.train
    if isinstance(listing.images, VectorRows):
        timed = _Timed(int(listing.images.values.shape[1]), 0.0, 1)
    else:
        timed = _features(config, listing, world)
    d = timed.numbers
    folds, epochs = fitting_heads(config, n, d, k)
    threads = Threads.planned(4.0 * d * k * folds * min(train.batch_size, n), world.device)
    with threads.used():
        epoch = _epoch(config, (n, d, k), folds, world)
    beside = 2.0 * n * min(n, COMPARED) * d + OF_AXES * d**3
    forecast = Forecast(
        decoding=timed.seconds,
        epoch=epoch,
        rest=START + n * SECONDS_PER_RANK + beside / SPEED,
        threads=max(timed.threads, threads.count),
        device=str(world.device),
    )
    return forecast, fewer_heads((train.folds, train.epochs), (folds, epochs))


@dataclass(frozen=True)
class _Timed:
    """The numbers of a vector, and the seconds and threads of the features of all images."""

    numbers: int
    seconds: float
    threads: int


def _features(config: Config, listing: Listing, world: World) -> _Timed:
    n, m = len(listing), len(listing) + len(listing.test_index)
    rows = np.arange(n, dtype=np.int64)[spread(n, 2 * BATCH)]
    pixels, decoding = decoded_few(config, listing, rows)
    pixels = pixels.repeat(-(-2 * BATCH // len(pixels)), 1, 1, 1)[: 2 * BATCH]
    targets = np.resize(listing.labels.assigned[rows], len(pixels))
    dataset = data_set_of(listing, Images.held(pixels, np.arange(len(pixels)), targets))
    net, normalise = frozen_network(config, dataset)[0], Normalise(dataset, world.device)
    net = net.to(world.device).to(memory_format=torch.channels_last)
    flops = count_flops(config.net, dataset.num_classes, dataset.train.shape) * BATCH
    threads = Threads.planned(flops, world.device)
    with threads.used(), torch.inference_mode():
        # The first batch prepares what the others use.
        net(normalise(pixels[:BATCH].to(world.device)))
        started = time.perf_counter()
        found = net(normalise(pixels[BATCH:].to(world.device))).float().flatten(1).cpu()
        of_one = (time.perf_counter() - started) / BATCH
    return _Timed(int(found.shape[1]), m * (decoding + of_one), threads.count)


def _epoch(config: Config, shape: tuple[int, int, int], folds: int, world: World) -> float:
    """The seconds of an epoch in all rounds."""
    n, d, k = shape
    train, rounds = config.train, config.heads.rounds
    count = min(n, max(VECTORS, train.batch_size))
    rows = _Drawn(torch.linspace(-1, 1, count * d).reshape(count, d))
    places = np.arange(count)
    transform = Transform(torch.zeros(d), torch.eye(d), 1.0)
    course = Course(1 + EPOCHS, train.batch_size, train.lr, robust=train.loss == "gce")
    trainer = HeadTrainer(
        rows, places % k, k, places % folds, transform, course, device=world.device
    )
    trainer.train_epoch(0, _watched)
    started = time.perf_counter()
    for number in range(EPOCHS):
        trainer.train_epoch(1 + number, _watched)
    if world.device.type == "cuda":
        torch.cuda.synchronize(world.device)
    of_one = (time.perf_counter() - started) / EPOCHS / count
    if 4.0 * n * d > HELD_BYTES:  # then each batch is transformed anew
        of_one += 2.0 * d * d / SPEED
    # Each round begins with a trial of the first epochs.
    return of_one * n * rounds * (1 + RISING)


def _watched(rows_B: torch.Tensor, seen_BK: torch.Tensor, heldout_BK: torch.Tensor) -> None:
    """About what a recording computes for each batch."""
    for logits in (seen_BK, heldout_BK):
        logits.softmax(dim=1).half().cpu()


@dataclass(frozen=True)
class _Drawn:
    """Vectors in memory."""

    values: torch.Tensor

    def __len__(self) -> int:
        return len(self.values)

    def batches(self, parts: Sequence[NDArray[np.int64]]) -> Iterator[torch.Tensor]:
        for part in parts:
            yield self.values[torch.from_numpy(part)]
