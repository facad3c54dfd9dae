"""How many threads compute a training on a CPU, and on which processors they run."""

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

# Floating point operations of a step (three times its forward pass) that justify one more thread.
# Below this, one thread fewer costs little time, and gains much if other programs are running.
WORK = 0.5e9


@dataclass(frozen=True)
class Threads:
    """The threads that compute a training.

    Attributes:
        count: how many; the exact bits of a result on a CPU depend on it.
        why: the reason, in words.
    """

    count: int
    why: str

    @classmethod
    def planned(
        cls, flops: float, device: torch.device, began: Mapping[str, Any] | None = None
    ) -> Threads:
        """Chooses the number of threads for a training.

        The user's variables decide (``OMP_NUM_THREADS``); otherwise the number that the run began
        with; otherwise the work: one thread for each 0.5 billion operations of a step, at most
        ``most_threads``. If tdctl is called from Python, torch's own number is not exceeded.

        Args:
            flops: floating point operations of one step.
            device: the device of the training.
            began: for a resumed run, what ``RunFolder.began_with`` returns.
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
        """The facts about the threads for the manifest."""
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
        """Makes torch compute with this number of threads until the block ends."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.count)
        places = self._places()
        try:
            with _apart(places) if places else nullcontext():
                yield
        finally:
            torch.set_num_threads(before)

    def _places(self) -> list[int]:
        """The processor of each thread, if two threads run on exactly two processors; else empty.

        If both threads ran on the same processor, one would actively wait for the other, which
        cannot run meanwhile. Measured next to one busy program: a step of the wide network on two
        processors took 100 ms without fixed processors and 44 ms with them (21 ms without the
        other program). With more than two processors the system itself finds a free one.
        """
        places = sorted(allowed_processors())
        alone = os.environ.get("WORLD_SIZE", "1") == "1"
        wanted = self.count == len(places) == 2 and alone and not place_is_asked()
        return places if wanted and _openmp() is not None else []


def _openmp() -> ctypes.CDLL | None:
    """The GNU OpenMP library, if torch computes with it; else None."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    library = ctypes.CDLL(None)
    there = all(hasattr(library, name) for name in ("GOMP_parallel", "omp_get_thread_num"))
    return library if there else None


@contextmanager
def _apart(places: list[int]) -> Iterator[None]:
    """Keeps each computing thread on one processor until the block ends."""
    whole = allowed_processors()
    with bound_to(whole):
        _bind([{place} for place in places])
        try:
            yield
        finally:
            _bind([whole] * len(places))


def _bind(shares: list[set[int]]) -> None:
    """Sets the processors on which each of torch's threads may run.

    If the system does not allow it, nothing changes: only the speed depends on it.
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

    # This is how GCC starts a parallel region. It uses the same threads as torch's operations.
    act = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(in_each)
    library.GOMP_parallel(act, None, len(shares), 0)
