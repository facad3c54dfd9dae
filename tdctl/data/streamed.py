"""Images that worker processes decode again in every pass."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from tdctl.data.decode import Decoder
from tdctl.data.pixel_store import Kind
from tdctl.errors import DataError
from tdctl.processors import own_processors, unbound
from tdctl.streams import LOADER

__all__ = ["StreamStore"]


class StreamStore:
    """Pixels that are not kept: each batch is decoded when it is needed."""

    kind: Kind = "stream"

    def __init__(self, decoder: Decoder, workers: int | None = None) -> None:
        """Streams the images of a decoder.

        Args:
            decoder: the decoder.
            workers: the number of worker processes; None for one for each allowed processor.
        """
        self.shape = (len(decoder), *decoder.shape)
        self.workers = workers or own_processors()
        self._decoder = decoder

    def digest(self, rows: NDArray[np.int64]) -> None:
        """None, because a digest would need a pass over all files."""

    def batches(self, parts: Sequence[NDArray[np.int64]]) -> Iterator[torch.Tensor]:
        """The pixels of each part, in the given order. The worker processes end with the pass.

        Raises:
            DataError: an image does not decode, as in ``Decoder.batch``; or a worker process died.
        """
        if not parts:
            return
        try:
            for batch in self._started(parts):
                if isinstance(batch, DataError):
                    raise batch
                yield batch
        except RuntimeError as error:
            if "worker" not in str(error):
                raise
            raise DataError(
                f"{self._decoder.images.name(0)}: a process that decodes images was ended from "
                "outside, mostly for want of memory or of room in /dev/shm; give fewer --workers"
            ) from None

    def _started(self, parts: Sequence[NDArray[np.int64]]) -> Iterator[Any]:
        """Starts the worker processes and returns an iterator over their batches.

        The workers may use all processors of this process, even if this thread is bound to one.
        """
        with unbound(), warnings.catch_warnings():
            # Python 3.12 warns of a fork in a process with threads. The workers use no threads of
            # the parent, so the fork is safe.
            warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
            loader: DataLoader[Any] = DataLoader(
                _Files(self._decoder),
                batch_sampler=cast(Any, parts),
                num_workers=min(self.workers, len(parts)),
                collate_fn=_as_it_is,
                # Without its own generator, the loader would draw from torch's global one.
                generator=LOADER.torch_generator(),
            )
            return iter(loader)


class _Files(Dataset[Any]):
    """The data set in a worker process.

    It gives whole batches, so that the parent does not have to join single images.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    def __getitems__(self, rows: NDArray[np.int64]) -> torch.Tensor | DataError:
        try:
            return self._decoder.batch(rows)
        except DataError as error:  # a raised error would carry the worker's traceback
            return error


def _as_it_is(batch: Any) -> Any:
    return batch
