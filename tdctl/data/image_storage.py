"""Decides where decoded images are held: in memory, in the cache on the disk, or nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from tdctl.cache import default_cache_dir, free_bytes
from tdctl.config import DataConfig
from tdctl.data.cached import CacheStore, cache_key, is_cached, open_cached
from tdctl.data.decode import Decoder, Told, unreadable
from tdctl.data.picture import megapixels
from tdctl.data.pixel_store import Kind, MemoryStore, PixelStore, Tally
from tdctl.data.streamed import StreamStore
from tdctl.data.survey import Survey, survey
from tdctl.errors import DataError
from tdctl.sources.encoded import Encoded
from tdctl.streams import CHANNEL_SAMPLE
from tdctl.torchrun import sharing

__all__ = ["Held", "available_memory", "check_memory", "hold"]

CGROUP = Path("/sys/fs/cgroup")
# The number of streamed images from which mean and deviation are computed, to about three digits.
SAMPLED = 2000
IN_MEMORY = "held in memory"


@dataclass(frozen=True)
class Held:
    """The pixels of all images, training images first.

    Attributes:
        store: the pixels.
        mean, std: C values in [0, 1], statistics of the training images divided by 255.
        broken: rows that do not decode, with the reason. They are not in the statistics.
        notes: what the user should know, one line each. The first says where the pixels are.
        decoder: the decoder of all images; None if they came decoded.
        seen: the survey of all images; None if they came decoded.
    """

    store: PixelStore
    mean: tuple[float, ...]
    std: tuple[float, ...]
    broken: dict[int, str]
    notes: tuple[str, ...]
    decoder: Decoder | None = None
    seen: Survey | None = None


def hold(
    config: DataConfig,
    images: Encoded,
    names: Sequence[str],
    stats: NDArray[np.int64],
    train: int,
    dry: bool = False,
    told: Told | None = None,
) -> Held:
    """Decodes images, or prepares their decoding, as the setting ``images`` says.

    ``auto`` takes the first choice that fits:

    - memory, if the pixels need at most half of the available memory (they are read from the
      cache if they are there);
    - the cache, if the pixels are there already or would leave a tenth of its disk free;
    - streaming.

    Args:
        config: the settings of the data.
        images: n encoded images, training images first.
        names: n paths relative to the data folder; empty if the images are not files.
        stats: int64 [n, 2], size and time of change of each image.
        train: the number of training images.
        dry: only say what would be done. Then only the first image and some deep or transparent
            ones are decoded, the pixels are streamed, and the statistics are 0 and 1.
        told: is told the progress.

    Raises:
        DataError: images do not decode and may not be skipped, no training image decodes, or
            there is no room for the pixels.
    """
    seen = survey(images, megapixels(config.max_megapixels))
    reduced = config.decode == "reduced"
    decoder = Decoder.of(
        images, config.image_size, config.fit, config.max_megapixels, seen, reduced
    )
    held = _held(config, decoder, names, stats, train, dry, told)
    return replace(held, notes=(*held.notes, *seen.notes), decoder=decoder, seen=seen)


def _held(
    config: DataConfig,
    decoder: Decoder,
    names: Sequence[str],
    stats: NDArray[np.int64],
    train: int,
    dry: bool,
    told: Told | None,
) -> Held:
    root = str(config.root.resolve())
    folder = config.cache_dir or default_cache_dir()
    key = cache_key(root, names, stats, train, decoder.reading)
    needed = len(decoder) * int(np.prod(decoder.shape))
    kind, why = config.images, ""
    cached = is_cached(decoder, folder, key)
    if kind == "auto":
        kind, why = _choice(needed, folder, cached)
    size = "x".join(map(str, decoder.shape))
    note = f"images: {len(decoder):,} of {size} need {needed / 1e6:,.1f} MB{why}: "
    if dry:
        store, c = StreamStore(decoder, config.workers), decoder.shape[0]
        note += {"memory": IN_MEMORY, "cache": f"held in the cache {folder}"}.get(
            kind, _anew(store)
        )
        return Held(store, (0.0,) * c, (1.0,) * c, {}, (note,))
    if kind == "stream":
        return _streamed(config, decoder, train, note, told)
    if kind == "cache" or (cached and config.images == "auto"):
        cache: CacheStore = open_cached(decoder, folder, key, root, train, told)
        _check_broken(config, decoder, train, cache.broken)
        channels = cache.mean, cache.std
        if kind == "memory":
            memory = MemoryStore(cache.load())
            note += f"{IN_MEMORY}, read from the cache {folder}"
            return Held(memory, *channels, cache.broken, (note,))
        return Held(cache, *channels, cache.broken, (f"{note}held in the cache {folder}",))
    return _in_memory(config, decoder, train, f"{note}{IN_MEMORY}", told)


def _in_memory(
    config: DataConfig, decoder: Decoder, train: int, note: str, told: Told | None
) -> Held:
    check_memory(len(decoder), decoder.shape)
    pixels = np.empty((len(decoder), *decoder.shape), dtype=np.uint8)
    tally, at, broken = Tally(decoder.shape[0]), 0, dict[int, str]()
    for slab in decoder.read_all(pixels, broken, told):
        tally.trained(slab, at, train, broken)
        at += len(slab)
    _check_broken(config, decoder, train, broken)
    store = MemoryStore(torch.from_numpy(pixels))
    return Held(store, *tally.statistics(), broken, (note,))


def _streamed(
    config: DataConfig, decoder: Decoder, train: int, note: str, told: Told | None
) -> Held:
    """Streamed pixels. To skip unreadable images, all images are first decoded once."""
    broken: dict[int, str] = {}
    if config.skip_unreadable:
        for _ in decoder.read_all(broken=broken, told=told):
            pass
        _check_broken(config, decoder, train, broken)
    store = StreamStore(decoder, config.workers)
    return _sampled(store, train, broken, note + _anew(store))


def _anew(store: StreamStore) -> str:
    return f"decoded anew in every pass by {store.workers} processes"


def _check_broken(config: DataConfig, decoder: Decoder, train: int, broken: dict[int, str]) -> None:
    if broken and not config.skip_unreadable:
        raise unreadable(decoder.images, broken)
    if sum(row < train for row in broken) == train:
        raise unreadable(decoder.images, {row: broken[row] for row in broken if row < train})


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


def _sampled(store: StreamStore, train: int, broken: dict[int, str], note: str) -> Held:
    rows, notes = np.delete(np.arange(train), [row for row in broken if row < train]), [note]
    if len(rows) > SAMPLED:
        rows = np.sort(CHANNEL_SAMPLE.numpy_generator().choice(rows, SAMPLED, replace=False))
        notes.append(
            f"mean and deviation of the channels are those of {SAMPLED:,} of the {train:,} "
            "training images: streamed, they are not all decoded beforehand"
        )
    tally = Tally(store.shape[1])
    for batch in store.batches(np.array_split(rows, -(-len(rows) // 64))):
        tally.counted(batch.numpy())
    return Held(store, *tally.statistics(), broken, tuple(notes))


def available_memory() -> int:
    """The bytes of memory that this process may still use without swapping.

    This is the memory that the system reports as available. A control group of version 2 (such as
    a container) may leave less: its limit minus the memory in use, where file pages that the
    system can drop do not count. The smaller number is divided by the number of processes that
    torchrun started on this machine.
    """
    return _available() // sharing()


def _available() -> int:
    left = [int(psutil.virtual_memory().available)]
    own = CGROUP / _own_group()
    for group in (own, *(above for above in own.parents if above.is_relative_to(CGROUP))):
        try:
            limit = (group / "memory.max").read_text().strip()
            used = int((group / "memory.current").read_text())
            stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        except (FileNotFoundError, NotADirectoryError):  # not a group of version 2, or the root
            continue
        if limit != "max":
            left.append(max(0, int(limit) - used + int(stat.get("inactive_file", 0))))
    return min(left)


def _own_group() -> str:
    """The path of this process's control group below the root; ``""`` in a container."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except FileNotFoundError:
        return ""
    return next((line[3:].lstrip("/") for line in lines if line.startswith("0::")), "")


def check_memory(count: int, shape: tuple[int, ...]) -> None:
    """Checks that images need at most four fifths of the available memory.

    Raises:
        DataError: they need more. The message gives both numbers.
    """
    needed, memory = count * int(np.prod(shape)), available_memory()
    if needed > 0.8 * memory:
        raise DataError(
            f"{count:,} images of {'x'.join(map(str, shape))} need {needed / 1e6:,.1f} MB and "
            f"{memory / 1e6:,.1f} MB of memory are available; give a smaller --image-size, or "
            "--limit, or for a folder --images cache or stream"
        )
