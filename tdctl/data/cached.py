"""Decodes image folders once into the cache on the disk, and reads the pixels from there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.cache import (
    PIXELS_FILE,
    Entry,
    free_bytes,
    locked,
    part_of,
    publish,
    read_entry,
    sweep,
)
from tdctl.data.decode import DECODER, Decoder, Told, slabs, unreadable
from tdctl.data.picture import Reading
from tdctl.data.pixel_store import Kind, Tally
from tdctl.errors import DataError

__all__ = ["CacheStore", "cache_key", "is_cached", "open_cached"]

# The number of batches that threads read in advance, so that disk and network work in parallel.
AHEAD = 2


class CacheStore:
    """Pixels in a file of the cache.

    Batches are read from the file, not through a memory map. So the pixels stay in the system's
    file cache while there is room, and do not count as this process's memory.

    Attributes:
        mean, std: C values in [0, 1], statistics of the training images divided by 255.
        broken: rows that did not decode, with the reason. Their pixels are black and are not
            included in the statistics.
    """

    kind: Kind = "cache"

    def __init__(self, entry: Entry) -> None:
        self.shape = entry.shape
        self.mean, self.std = tuple(entry.facts["mean"]), tuple(entry.facts["std"])
        self.broken = {int(row): str(why) for row, why in entry.facts["broken"].items()}
        self._whole = _whole(int(entry.facts["train"]), self.broken)
        self._digest = str(entry.facts["digest"])
        self._path = entry.path / PIXELS_FILE
        # The file stays open, because the entry may be evicted while it is in use.
        self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)
        entry.touch()

    def load(self) -> torch.Tensor:
        """All pixels as one tensor in memory."""
        return self._read(np.arange(self.shape[0], dtype=np.int64))

    def batches(self, parts: Sequence[NDArray[np.int64]]) -> Iterator[torch.Tensor]:
        """The pixels of each part. A few batches are read in advance."""
        with ThreadPoolExecutor(AHEAD) as pool:
            waiting = deque(pool.submit(self._read, part) for part in parts[:AHEAD])
            try:
                for part in parts[AHEAD:]:
                    done = waiting.popleft().result()
                    waiting.append(pool.submit(self._read, part))
                    yield done
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def digest(self, rows: NDArray[np.int64]) -> str:
        """Hex digest of the pixels at some positions. That of all training images is stored."""
        if np.array_equal(rows, self._whole):
            return self._digest
        tally = Tally(self.shape[1])
        for start, stop in slabs(len(rows), self.shape[1:]):
            tally.hashed(self._read(rows[start:stop]).numpy())
        return tally.digest()

    def _read(self, rows: NDArray[np.int64]) -> torch.Tensor:
        pixels = torch.empty((len(rows), *self.shape[1:]), dtype=torch.uint8)
        view = pixels.numpy().reshape(-1).data
        size = int(np.prod(self.shape[1:]))
        # Images that are next to each other in the file are read together.
        cuts = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
        for start, stop in pairwise(cuts):
            at, end = start * size, stop * size
            offset = int(rows[start]) * size if len(rows) else 0
            while at < end:
                count = os.preadv(self._file, [view[at:end]], offset)
                if not count:
                    raise DataError(
                        f"{self._path}: was cut off while it was in use; remove the entry with "
                        "'tdctl cache --clear' and start again"
                    )
                at, offset = at + count, offset + count
        return pixels


def cache_key(
    root: str, names: Sequence[str], stats: NDArray[np.int64], train: int, reading: Reading
) -> str:
    """The name of a folder's cache entry: a digest of everything that decides its pixels.

    Args:
        root: the data folder.
        names: n paths relative to the data folder, training images first.
        stats: int64 [n, 2], size and time of change of each file.
        train: the number of training images.
        reading: how the images are read.
    """
    facts = [DECODER, root, list(names), train, asdict(reading)]
    digest = hashlib.sha256(json.dumps(facts).encode())
    digest.update(stats.astype("<i8").tobytes())
    return digest.hexdigest()[:32]


def open_cached(
    decoder: Decoder, folder: Path, key: str, name: str, train: int, told: Told | None = None
) -> CacheStore:
    """The pixels from the cache. If they are not in the cache yet, the files are decoded into it.

    If several processes need the same pixels, one decodes and the others wait. A killed process
    does not block the next one.

    Args:
        decoder: the files, training images first.
        folder: the folder of the cache. It is made if it does not exist.
        key: the name of the entry, from ``cache_key``.
        name: the data folder, as messages show it.
        train: the number of training images.
        told: is told the progress of the decoding.

    Raises:
        DataError: images differ in size, the cache cannot be used, or its disk has too little room.
    """
    found = _open(folder / key, decoder)
    if found is not None:
        return found
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, key):
            found = _open(folder / key, decoder)
            if found is None:
                sweep(folder, key, whole_too=True)
                _build(decoder, folder, key, name, train, told)
                found = _open(folder / key, decoder)
    except OSError as error:
        raise DataError(
            f"cache {folder}: cannot be used ({error.strerror or error}); give another folder "
            "with --cache-dir, or --images memory or stream"
        ) from None
    if found is None:
        raise DataError(f"cache {folder / key}: is damaged as soon as written; see to the disk")
    return found


def is_cached(decoder: Decoder, folder: Path, key: str) -> bool:
    """Whether the cache already has these pixels."""
    entry = read_entry(folder / key)
    return entry is not None and _fits(entry, decoder)


def _open(place: Path, decoder: Decoder) -> CacheStore | None:
    entry = read_entry(place)
    if entry is None or not _fits(entry, decoder):
        return None
    # An image that did not decode then may have been unreachable only for a while.
    if any(decoder.decodes(int(row)) for row in entry.facts["broken"]):
        return None
    try:
        return CacheStore(entry)
    except FileNotFoundError:  # evicted since
        return None


def _fits(entry: Entry, decoder: Decoder) -> bool:
    kinds = {"train": int, "digest": str, "mean": list, "std": list, "broken": dict}
    facts = entry.facts
    typed = all(isinstance(facts.get(name), kind) for name, kind in kinds.items())
    if not typed or entry.shape != (len(decoder), *decoder.shape):
        return False
    values = [*facts["mean"], *facts["std"]]
    return len(values) == 2 * decoder.shape[0] and all(isinstance(v, float) for v in values)


def _build(
    decoder: Decoder, folder: Path, key: str, name: str, train: int, told: Told | None
) -> None:
    shape = (len(decoder), *decoder.shape)
    _check_disk(folder, shape)
    part, tally = part_of(folder, key, "new"), Tally(decoder.shape[0])
    part.mkdir()
    try:
        with (part / PIXELS_FILE).open("wb") as file:
            # The file is not memory-mapped: mapped pages would count as this process's memory.
            broken: dict[int, str] = {}
            at = 0
            for slab in decoder.read_all(broken=broken, told=told):
                file.write(slab.data)
                trained = tally.trained(slab, at, train, broken)
                tally.hashed(trained)
                at += len(slab)
            file.flush()
            os.fsync(file.fileno())
        if not len(_whole(train, broken)):
            raise unreadable(decoder.images, broken)
        mean, std = tally.statistics()
        facts = {
            "train": train,
            "digest": tally.digest(),
            "mean": mean,
            "std": std,
            "broken": {str(row): reason for row, reason in broken.items()},
        }
        publish(folder, key, part, name, shape, facts)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _whole(train: int, broken: Mapping[int, str]) -> NDArray[np.int64]:
    """The rows of the training images that decoded."""
    rows = np.arange(train, dtype=np.int64)
    return np.delete(rows, [row for row in broken if row < train])


def _check_disk(folder: Path, shape: tuple[int, ...]) -> None:
    """Checks that the disk of the cache has room for the pixels.

    Raises:
        DataError: it has not. The message gives the bytes that are needed and those that are free.
    """
    needed, (free, _) = int(np.prod(shape)), free_bytes(folder)
    if needed > free:
        raise DataError(
            f"cache {folder}: {shape[0]:,} images of {'x'.join(map(str, shape[1:]))} need "
            f"{needed / 1e6:,.1f} MB and its disk has {free / 1e6:,.1f} MB free; make room with "
            "'tdctl cache --clear', or give --cache-dir, --images stream or a smaller --image-size"
        )
