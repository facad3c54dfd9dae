"""The features of a frozen network, computed once for every image and kept on the disk.

Shapes: m images, F features, B batch.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
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
from tdctl.nets import build_net, count_flops, without_head
from tdctl.pretrained import Weights, load_published, load_weights, weights_file
from tdctl.sources.vector_files import VectorRows
from tdctl.training import Progress, Report, Threads

__all__ = ["frozen_features"]

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
    net, weights = _network(config, dataset)
    if dry:
        width = _width(net, dataset)
        values: NDArray[Any] = np.broadcast_to(np.zeros(1, np.float32), (len(rows), width))
        return _with(dataset, VectorStore(values), weights, (0.0,) * width, (1.0,) * width)
    folder = (config.data.cache_dir or default_cache_dir()) / "features"
    key = _key(config, dataset, weights)
    folder /= key
    part = replace(dataset.train, rows=rows, index=rows, targets=np.zeros(len(rows), np.int64))
    flops = count_flops(config.net, dataset.num_classes, dataset.train.shape) * BATCH
    with Threads.planned(flops, device).used():
        values = _computed(folder, net, part, Normalise(dataset, device), device, report)
    own = VectorRows(values, np.arange(len(dataset.train)), folder / VALUES)
    try:
        mean, std = read_statistics(own)
    except DataError as error:
        raise DataError(
            f"{error}; the network {config.net.label} gives no usable features of that image"
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


def _network(config: Config, dataset: DataSet) -> tuple[nn.Module, Weights]:
    net = build_net(config.net, dataset.num_classes, dataset.train.shape, config.seed)
    file = weights_file(config)
    weights = load_published(net, config.net) if file is None else load_weights(net, file)
    return without_head(net).eval(), weights


def _width(net: nn.Module, dataset: DataSet) -> int:
    with torch.inference_mode():
        return int(net(torch.zeros(1, *dataset.train.shape)).flatten(1).shape[1])


def _key(config: Config, dataset: DataSet, weights: Weights) -> str:
    pixels = dataset.pixel_digest()
    test = None if dataset.test is None else dataset.test.store.digest(dataset.test.rows)
    parts = {
        "format": FORMAT,
        "network": config.net.label,
        "weights": weights.sha256,
        "shape": dataset.train.shape,
        "mean": dataset.mean,
        "std": dataset.std,
        # Streamed images are known by their names and sizes.
        "images": [pixels, test] if pixels is not None else dataset.fingerprint(),
    }
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _computed(
    folder: Path,
    net: nn.Module,
    images: Images,
    normalise: Normalise,
    device: torch.device,
    report: Report | None,
) -> NDArray[Any]:
    """The features, float32 [m, F] in their file, as far as they are not there yet."""
    path, state, m = folder / VALUES, folder / STATE, len(images)
    if state.exists() and read_json(state).get("done") == m and path.exists():
        return _mapped(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"{folder}: {error.strerror}; name a folder of yours with --cache-dir"
        ) from (None)
    claim(folder)
    try:
        done = int(read_json(state)["done"]) if state.exists() and path.exists() else 0
        return _go_on(path, state, done, net, images, normalise, device, _teller(report, m, done))
    except OSError as error:
        raise RunError(
            f"{path}: {error.strerror or error}; make room, or name another folder with --cache-dir"
        ) from None
    finally:
        release(folder)


def _go_on(
    path: Path,
    state: Path,
    done: int,
    net: nn.Module,
    images: Images,
    normalise: Normalise,
    device: torch.device,
    tell: Callable[[int], None],
) -> NDArray[Any]:
    m = len(images)
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
                _mark(values, state, done)
                marked = time.perf_counter()
            tell(done)
    if values is None:
        raise DataError("there are no images; expected at least one")
    _mark(values, state, m)
    del values
    return _mapped(path)


def _mapped(path: Path) -> NDArray[Any]:
    values: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return values


def _mark(values: Any, state: Path, done: int) -> None:
    """Notes how many features are on the disk, after they are."""
    values.flush()
    write_json(state, {"done": done})


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
