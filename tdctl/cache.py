"""The cache of decoded images on the disk: its entries, their locks, and their eviction.

An entry is a folder ``<key>`` with the pixels and a description. The key is a digest of
everything that decides the pixels. An entry is written under another name and renamed when it is
complete. This module uses only the standard library.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from tdctl.files import nearest_folder

__all__ = [
    "Entry",
    "PIXELS_FILE",
    "default_cache_dir",
    "entries",
    "evict",
    "free_bytes",
    "locked",
    "part_of",
    "publish",
    "read_entry",
    "sweep",
]

PIXELS_FILE, ENTRY_FILE = "pixels.bin", "entry.json"
# Increase this when the format of an entry changes. Older entries are then made again.
FORMAT = 1
KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Entry:
    """An entry: the decoded images of one folder at one size.

    Attributes:
        path: the folder of the entry; its name is the key.
        name: the folder that the images came from.
        shape: n, C, H, W of the pixels. ``pixels.bin`` holds them as uint8 in C order.
        bytes: the size of the pixels in bytes.
        last_used: the time of the last use, in seconds since 1970.
        facts: further facts from the builder of the entry.
    """

    path: Path
    name: str
    shape: tuple[int, int, int, int]
    bytes: int
    last_used: float
    facts: dict[str, Any]

    def touch(self) -> None:
        """Sets the time of the last use to now, if the user may write to the cache."""
        with suppress(OSError):
            os.utime(self.path / ENTRY_FILE)


def default_cache_dir() -> Path:
    """``tdctl`` in the user's cache folder: ``$XDG_CACHE_HOME``, or ``~/.cache``."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says to ignore relative paths.
    return (Path(given) if Path(given).is_absolute() else Path.home() / ".cache") / "tdctl"


def read_entry(path: Path) -> Entry | None:
    """The entry in a folder; None if there is no complete entry of this format."""
    try:
        content = json.loads((path / ENTRY_FILE).read_text(encoding="utf-8"))
        last_used = (path / ENTRY_FILE).stat().st_mtime
        size = (path / PIXELS_FILE).stat().st_size
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        return None
    name, shape, facts = (content.get(field) for field in ("name", "shape", "facts"))
    if not (isinstance(name, str) and isinstance(shape, list) and isinstance(facts, dict)):
        return None
    if len(shape) != 4 or not all(isinstance(side, int) and side > 0 for side in shape):
        return None
    if content.get("key") != path.name or size != prod(shape):
        return None
    n, c, h, w = shape
    return Entry(path, name, (n, c, h, w), size, last_used, facts)


def publish(
    folder: Path, key: str, part: Path, name: str, shape: tuple[int, ...], facts: dict[str, Any]
) -> None:
    """Writes the description of the pixels into the folder ``part`` and renames it to the entry.

    The caller must hold the entry's lock and must have removed any older entry.

    Args:
        folder: the folder of the cache.
        key: the key of the entry.
        part: the temporary folder, which contains the pixels.
        name: the folder that the images came from.
        shape: n, C, H, W of the pixels.
        facts: further facts to record.
    """
    content = {"format": FORMAT, "key": key, "name": name, "shape": list(shape), "facts": facts}
    with (part / ENTRY_FILE).open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=2, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    part.rename(folder / key)


@contextmanager
def locked(folder: Path, key: str, wait: bool = True) -> Iterator[bool]:
    """Holds the lock of an entry within the block.

    When a process ends, for any reason, the system releases its lock.

    Args:
        folder: the folder of the cache.
        key: the key of the entry.
        wait: wait until the lock is free. If False, do not wait.

    Yields:
        True if the lock is held; False if another process holds it and ``wait`` is False.
    """
    path = folder / f".{key}.lock"
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(handle)
            yield False
            return
        except BaseException:
            os.close(handle)
            raise
        if _is_at(handle, path):
            break
        os.close(handle)  # the previous holder removed this lock file, so try again
    try:
        yield True
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def sweep(folder: Path, key: str, whole_too: bool = False) -> None:
    """Removes the remains of killed builders of an entry, and the entry if it is not complete.

    The caller must hold the entry's lock, so that no builder is working on it.

    Args:
        folder: the folder of the cache.
        key: the key of the entry.
        whole_too: remove the entry even if it is complete.
    """
    for part in folder.glob(f".{key}.*.part"):
        shutil.rmtree(part)
    if whole_too or read_entry(folder / key) is None:
        _remove(folder / key)


def entries(folder: Path) -> list[Entry]:
    """All complete entries of a cache folder, the least recently used first."""
    if not folder.is_dir():
        return []
    found = [read_entry(path) for path in folder.iterdir() if KEY.fullmatch(path.name)]
    return sorted((e for e in found if e is not None), key=lambda e: (e.last_used, e.path.name))


def evict(folder: Path, keep_bytes: int, dry_run: bool = False) -> list[Entry]:
    """Removes the least recently used entries until the rest takes at most ``keep_bytes`` bytes.

    An entry that another process is building or opening stays. An entry that is in use leaves the
    folder at once, and the disk when its last user ends. Remains of killed builders are removed
    too.

    Args:
        folder: the folder of the cache.
        keep_bytes: the largest number of bytes to keep.
        dry_run: remove nothing.

    Returns:
        The entries that were removed or, with ``dry_run``, that would be.
    """
    dropped: list[Entry] = []
    total = sum(entry.bytes for entry in entries(folder))
    for entry in entries(folder):
        if total <= keep_bytes:
            break
        if not dry_run:
            with locked(folder, entry.path.name, wait=False) as free:
                if not free:
                    continue
                sweep(folder, entry.path.name, whole_too=True)
        total -= entry.bytes
        dropped.append(entry)
    if folder.is_dir() and not dry_run:
        _sweep_all(folder)
    return dropped


def _sweep_all(folder: Path) -> None:
    parts = (path.name.split(".") for path in folder.glob(".*.*"))
    for key in {part[1] for part in parts if KEY.fullmatch(part[1])}:
        with locked(folder, key, wait=False) as free:
            if free:
                sweep(folder, key)


def _remove(path: Path) -> None:
    """Removes an entry. It is renamed first, so that nobody sees a part of it under its name.

    The caller must hold the entry's lock.
    """
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        grave = part_of(path.parent, path.name, "old")
        path.rename(grave)
        shutil.rmtree(grave)


def part_of(folder: Path, key: str, purpose: str) -> Path:
    """The temporary folder in which an entry is built or removed. ``sweep`` removes leftovers."""
    return folder / f".{key}.{purpose}.part"


def free_bytes(folder: Path) -> tuple[int, int]:
    """The free bytes and the total bytes on the disk of a folder, which need not exist yet."""
    usage = shutil.disk_usage(nearest_folder(folder))
    return usage.free, usage.total
