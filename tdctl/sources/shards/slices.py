"""Images inside larger files: each image is a range of bytes."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from tdctl.errors import DataError
from tdctl.sources.encoded import Texts

__all__ = ["Slices"]

Ints = NDArray[np.int64]


class Slices:
    """Images that are ranges of bytes in larger files, such as tar shards and Arrow files.

    Every read opens the file and closes it again, which takes about 10 microseconds. So copies in
    other processes or threads share no open file, and the number of files has no limit.

    Args:
        files: the paths of the larger files.
        file: int64 [n], for each image the position of its file in ``files``; -1 if the image is a
            file of its own. Its name is then its path.
        offset: int64 [n], the byte in the file at which the image begins.
        size: int64 [n], the length of the image in bytes.
        names: n names of the images, which messages show after the file's name.

    Raises:
        DataError: a file cannot be reached.
    """

    def __init__(
        self, files: Sequence[Path], file: Ints, offset: Ints, size: Ints, names: Sequence[str]
    ) -> None:
        self._files = [str(path) for path in files]
        self._stamps = [_stamp(path) for path in self._files]
        self._file, self._offset, self._size = file, offset, size
        self._names = Texts(names)

    def __len__(self) -> int:
        return len(self._file)

    def name(self, row: int) -> str:
        """The image's file and its name there, such as ``train-0.tar: 0001.jpg``."""
        number = self._file[row]
        return self._names[row] if number < 0 else f"{self._files[number]}: {self._names[row]}"

    def names_below(self, root: Path) -> list[str]:
        """The names of the images relative to a folder, such as ``train-0.tar/0001.jpg``.

        An image that is a file outside the folder keeps its path.
        """
        above = [Path(file).relative_to(root).as_posix() for file in self._files]
        return [
            name.removeprefix(f"{root}/") if number < 0 else f"{above[number]}/{name}"
            for number, name in zip(self._file.tolist(), self._names, strict=True)
        ]

    def open(self, row: int) -> str | BinaryIO:
        """The bytes of one image, or its path if it is a file of its own.

        Raises:
            OSError: the file cannot be read, or has changed since it was listed.
        """
        number = self._file[row]
        if number < 0:
            return self.name(row)
        handle = os.open(self._files[number], os.O_RDONLY)
        try:
            found = os.fstat(handle)
            if (found.st_size, found.st_mtime_ns) != self._stamps[number]:
                # The images may have moved, so the same range could now be another image.
                raise OSError("the file has changed since its images were listed; start anew")
            content = os.pread(handle, int(self._size[row]), int(self._offset[row]))
        finally:
            os.close(handle)
        if len(content) < self._size[row]:
            raise OSError("the file ends before the image does")
        return io.BytesIO(content)

    def stats(self) -> Ints:
        """Size of each image in bytes, and time of its file's last change in ns, int64 [n, 2]."""
        changed = np.array([time for _, time in self._stamps] or [0], dtype=np.int64)
        stats = np.stack([self._size, changed[self._file]], axis=1)
        for row in np.flatnonzero(self._file < 0):
            stats[row] = -1  # the decoder reports a file that cannot be reached
            with suppress(DataError):
                stats[row] = _stamp(self.name(int(row)))
        return stats

    def take(self, rows: Ints) -> Slices:
        """The images of the given rows, in that order."""
        taken = object.__new__(Slices)
        taken._files, taken._stamps = self._files, self._stamps
        taken._file, taken._offset, taken._size = (
            values[rows] for values in (self._file, self._offset, self._size)
        )
        taken._names = self._names.take(rows)
        return taken


def _stamp(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)  # noqa: PTH116 - making a Path doubles the time
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read as an image ({error.strerror}); mend or remove it"
        ) from None
    return found.st_size, found.st_mtime_ns
