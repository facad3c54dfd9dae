"""The cache of decoded images on the disk: its entries, their locks, and what is evicted.

An entry is a folder ``<key>`` with the pixels and a description. It is written under another
name and renamed when it is whole; ``<key>`` is a digest of what it was made from. Standard
library only.
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
# Raised when the files of an entry change their form: older entries are then made anew.
FORMAT = 1
KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Entry:
    """The decoded images of one folder at one size.

    Attributes:
        path: folder of the entry; its name is the key.
        name: the folder that the images came from.
        shape: n, C, H, W of the pixels, uint8 in C order in ``pixels.bin``.
        bytes: of the pixels.
        last_used: seconds since the epoch.
        facts: what the builder recorded besides.
    """

    path: Path
    name: str
    shape: tuple[int, int, int, int]
    bytes: int
    last_used: float
    facts: dict[str, Any]

    def touch(self) -> None:
        """Marks the entry as used now, where the user may write to the cache."""
        with suppress(OSError):
            os.utime(self.path / ENTRY_FILE)


def default_cache_dir() -> Path:
    """``tdctl`` in the user's cache folder: ``$XDG_CACHE_HOME``, or ``~/.cache``."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification has relative paths ignored.
    return (Path(given) if Path(given).is_absolute() else Path.home() / ".cache") / "tdctl"


def read_entry(path: Path) -> Entry | None:
    """The entry in a folder; None where there is none that is whole and of this format."""
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
    """Describes the pixels in the folder ``part`` and makes it the entry ``key``, whole at once.

    The caller holds the entry's lock and has removed what was in its place.
    """
    content = {"format": FORMAT, "key": key, "name": name, "shape": list(shape), "facts": facts}
    with (part / ENTRY_FILE).open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=2, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    part.rename(folder / key)


@contextmanager
def locked(folder: Path, key: str, wait: bool = True) -> Iterator[bool]:
    """Holds the lock of an entry; gives False where another process has it and ``wait`` is off.

    The system takes the lock from a process that dies, however it dies.
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
        os.close(handle)  # the holder before us removed the file we waited for
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
    """Removes what killed builders left of an entry, and the entry where it is not whole.

    The caller holds the entry's lock, so that no builder is at work on it. ``whole_too``
    removes the entry in any case.
    """
    for part in folder.glob(f".{key}.*.part"):
        shutil.rmtree(part)
    if whole_too or read_entry(folder / key) is None:
        _remove(folder / key)


def entries(folder: Path) -> list[Entry]:
    """All whole entries of a cache folder, the least recently used first."""
    if not folder.is_dir():
        return []
    found = [read_entry(path) for path in folder.iterdir() if KEY.fullmatch(path.name)]
    return sorted((e for e in found if e is not None), key=lambda e: (e.last_used, e.path.name))


def evict(folder: Path, keep_bytes: int, dry_run: bool = False) -> list[Entry]:
    """Drops the least recently used entries until the rest takes at most ``keep_bytes``.

    An entry that another process is building or opening is left alone. One that is in use goes
    from the folder, and from the disk when its last user ends. Remains of killed builders go
    too. Returns what was dropped, or would be.
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
    """Removes an entry so that no moment shows half of it under its name; its lock is held."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        grave = part_of(path.parent, path.name, "old")
        path.rename(grave)
        shutil.rmtree(grave)


def part_of(folder: Path, key: str, purpose: str) -> Path:
    """Where an entry is built or taken apart; ``sweep`` removes it."""
    return folder / f".{key}.{purpose}.part"


def free_bytes(folder: Path) -> tuple[int, int]:
    """Bytes that are free on the disk of a folder, and all of them; it need not exist yet."""
    usage = shutil.disk_usage(nearest_folder(folder))
    return usage.free, usage.total
