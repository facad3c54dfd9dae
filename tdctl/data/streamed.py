"""Images that worker processes decode again in every pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.data.decode import Decoder
from tdctl.data.pixel_store import Kind
from tdctl.data.workers import in_processes
from tdctl.processors import own_processors

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
        return in_processes(self._decoder.batch, parts, self.workers, self._decoder.images.name(0))
