"""Folders that one process at a time writes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tdctl.errors import RunError

__all__ = ["check_unclaimed", "claim", "in_turn", "release"]

# Open folders whose lock this process holds. The system drops a lock with its process, however
# that ends.
_HELD: dict[Path, int] = {}


def _forget() -> None:
    """In a forked process: gives its parent's locks back, so that none outlives the parent."""
    while _HELD:
        os.close(_HELD.popitem()[1])


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget)


def claim(folder: Path) -> None:
    """Keeps other processes from writing a folder until ``release`` or the end of this one.

    Where the file system knows no locks, or the system is Windows, nothing is kept.

    Raises:
        RunError: another process has claimed it.
    """
    key = folder.resolve()
    if key in _HELD or sys.platform == "win32":
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise RunError(
            f"{folder}: another process is writing it; wait until that has ended, or give "
            "another --out"
        ) from None
    except OSError:
        os.close(handle)
        return
    _HELD[key] = handle


def release(folder: Path) -> None:
    """Gives up a claim, if there is one."""
    handle = _HELD.pop(folder.resolve(), None)
    if handle is not None:
        os.close(handle)


def check_unclaimed(folder: Path) -> None:
    """Refuses a folder that another process is writing.

    Raises:
        RunError: it is.
    """
    if folder.resolve() not in _HELD:
        claim(folder)
        release(folder)


@contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """For what is read, changed and written again within a moment: one process after the other.

    Waits for the others that do so in the folder; no claim of it may be held meanwhile.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
