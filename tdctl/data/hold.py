"""Which way the images of a folder are held: in memory, in the cache, or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from tdctl.cache import default_cache_dir, free_bytes
from tdctl.config import DataConfig
from tdctl.data.cached import CacheStore, cache_key, is_cached, open_cached
from tdctl.data.decode import Decoder
from tdctl.data.store import Kind, MemoryStore, Store, Tally
from tdctl.data.streamed import StreamStore
from tdctl.errors import DataError

__all__ = ["Held", "available_memory", "check_memory", "hold"]

CGROUP = Path("/sys/fs/cgroup")
# Streamed images are judged by as many as these: enough for three digits of mean and deviation.
SAMPLED = 2000


@dataclass(frozen=True)
class Held:
    """Pixels, training images first.

    Attributes:
        store: of all images.
        mean, std: C values in units of 255, of the training images.
        notes: what the user should know, one line each; the first is the choice.
    """

    store: Store
    mean: tuple[float, ...]
    std: tuple[float, ...]
    notes: tuple[str, ...]


def hold(
    config: DataConfig, files: Sequence[Path], names: Sequence[str], stats: NDArray[np.int64],
    train: int,
) -> Held:  # fmt: skip
    """Decodes image files, or sees to it that they are decoded, as the settings say.

    ``auto`` takes the memory where the pixels need at most half of what is available, else
    the cache where they leave a tenth of its disk free or are there already, else streams.

    Args:
        config: ``images``, ``cache_dir``, ``workers`` and ``image_size`` are read.
        files: n paths, training images first.
        names: n paths below the data folder.
        stats: int64 [n, 2], size and time of change of each file.
        train: how many are training images.

    Raises:
        DataError: an image does not decode, or the way asked for has no room.
    """
    decoder = Decoder.of(files, config.image_size)
    root, folder = config.data_dir or Path(), config.cache_dir or default_cache_dir()
    key = cache_key(root, names, stats, train, config.image_size)
    needed = len(decoder) * int(np.prod(decoder.shape))
    kind, why = config.images, ""
    if kind == "auto":
        kind, why = _choice(needed, folder, is_cached(decoder, folder, key))
    size = "x".join(map(str, decoder.shape))
    note = f"images: {len(decoder):,} of {size} need {needed / 1e6:,.1f} MB{why}: "
    if kind == "memory":
        check_memory(len(decoder), decoder.shape)
        pixels = np.empty((len(decoder), *decoder.shape), dtype=np.uint8)
        tally, left = Tally(decoder.shape[0]), train
        for slab in decoder.read_all(pixels):
            tally.counted(slab[:left])
            left -= len(slab[:left])
        memory = MemoryStore(torch.from_numpy(pixels))
        return Held(memory, *tally.statistics(), (f"{note}held in memory",))
    if kind == "cache":
        cached: CacheStore = open_cached(decoder, folder, key, str(root.resolve()), train)
        return Held(cached, cached.mean, cached.std, (f"{note}held in the cache {folder}",))
    streamed = StreamStore(decoder, config.workers)
    note += f"decoded anew in every pass by {streamed.workers} processes"
    return _sampled(streamed, train, note)


def _choice(needed: int, folder: Path, cached: bool) -> tuple[Kind, str]:
    memory = available_memory()
    if needed <= memory / 2:
        return "memory", ""
    why = f", more than half of the {memory / 1e6:,.1f} MB of memory available"
    free, total = free_bytes(folder)
    if cached or needed <= free - total / 10:
        return "cache", why
    return (
        "stream",
        f"{why}, and too much for the {free / 1e6:,.1f} MB free on the disk of {folder}",
    )


def _sampled(store: StreamStore, train: int, note: str) -> Held:
    rows, notes = np.arange(train, dtype=np.int64), [note]
    if train > SAMPLED:
        rows = np.sort(np.random.default_rng(0).choice(rows, SAMPLED, replace=False))
        notes.append(
            f"mean and deviation of the channels are those of {SAMPLED:,} of the {train:,} "
            "training images: streamed, they are not all decoded beforehand"
        )
    tally = Tally(store.shape[1])
    for batch in store.batches(np.array_split(rows, -(-len(rows) // 64))):
        tally.counted(batch.numpy())
    return Held(store, *tally.statistics(), tuple(notes))


def available_memory() -> int:
    """Bytes that this process may still take without swapping.

    What the system reports as available, shared among the processes that torchrun started
    here; less where the process lives in a control group (version 2, such as a container) that
    leaves less: its limit minus its working set, the file pages not counted that the system
    would drop.
    """
    sharing = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return _available() // sharing


def _available() -> int:
    left = [int(psutil.virtual_memory().available)]
    own = CGROUP / _own_group()
    for group in (own, *(above for above in own.parents if above.is_relative_to(CGROUP))):
        try:
            limit = (group / "memory.max").read_text().strip()
            used = int((group / "memory.current").read_text())
            stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        except (FileNotFoundError, NotADirectoryError):  # no group of version 2, or its root
            continue
        if limit != "max":
            left.append(max(0, int(limit) - used + int(stat.get("inactive_file", 0))))
    return min(left)


def _own_group() -> str:
    """Where this process's control group lies below the root; seen from a container, the root."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except FileNotFoundError:
        return ""
    return next((line[3:].lstrip("/") for line in lines if line.startswith("0::")), "")


def check_memory(count: int, shape: tuple[int, ...]) -> None:
    """Refuses images that do not fit into four fifths of the memory that is available.

    Raises:
        DataError: with what is needed and what there is.
    """
    needed, memory = count * int(np.prod(shape)), available_memory()
    if needed > 0.8 * memory:
        raise DataError(
            f"{count:,} images of {'x'.join(map(str, shape))} need {needed / 1e6:,.1f} MB and "
            f"{memory / 1e6:,.1f} MB of memory are available; give a smaller --image-size, or "
            "--limit, or for a folder --images cache or stream"
        )
