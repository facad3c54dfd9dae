"""How many threads compute a training on a CPU, and where they run."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from tdctl.processors import (
    NUMBER,
    allowed_processors,
    bound_to,
    most_threads,
    own_processors,
    place_is_asked,
    threads_are_asked,
    threads_are_ours,
    users_environment,
)

__all__ = ["Threads"]

# Floating point operations of a step (the forward pass, counted three times) that make a thread
# worthwhile. A thread less costs little below it, and beside other programs it gains much.
WORK = 0.5e9


@dataclass(frozen=True)
class Threads:
    """The threads that compute a training.

    Attributes:
        count: how many; the bits of a result on a CPU depend on it.
        why: in words.
    """

    count: int
    why: str

    @classmethod
    def planned(
        cls, flops: float, device: torch.device, began: Mapping[str, Any] | None = None
    ) -> Threads:
        """The threads for a training whose step takes so many floating point operations.

        The user's variables decide (``OMP_NUM_THREADS``), else what the run began with, else the
        work: a thread for each 0.5 billion operations, as many as ``most_threads`` allows. Where
        tdctl is called from Python, torch's own number is not exceeded.

        Args:
            began: what ``RunFolder.began_with`` gives of a run that is resumed.
        """
        if threads_are_asked():
            names = [name for name in users_environment() if name in NUMBER]
            return cls(torch.get_num_threads(), f"by {', '.join(names)}")
        most, possible = most_threads(), own_processors()
        if not threads_are_ours():
            most, possible = (min(each, torch.get_num_threads()) for each in (most, possible))
        was = (began or {}).get("threads")
        if isinstance(was, int) and (1 <= was <= possible or device.type != "cpu"):
            return cls(was, "as the run began")
        if device.type != "cpu":
            return cls(1, f"the network is computed on {device.type}")
        text = f"{flops / 1e9:,.2g} billion operations a step, {most} threads at most"
        return cls(min(most, max(1, int(flops // WORK))), text)

    def facts(self) -> dict[str, Any]:
        """What the manifest says of them."""
        return {
            "threads": self.count,
            "threads_chosen": {
                "why": self.why,
                "one_processor_each": bool(self._places()),
                "environment": users_environment(),
            },
        }

    @contextmanager
    def used(self) -> Iterator[None]:
        """Lets torch compute with so many threads; afterwards with as many as before."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.count)
        places = self._places()
        try:
            with _apart(places) if places else nullcontext():
                yield
        finally:
            torch.set_num_threads(before)

    def _places(self) -> list[int]:
        """A processor for each thread, where they are to keep to one: two on two processors.

        On the same processor one of the two would wait actively for the other, which cannot run
        meanwhile: beside one busy program, a step of the wide network on two processors took
        108 ms so, 44 where each kept to its own, and 21 without the other program. Of more than
        two processors one is free, and the system moves what is in the way.
        """
        places = sorted(allowed_processors())
        alone = os.environ.get("WORLD_SIZE", "1") == "1"
        wanted = self.count == len(places) == 2 and alone and not place_is_asked()
        return places if wanted and _openmp() is not None else []


def _openmp() -> ctypes.CDLL | None:
    """GNU's OpenMP that torch computes with, where that is the one."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    library = ctypes.CDLL(None)
    there = all(hasattr(library, name) for name in ("GOMP_parallel", "omp_get_thread_num"))
    return library if there else None


@contextmanager
def _apart(places: list[int]) -> Iterator[None]:
    """Keeps each thread that computes to one processor; afterwards they run anywhere again."""
    whole = allowed_processors()
    with bound_to(whole):
        _bind([{place} for place in places])
        try:
            yield
        finally:
            _bind([whole] * len(places))


def _bind(shares: list[set[int]]) -> None:
    """Gives each thread of torch's team the processors that it may run on.

    What is not allowed (a system may forbid it) is left as it is: only the speed depends on it.
    """
    library = _openmp()
    if library is None:
        return

    def in_each(_: int | None) -> None:
        number = library.omp_get_thread_num()
        try:
            os.sched_setaffinity(0, shares[number])
        except OSError:
            return

    # GCC's entry to a parallel region: it runs in the very threads that torch's operations use.
    act = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(in_each)
    library.GOMP_parallel(act, None, len(shares), 0)
