"""Images that are decoded anew in every pass, by worker processes."""

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
    """Pixels that are held nowhere: each batch is decoded when its turn comes."""

    kind: Kind = "stream"

    def __init__(self, decoder: Decoder, workers: int | None = None) -> None:
        """The images of a decoder; ``workers`` processes, or one for each processor of ours."""
        self.shape = (len(decoder), *decoder.shape)
        self.workers = workers or own_processors()
        self._decoder = decoder

    def digest(self, rows: NDArray[np.int64]) -> None:
        """None: it would cost a pass over all files."""

    def batches(self, parts: Sequence[NDArray[np.int64]]) -> Iterator[torch.Tensor]:
        """Each part, in the order asked for; the processes live as long as the pass.

        Raises:
            DataError: an image does not decode, in the words of ``Decoder.batch``; or a worker
                process died.
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
        """The batches of processes that have just been started.

        They run on all processors of ours, also where the thread that starts them keeps to one.
        """
        with unbound(), warnings.catch_warnings():
            # Python 3.12 warns of forks beside threads; the workers take up none of theirs.
            warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
            loader: DataLoader[Any] = DataLoader(
                _Files(self._decoder),
                batch_sampler=cast(Any, parts),
                num_workers=min(self.workers, len(parts)),
                collate_fn=_as_it_is,
                # Without one of its own the loader would draw from torch's global stream.
                generator=LOADER.torch_generator(),
            )
            return iter(loader)


class _Files(Dataset[Any]):
    """What a worker process runs: whole batches, not single images that the parent would join."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    def __getitems__(self, rows: NDArray[np.int64]) -> torch.Tensor | DataError:
        try:
            return self._decoder.batch(rows)
        except DataError as error:  # raised, it would arrive wrapped in the worker's traceback
            return error


def _as_it_is(batch: Any) -> Any:
    return batch
