"""The processors that this process may use, and the environment variables for OpenMP.

This module uses only the standard library: the command line sets the variables before it loads
torch or numpy.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tdctl.torchrun import sharing

__all__ = [
    "ENVIRONMENT",
    "NUMBER",
    "allowed_processors",
    "bound_to",
    "most_threads",
    "own_processors",
    "place_is_asked",
    "threads_are_asked",
    "threads_are_ours",
    "tune_environment",
    "unbound",
    "users_environment",
]

NUMBER = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
PLACE = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY")
# The variables that decide the number of threads, how they wait, and where they run.
ENVIRONMENT = (*NUMBER, *WAITING, *PLACE, "OPENBLAS_NUM_THREADS", "OMP_DYNAMIC")
# The number of turns for which a thread of libgomp waits actively for the others. libgomp's default
# of 300,000 takes milliseconds. Two trainings of the wide network at once, on two processors, took
# 110 ms per step each with the default, and 52 ms with 20,000 turns. One training alone took 21 ms
# with either.
SPIN = "20000"

# The variables that this process has set itself.
_set: set[str] = set()
# While the computing threads are bound to one processor each, the last entry holds all processors
# of this process.
_whole: list[set[int]] = []


def tune_environment() -> None:
    """Sets the variables for OpenMP and BLAS. Call it before torch and numpy are loaded.

    torch, numpy and scikit-learn get one thread. A training that gains from more threads asks for
    them later. Variables that the user has set are not changed.
    """
    if not threads_are_asked():
        _put("OMP_NUM_THREADS", "1")
    if len(allowed_processors()) == 2 and not any(name in os.environ for name in WAITING):
        _put("GOMP_SPINCOUNT", SPIN)


def _put(name: str, value: str) -> None:
    os.environ[name] = value
    _set.add(name)


def threads_are_asked() -> bool:
    """Whether the user (or torchrun) has set the number of threads."""
    return any(name in users_environment() for name in NUMBER)


def threads_are_ours() -> bool:
    """Whether ``tune_environment`` set the number of threads to one."""
    return "OMP_NUM_THREADS" in _set


def place_is_asked() -> bool:
    """Whether the user has set the processors that the threads run on."""
    return any(name in users_environment() for name in PLACE)


def users_environment() -> dict[str, str]:
    """The variables of ``ENVIRONMENT`` that the user has set."""
    return {name: os.environ[name] for name in ENVIRONMENT if name in set(os.environ) - _set}


def allowed_processors() -> set[int]:
    """The numbers of the processors that this process may run on, from its affinity.

    This does not include a container's limit of processor time; see ``own_processors``.
    """
    if _whole:
        return set(_whole[-1])
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def own_processors(root: Path = Path("/")) -> int:
    """The number of processors that this process may use, at least 1.

    It depends on the affinity and on the limits of the control groups (containers). If torchrun
    started several processes on this machine, each gets an equal share.

    Args:
        root: the root of the system's files.
    """
    count = len(allowed_processors())
    limit = _quota(root)
    if limit is not None:
        # A part of a processor's time is not enough for another thread, so round down.
        count = min(count, int(limit))
    return max(1, count // sharing())


def most_threads(root: Path = Path("/")) -> int:
    """The largest useful number of computing threads, at least 1.

    The threads wait for each other at every operation. So a thread that shares its processor with
    another program slows down all. Therefore there is at most one thread per core, and if there
    are more than two processors, at least one is left to other programs. With hyper-threading,
    the second processor of each core is free for these anyway.

    Args:
        root: the root of the system's files.
    """
    allowed = allowed_processors()
    spare = 1 if len(allowed) > 2 else 0
    cores = min(_cores(allowed, root), len(allowed) - spare)
    return max(1, min(cores // sharing(), own_processors(root)))


@contextmanager
def bound_to(whole: set[int]) -> Iterator[None]:
    """Remembers all processors of this process while this thread is bound to some of them."""
    _whole.append(set(whole))
    try:
        yield
    finally:
        _whole.pop()


@contextmanager
def unbound() -> Iterator[None]:
    """Lets this thread, and those it starts in the block, run on all processors of this process."""
    if not _whole:
        yield
        return
    here = os.sched_getaffinity(0)
    os.sched_setaffinity(0, _whole[-1])
    try:
        yield
    finally:
        os.sched_setaffinity(0, here)


def _cores(processors: set[int], root: Path) -> int:
    """The number of cores of these processors. Without information, each counts as a core."""
    found = set()
    for number in processors:
        file = root / f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list"
        try:
            found.add(file.read_text().strip())
        except OSError:
            found.add(str(number))
    return len(found)


def _quota(root: Path) -> float | None:
    """The smallest limit of processor time among the control groups of this process.

    The unit is processors: 1.5 means one and a half. None if there is no limit.

    Source: the kernel's documentation, admin-guide/cgroup-v2 (cpu.max) and scheduler/sched-bwc
        (cpu.cfs_quota_us and cpu.cfs_period_us of version 1).
    """
    limits = []
    for line in _words(root / "proc/self/cgroup", "\n"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            limits += [_limit(group, 2) for group in _groups(root / "sys/fs/cgroup", path)]
        elif "cpu" in controllers.split(","):
            for mounted in dict.fromkeys((controllers, "cpu,cpuacct", "cpuacct,cpu", "cpu")):
                groups = _groups(root / "sys/fs/cgroup" / mounted, path)
                limits += [_limit(group, 1) for group in groups]
    return min((limit for limit in limits if limit is not None), default=None)


def _groups(top: Path, path: str) -> list[Path]:
    """The folder of a control group and the folders above it, up to the top.

    In a container, the path may be the one on the host, and the container's group is the top.
    """
    parts = [part for part in path.split("/") if part not in {"", ".."}]
    return [top.joinpath(*parts[:length]) for length in range(len(parts), -1, -1)]


def _limit(group: Path, version: int) -> float | None:
    if version == 2:
        words = _words(group / "cpu.max")
    else:
        words = _words(group / "cpu.cfs_quota_us") + _words(group / "cpu.cfs_period_us")
    # No limit is written as "max" in version 2 and as -1 in version 1.
    if len(words) != 2 or not all(word.isdecimal() for word in words) or int(words[1]) == 0:
        return None
    return int(words[0]) / int(words[1])


def _words(file: Path, separator: str | None = None) -> list[str]:
    """The words in a system file; empty if the file does not exist or cannot be read."""
    try:
        return file.read_text().split(separator)
    except OSError:
        return []
