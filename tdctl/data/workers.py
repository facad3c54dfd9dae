"""Worker processes that do a part of the work each, and give their results in order."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from tdctl.errors import DataError
from tdctl.processors import unbound
from tdctl.streams import LOADER

__all__ = ["in_processes"]

Rows = NDArray[np.int64]
T = TypeVar("T")


def in_processes(
    act: Callable[[Rows], T], parts: Sequence[Rows], workers: int, name: str
) -> Iterator[T]:
    """``act`` of each part, in the given order. The processes end with the iteration.

    Args:
        act: what a process does with a part; tensors in its result are shared, not copied.
        parts: rows, int64, a part each.
        workers: the largest number of processes.
        name: what is worked on, for the message of an error.

    Raises:
        DataError: ``act`` raised it; or a process died.
    """
    if not parts:
        return
    try:
        for result in _started(act, parts, workers):
            if isinstance(result, DataError):
                raise result
            yield result
    except RuntimeError as error:
        if "worker" not in str(error):
            raise
        raise DataError(
            f"{name}: a process that decodes images was ended from outside, mostly for want of "
            "memory or of room in /dev/shm; give fewer --workers"
        ) from None


def _started(act: Callable[[Rows], T], parts: Sequence[Rows], workers: int) -> Iterator[Any]:
    """Starts the processes and returns an iterator over their results.

    They may use all processors of this process, even if this thread is bound to one.
    """
    with unbound(), warnings.catch_warnings():
        # Python 3.12 warns of a fork in a process with threads. The workers use no threads of
        # the parent, so the fork is safe.
        warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
        loader: DataLoader[Any] = DataLoader(
            _Parts(act),
            batch_sampler=cast(Any, parts),
            num_workers=min(workers, len(parts)),
            collate_fn=_as_it_is,
            # Without its own generator, the loader would draw from torch's global one.
            generator=LOADER.torch_generator(),
        )
        return iter(loader)


class _Parts(Dataset[Any], Generic[T]):
    """The data set in a process.

    It gives whole parts, so that the parent does not have to join single images.
    """

    def __init__(self, act: Callable[[Rows], T]) -> None:
        self._act = act

    def __getitems__(self, rows: Rows) -> T | DataError:
        try:
            return self._act(rows)
        except DataError as error:  # a raised error would carry the process's traceback
            return error


def _as_it_is(part: Any) -> Any:
    return part
