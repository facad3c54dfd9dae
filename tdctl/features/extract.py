"""The features of a frozen network, computed once for every image and kept on the disk.

Shapes: m images, F features, B batch.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tdctl.cache import default_cache_dir
from tdctl.claims import claim, release
from tdctl.config import Config
from tdctl.data import DataSet, Images
from tdctl.data.augment import Normalise
from tdctl.data.vectors import VectorStore, read_statistics
from tdctl.errors import DataError, RunError
from tdctl.files import read_json, write_json
from tdctl.nets import build_net, count_flops, other_size, without_head
from tdctl.pretrained import Weights, load_published, load_weights, weights_file
from tdctl.sources.vector_files import VectorRows
from tdctl.training import Progress, Report, Threads
from tdctl.versions import software_versions

__all__ = ["BATCH", "frozen_features", "frozen_network"]

BATCH = 32
VALUES, STATE = "features.npy", "features.json"
# Seconds between two marks of how far the features are, from which a killed program goes on.
MARKED_EVERY = 5.0
# Increase this when the features of the same images and weights become others.
FORMAT = 1


def frozen_features(
    config: Config,
    dataset: DataSet,
    device: torch.device,
    *,
    dry: bool = False,
    report: Report | None = None,
) -> DataSet:
    """The data set with the features of its network in the place of the images.

    They are kept in the cache, in a folder named after images, weights, size and normalisation. A
    later run of the same reads them there, and an interrupted one goes on.

    Args:
        config: its network, weights and cache folder.
        dataset: the images at the network's size.
        device: computes the features.
        dry: compute nothing; the features are zeros of the right shape.
        report: is told the progress.

    Raises:
        ConfigError: the network or its weights are not there, or do not fit.
        DataError: an image does not decode.
        RunError: another process computes the same features, or the cache cannot be written.
    """
    test = dataset.test
    rows = dataset.train.rows if test is None else np.concatenate([dataset.train.rows, test.rows])
    net, weights = frozen_network(config, dataset)
    size = other_size(config.net, dataset.train.shape)
    dataset = replace(dataset, notes=(*dataset.notes, *filter(None, [size])))
    if dry:
        width = _width(net, dataset)
        values: NDArray[Any] = np.broadcast_to(np.zeros(1, np.float32), (len(rows), width))
        return _with(dataset, VectorStore(values), weights, (0.0,) * width, (1.0,) * width)
    folder = (config.data.cache_dir or default_cache_dir()) / "features"
    source = _source(config, dataset, weights)
    key = hashlib.sha256(json.dumps(source).encode()).hexdigest()[:32]
    folder /= key
    part = replace(dataset.train, rows=rows, index=rows, targets=np.zeros(len(rows), np.int64))
    flops = count_flops(config.net, dataset.num_classes, dataset.train.shape) * BATCH
    with Threads.planned(flops, device).used():
        kept = Kept(folder, {"of": source, "data set": dataset.name, "weights file": weights.file})
        values = _computed(kept, net, part, Normalise(dataset, device), device, report)
    own = VectorRows(values, np.arange(len(dataset.train)), folder / VALUES)
    try:
        mean, std = read_statistics(own)
    except DataError as error:
        raise DataError(
            f"{error}; the network {config.net.label} gives no usable features there"
        ) from None
    return _with(dataset, VectorStore(values, key), weights, mean, std)


def _with(
    dataset: DataSet,
    store: VectorStore,
    weights: Weights,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> DataSet:
    n = len(dataset.train)

    def of(images: Images, start: int) -> Images:
        return replace(images, store=store, rows=np.arange(start, start + len(images)))

    return replace(
        dataset,
        train=of(dataset.train, 0),
        test=None if dataset.test is None else of(dataset.test, n),
        mean=mean,
        std=std,
        reading={**dataset.reading, "features by": weights.sha256},
        notes=(*dataset.notes, f"frozen features of {store.shape[1]} numbers, {weights.note}"),
    )


def frozen_network(config: Config, dataset: DataSet) -> tuple[nn.Module, Weights]:
    """The network that gives the features [B, F] of images, in eval mode, and its weights.

    Raises:
        ConfigError: the network or its weights are not there, or do not fit.
    """
    net = build_net(config.net, dataset.num_classes, dataset.train.shape, config.seed)
    file = weights_file(config)
    weights = load_published(net, config.net) if file is None else load_weights(net, file)
    return without_head(net).eval(), weights


def _width(net: nn.Module, dataset: DataSet) -> int:
    with torch.inference_mode():
        return int(net(torch.zeros(1, *dataset.train.shape)).flatten(1).shape[1])


def _source(config: Config, dataset: DataSet, weights: Weights) -> dict[str, Any]:
    """All that the features depend on."""
    pixels = dataset.pixel_digest()
    test = None if dataset.test is None else dataset.test.store.digest(dataset.test.rows)
    return {
        "format": FORMAT,
        "network": config.net.label,
        "weights": weights.sha256,
        "shape": dataset.train.shape,
        "mean": dataset.mean,
        "std": dataset.std,
        # Streamed images are known by their names and sizes.
        "images": [pixels, test] if pixels is not None else dataset.fingerprint(),
    }


@dataclass(frozen=True)
class Kept:
    """The files of the features of some images.

    Attributes:
        folder: of both files.
        facts: what the features are of, JSON-ready.
    """

    folder: Path
    facts: dict[str, Any]

    @property
    def values(self) -> Path:
        """The file of the features, float32 [m, F]."""
        return self.folder / VALUES

    def done(self, m: int) -> int:
        """How many of the m features are there. A damaged file counts as none."""
        state = self.folder / STATE
        try:
            done = int(read_json(state)["done"])
            values = np.load(self.values, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, LookupError, TypeError, RunError):
            return 0
        fits = values.ndim == 2 and len(values) == m and values.dtype == np.float32
        return done if fits and 0 <= done <= m else 0

    def mark(self, values: NDArray[Any], done: int) -> None:
        """Notes how many features are on the disk, after they are."""
        if isinstance(values, np.memmap):
            values.flush()
        rows, numbers = values.shape
        shape = {"rows": rows, "numbers": numbers, "done": done}
        content = {**self.facts, "versions": software_versions(), **shape}
        write_json(self.folder / STATE, content)


def _computed(
    kept: Kept,
    net: nn.Module,
    images: Images,
    normalise: Normalise,
    device: torch.device,
    report: Report | None,
) -> NDArray[Any]:
    """The features, float32 [m, F] in their file, as far as they are not there yet."""
    folder, m = kept.folder, len(images)
    if m and kept.done(m) == m:
        return _mapped(kept.values)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"{folder}: {error.strerror}; name a folder of yours with --cache-dir"
        ) from (None)
    claim(folder)
    try:
        done = kept.done(m)
        return _go_on(kept, done, net, images, normalise, device, _teller(report, m, done))
    except OSError as error:
        raise RunError(
            f"{kept.values}: {error.strerror or error}; make room, or name another folder with "
            "--cache-dir"
        ) from None
    finally:
        release(folder)


def _go_on(
    kept: Kept,
    done: int,
    net: nn.Module,
    images: Images,
    normalise: Normalise,
    device: torch.device,
    tell: Callable[[int], None],
) -> NDArray[Any]:
    m, path = len(images), kept.values
    parts = [np.arange(start, min(m, start + BATCH)) for start in range(done, m, BATCH)]
    net = net.to(device).to(memory_format=torch.channels_last)
    values = np.load(path, mmap_mode="r+", allow_pickle=False) if done else None
    marked = time.perf_counter()
    with torch.inference_mode():
        for part, pixels in zip(parts, images.batches(parts), strict=True):
            found = net(normalise(pixels.to(device))).float().flatten(1).cpu().numpy()
            if values is None:
                values = np.lib.format.open_memmap(path, "w+", np.float32, (m, found.shape[1]))
            values[part] = found
            done = int(part[-1]) + 1
            if time.perf_counter() - marked > MARKED_EVERY:
                kept.mark(values, done)
                marked = time.perf_counter()
            tell(done)
    if values is None:
        raise DataError("there are no images; expected at least one")
    kept.mark(values, m)
    del values
    return _mapped(path)


def _mapped(path: Path) -> NDArray[Any]:
    values: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return values


def _teller(report: Report | None, m: int, begun: int) -> Callable[[int], None]:
    start = last = time.perf_counter()

    def tell(done: int) -> None:
        nonlocal last
        now = time.perf_counter()
        if report is None or (now - last < 0.5 and done < m):
            return
        last = now
        speed = (done - begun) / max(now - start, 1e-9)
        report(
            Progress(
                "features",
                done,
                m,
                0,
                1,
                images_per_second=speed,
                seconds_left=(m - done) / speed,
                counted="image",
            )
        )

    return tell
