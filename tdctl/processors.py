"""The processors that this process may use, and what OpenMP is told before torch is loaded.

Standard library only: the command line sets the environment before it loads torch or numpy.
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
# The user's variables that decide how many threads there are, how they wait, and where.
ENVIRONMENT = (*NUMBER, *WAITING, *PLACE, "OPENBLAS_NUM_THREADS", "OMP_DYNAMIC")
# Turns that a thread of libgomp waits actively for the others, where each has a processor of its
# own. libgomp's 300,000 are milliseconds: two trainings of the wide network at once, on two
# processors, then took 110 ms a step each, with 20,000 turns 52, and one alone 21 with either.
SPIN = "20000"

# Variables that this process has set itself.
_set: set[str] = set()
# The processors of this process, last, while its computing threads keep to one each.
_whole: list[set[int]] = []


def tune_environment() -> None:
    """Tells OpenMP and BLAS how to compute, for this process; torch and numpy are not loaded yet.

    One thread each: what is worth more, a training asks for. That holds for torch, for numpy and
    for scikit-learn. The user's own variables stand.
    """
    if not threads_are_asked():
        _put("OMP_NUM_THREADS", "1")
    if len(allowed_processors()) == 2 and not any(name in os.environ for name in WAITING):
        _put("GOMP_SPINCOUNT", SPIN)


def _put(name: str, value: str) -> None:
    os.environ[name] = value
    _set.add(name)


def threads_are_asked() -> bool:
    """Whether the user (or torchrun) has said how many threads compute."""
    return any(name in users_environment() for name in NUMBER)


def threads_are_ours() -> bool:
    """Whether this process began with one thread because ``tune_environment`` said so."""
    return "OMP_NUM_THREADS" in _set


def place_is_asked() -> bool:
    """Whether the user has said on which processors the threads run."""
    return any(name in users_environment() for name in PLACE)


def users_environment() -> dict[str, str]:
    """The variables of ``ENVIRONMENT`` that the user has set."""
    return {name: os.environ[name] for name in ENVIRONMENT if name in set(os.environ) - _set}


def allowed_processors() -> set[int]:
    """The numbers of the processors that this process may run on, by its affinity.

    Containers' limits of processor time (``own_processors``) are no part of it.
    """
    if _whole:
        return set(_whole[-1])
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def own_processors(root: Path = Path("/")) -> int:
    """How many processors this process may use, at least 1.

    By its affinity and the limits of its control groups (containers), and where torchrun started
    several processes here its share of them.

    Args:
        root: where the system's files are.
    """
    count = len(allowed_processors())
    limit = _quota(root)
    if limit is not None:
        # Of a part of a processor's time no further thread can live.
        count = min(count, int(limit))
    return max(1, count // sharing())


def most_threads(root: Path = Path("/")) -> int:
    """How many threads may compute together, at least 1.

    They wait for each other at every operation, so that one that must share its processor holds
    up all. Of more than two processors one is therefore left to other programs, where no second
    thread of a core (hyper-threading) is there for them anyway: computing has a core for each.
    """
    allowed = allowed_processors()
    spare = 1 if len(allowed) > 2 else 0
    cores = min(_cores(allowed, root), len(allowed) - spare)
    return max(1, min(cores // sharing(), own_processors(root)))


@contextmanager
def bound_to(whole: set[int]) -> Iterator[None]:
    """Keeps in mind which processors are ours, while this thread is bound to some of them."""
    _whole.append(set(whole))
    try:
        yield
    finally:
        _whole.pop()


@contextmanager
def unbound() -> Iterator[None]:
    """Lets this thread, and what it starts meanwhile, run on all processors of ours."""
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
    """How many cores these processors belong to; each its own where the system does not say."""
    found = set()
    for number in processors:
        file = root / f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list"
        try:
            found.add(file.read_text().strip())
        except OSError:
            found.add(str(number))
    return len(found)


def _quota(root: Path) -> float | None:
    """The least limit of processor time of this process's control groups, in processors.

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
    """A control group's folder and those above it, up to the top.

    Within a container the path may be that of the machine, and its own group the top.
    """
    parts = [part for part in path.split("/") if part not in {"", ".."}]
    return [top.joinpath(*parts[:length]) for length in range(len(parts), -1, -1)]


def _limit(group: Path, version: int) -> float | None:
    if version == 2:
        words = _words(group / "cpu.max")
    else:
        words = _words(group / "cpu.cfs_quota_us") + _words(group / "cpu.cfs_period_us")
    # "max" in version 2 and -1 in version 1: no limit.
    if len(words) != 2 or not all(word.isdecimal() for word in words) or int(words[1]) == 0:
        return None
    return int(words[0]) / int(words[1])


def _words(file: Path, separator: str | None = None) -> list[str]:
    """What a file of the system holds; nothing where it is not there or not for us."""
    try:
        return file.read_text().split(separator)
    except OSError:
        return []
