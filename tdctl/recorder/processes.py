"""The processes of a training, as torch.distributed knows them; one process if it is not used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

from tdctl.errors import TdctlError

__all__ = ["count", "gather", "rank", "together"]

T = TypeVar("T")


def _used() -> bool:
    distributed = torch.distributed
    return distributed.is_available() and distributed.is_initialized()


def rank() -> int:
    """The number of this process, from 0."""
    return torch.distributed.get_rank() if _used() else 0


def count() -> int:
    """The number of processes."""
    return torch.distributed.get_world_size() if _used() else 1


def gather(value: T) -> list[T]:
    """The values of all processes, in their order; all processes must call it."""
    if count() == 1:
        return [value]
    found: list[Any] = [None] * count()
    torch.distributed.all_gather_object(found, value)
    return found


def together(work: Callable[[], T]) -> list[T]:
    """Does the work in every process and gathers the results; all processes must call it.

    Raises:
        TdctlError: the work of a process raised it. It is raised in every process, so that none
            of them waits for the others.
    """
    try:
        own: T | TdctlError = work()
    except TdctlError as error:
        own = error
    found = gather(own)
    failed = next((one for one in found if isinstance(one, TdctlError)), None)
    if failed is not None:
        raise failed
    return found  # type: ignore[return-value]
