"""Where the bytes of encoded images are: in files of their own, or inside larger files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Encoded", "Files", "Texts"]


class Encoded(Protocol):
    """Encoded images by row.

    Each worker process gets a copy, so large parts should be arrays.
    """

    def __len__(self) -> int:
        """The number of images."""

    def name(self, row: int) -> str:
        """The name of an image in messages: its path, or its file and its place there."""

    def open(self, row: int) -> str | BinaryIO:
        """The path of an image, or a file object that starts at the image's first byte.

        Raises:
            OSError: the image cannot be read.
        """

    def stats(self) -> NDArray[np.int64]:
        """Size in bytes and time of the last change in nanoseconds, int64 [n, 2].

        Both values are -1 for an image that cannot be reached.
        """

    def take(self, rows: NDArray[np.int64]) -> Encoded:
        """The images of the given rows, in that order."""


class Texts:
    """Names by row, stored as one string of bytes.

    Processes share one string. Each would make its own copy of a list.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        parts = [os.fsencode(text) for text in texts]
        self._bytes = b"".join(parts)
        self._ends = np.cumsum([0, *map(len, parts)], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, row: int) -> str:
        return os.fsdecode(self._bytes[self._ends[row] : self._ends[row + 1]])

    def __iter__(self) -> Iterator[str]:
        return (self[row] for row in range(len(self)))

    def take(self, rows: NDArray[np.int64]) -> Texts:
        """The names of the given rows, in that order."""
        taken = Texts([])
        starts, stops = self._ends[:-1][rows], self._ends[1:][rows]
        pairs = zip(starts.tolist(), stops.tolist(), strict=True)
        taken._bytes = b"".join(self._bytes[start:stop] for start, stop in pairs)
        taken._ends = np.concatenate([[0], np.cumsum(stops - starts)])
        return taken


class Files:
    """Images that are one file each.

    Args:
        root: the folder that the names are relative to.
        names: n paths relative to the folder, with ``/``.
    """

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self._root = str(root)
        self._names = Texts(names)

    def __len__(self) -> int:
        return len(self._names)

    def name(self, row: int) -> str:
        """The path of one image."""
        # Path's "/" would drop the root if the name begins with a slash by mistake.
        return f"{self._root}/{self._names[row]}"

    def open(self, row: int) -> str:
        """The path of one image."""
        return self.name(row)

    def stats(self) -> NDArray[np.int64]:
        """Size in bytes and time of the last change in nanoseconds, int64 [n, 2]."""
        stats = np.full((len(self), 2), -1, dtype=np.int64)
        for row in range(len(self)):
            with suppress(OSError):  # the decoder reports a file that cannot be reached
                found = os.stat(self.name(row))  # noqa: PTH116 - making a Path doubles the time
                stats[row] = found.st_size, found.st_mtime_ns
        return stats

    def take(self, rows: NDArray[np.int64]) -> Files:
        """The images of the given rows, in that order."""
        taken = Files(Path(self._root), [])
        taken._names = self._names.take(rows)
        return taken
