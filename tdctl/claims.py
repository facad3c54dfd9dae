"""Locks on folders, so that only one process at a time writes to a folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tdctl.errors import RunError

__all__ = ["check_unclaimed", "claim", "in_turn", "release"]

# The open folders whose lock this process holds. When a process ends, for any reason, the system
# releases its locks.
_HELD: dict[Path, int] = {}


def _forget() -> None:
    """Closes the parent's locks in a forked process, so that no lock outlives the parent."""
    while _HELD:
        os.close(_HELD.popitem()[1])


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget)


def claim(folder: Path) -> None:
    """Reserves a folder for this process, until ``release`` or the end of the process.

    Other processes then cannot claim it. On Windows, and on file systems without locks, this has no
    effect.

    Raises:
        RunError: another process has claimed the folder.
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
    """Checks that no other process is writing to a folder.

    Raises:
        RunError: another process has claimed the folder.
    """
    if folder.resolve() not in _HELD:
        claim(folder)
        release(folder)


@contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Lets one process at a time read, change and rewrite a file in a folder.

    A process waits here until the others have left their block. A process with a claim on the
    folder would block all others, so nobody may hold one meanwhile.
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
