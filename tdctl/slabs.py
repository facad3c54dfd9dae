"""Arrays in files, of which one slab at a time is in memory.

So the memory does not grow with the file. This module needs only numpy.
"""

from __future__ import annotations

import errno
import os
import weakref
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = [
    "Array",
    "ArrayFile",
    "array_at",
    "create_array",
    "open_array",
    "rows_per_slab",
    "slabs_of",
]

# The largest number of bytes of a slab.
SLAB = 16 << 20
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class _Shared:
    """An open file. It is closed when the last array that uses it is gone."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        weakref.finalize(self, file.close)


class ArrayFile:
    """An array [n, ...] in an open file. Indexing it reads a copy of the values.

    It is indexed like a numpy array: first by rows (a slice, row numbers or a mask), then by the
    other axes. ``numpy.asarray`` reads the whole array.

    Only the requested part of the file is mapped, and only for a short time. A system may load two
    megabytes around each page that is used, if the mapping includes them.

    Attributes:
        shape: the shape of the array as it is read.
        dtype: the type of the values as they are read.
    """

    def __init__(
        self,
        file: BinaryIO | _Shared,
        offset: int,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        *,
        writable: bool = False,
    ) -> None:
        self._shared = file if isinstance(file, _Shared) else _Shared(file)
        self._file = self._shared.file
        self._offset, self._stored, self._writable = offset, shape, writable
        self._kind, self.dtype, self.shape = dtype, dtype, shape
        self._order: NDArray[np.int64] | None = None
        self._swapped = False
        self._columns: int | None = None

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def offset(self) -> int:
        """The place of the first value in the file, in bytes."""
        return self._offset

    @property
    def nbytes(self) -> int:
        """The size of the array in the file, in bytes."""
        return int(np.prod(self._stored, dtype=np.int64)) * self._kind.itemsize

    def at(self, i: int) -> ArrayFile:
        """The part [i] of the array, without its first axis."""
        shape = self._stored[1:]
        other = self._again(shape)
        other._offset += i * int(np.prod(shape, dtype=np.int64)) * self._kind.itemsize
        return other

    def first(self, count: int) -> ArrayFile:
        """The first rows of the array, of which none was taken or swapped yet."""
        return self._again((count, *self._stored[1:]))

    def block(self, start: int, stop: int) -> NDArray[Any]:
        """Rows ``start`` to ``stop`` as stored, memory-mapped.

        They stay in memory until the last reference to them is gone.
        """
        row = self._stored[1:]
        shape = (stop - start, *row)
        if 0 in shape:
            return np.empty(shape, self._kind)
        skip = start * int(np.prod(row, dtype=np.int64)) * self._kind.itemsize
        mode: Any = "r+" if self._writable else "r"
        return np.memmap(self._file, self._kind, mode, self._offset + skip, shape)

    def put(self, values: NDArray[Any], start: int = 0) -> None:
        """Writes rows from ``start`` on. Call ``sync`` to be sure that they are on the disk."""
        for first, last in slabs_of(len(values), rows_per_slab(values)):
            self.block(start + first, start + last)[...] = values[first:last]

    def sync(self) -> None:
        """Waits until all written values are on the disk."""
        os.fsync(self._file.fileno())

    def whole(self) -> NDArray[Any]:
        """The whole array as stored, memory-mapped; see ``block``."""
        return self.block(0, self._stored[0])

    def _rows(self, which: NDArray[np.int64]) -> NDArray[Any]:
        found = np.empty((len(which), *self._stored[1:]), self._kind)
        size = found[:1].nbytes
        into = memoryview(found.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
        for i, row in enumerate(which.tolist()):
            place = self._offset + row * size
            os.preadv(self._file.fileno(), [into[i * size : (i + 1) * size]], place)
        return found

    def checksum(self, start: int) -> int:
        """CRC-32 of the file from the byte ``start``, before the array, to the array's end."""
        total, left = 0, self._offset + self.nbytes - start
        place = start
        while left:
            piece = os.pread(self._file.fileno(), min(left, 1 << 20), place)
            if not piece:
                raise EOFError("the file ends early")
            total = zlib.crc32(piece, total)
            left, place = left - len(piece), place + len(piece)
        return total

    def take(self, rows: NDArray[np.int64]) -> ArrayFile:
        """The same array with its rows in another order, int64 [m]."""
        other = self._again()
        other._order = rows if self._order is None else self._order[rows]
        other.shape = (len(rows), *self.shape[1:])
        return other

    def swapped(self) -> ArrayFile:
        """The same array with the last two axes swapped: [n, a, b] becomes [n, b, a]."""
        if self._columns is not None:
            raise ValueError("the axes are to be swapped before the second one is cut")
        other = self._again()
        other._swapped = not self._swapped
        other.shape = (self.shape[0], self.shape[2], self.shape[1])
        return other

    def columns(self, count: int) -> ArrayFile:
        """The same array with only the first ``count`` entries of its second axis, as it is read.

        Call ``swapped`` before this; afterwards it raises ValueError.
        """
        other = self._again()
        other._columns = min(count, self.shape[1])
        other.shape = (self.shape[0], other._columns, *self.shape[2:])
        return other

    def cast(self, dtype: DTypeLike) -> ArrayFile:
        """The same array, read as another type."""
        other = self._again()
        other.dtype = np.dtype(dtype)
        return other

    def _again(self, shape: tuple[int, ...] | None = None) -> ArrayFile:
        stored = self._stored if shape is None else shape
        other = ArrayFile(self._shared, self._offset, self._kind, stored, writable=self._writable)
        if shape is None:
            other.dtype, other.shape = self.dtype, self.shape
            other._order, other._swapped = self._order, self._swapped
            other._columns = self._columns
        return other

    def __getitem__(self, key: Any) -> NDArray[Any]:
        rows, rest = (key[0], key[1:]) if isinstance(key, tuple) else (key, ())
        if isinstance(rows, int | np.integer):
            alone = range(len(self))[int(rows)]
            return self[(slice(alone, alone + 1), *rest)][0]  # type: ignore[no-any-return]
        which = np.arange(len(self), dtype=np.int64)[rows] if not _plain(rows) else None
        first, last, _ = rows.indices(len(self)) if which is None else (0, len(which), 1)
        count = max(0, last - first)
        tail = np.empty((0, *self.shape[1:]), np.bool_)[(slice(None), *rest)].shape[1:]
        found = np.empty((count, *tail), self.dtype)
        if which is None and self._order is not None:
            which = np.arange(first, last, dtype=np.int64)
        for a, b in slabs_of(count, rows_per_slab(self)):
            if which is None:
                block = self.block(first + a, first + b)
            else:
                block = self._rows(which[a:b] if self._order is None else self._order[which[a:b]])
            block = block.transpose(0, 2, 1) if self._swapped else block
            block = block if self._columns is None else block[:, : self._columns]
            found[a:b] = block[(slice(None), *rest)]
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        found = self[:]
        return found if dtype is None else found.astype(dtype, copy=False)


Array = NDArray[Any] | ArrayFile


def _plain(rows: Any) -> bool:
    return isinstance(rows, slice) and rows.step in {None, 1}


def rows_per_slab(*arrays: Array) -> int:
    """The number of rows in a slab, at least one. A slab has these rows of all the arrays."""
    row = sum(a.dtype.itemsize * int(np.prod(a.shape[1:], dtype=np.int64)) for a in arrays)
    return max(1, SLAB // max(1, row))


def slabs_of(n: int, rows: int, start: int = 0) -> Iterator[tuple[int, int]]:
    """The first row and the end of each slab."""
    for first in range(start, n, rows):
        yield first, min(n, first + rows)


def create_array(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> ArrayFile:
    """Makes a new ``.npy`` file of zeros and reserves its space on the disk at once.

    Raises:
        OSError: the disk is full. The error names the file.
    """
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
        "fortran_order": False,
        "shape": shape,
    }
    file = path.open("wb+")
    np.lib.format.write_array_header_1_0(file, header)
    file.flush()
    array = ArrayFile(file, file.tell(), np.dtype(dtype), shape, writable=True)
    try:
        _take_room(file, file.tell(), array.nbytes)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    return array


def _take_room(file: BinaryIO, start: int, size: int) -> None:
    if size == 0:
        return
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), start, size)
            return
        except OSError as error:
            if error.errno not in {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}:
                raise
    zeros = bytes(1 << 20)
    for place in range(0, size, len(zeros)):
        file.write(zeros[: min(len(zeros), size - place)])
    file.flush()


def open_array(path: Path, writable: bool = False) -> ArrayFile:
    """The array in a ``.npy`` file.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is not a ``.npy`` file, or it is truncated.
    """
    array, fortran, _ = array_at(path.open("rb+" if writable else "rb"), writable)
    if fortran:
        raise ValueError("its axes are stored in the reverse order")
    end = array.offset + array.nbytes
    if path.stat().st_size != end:
        raise ValueError(f"it has {path.stat().st_size} bytes, expected {end}")
    return array


def array_at(file: BinaryIO, writable: bool = False) -> tuple[ArrayFile, bool, int]:
    """The array whose header is at the current position of an open file.

    The array then owns the file and closes it.

    Returns:
        The array; whether its axes are in reverse order (the array is then given in this order);
        and the byte at which its header starts.

    Raises:
        ValueError: there is no such header, or the array holds objects. The file is then closed.
    """
    start = file.tell()
    try:
        version = np.lib.format.read_magic(file)
        if version not in HEADERS:
            raise ValueError(f"npy format {version} is unknown")
        shape, fortran, dtype = HEADERS[version](file)
        if dtype.hasobject:
            raise ValueError("it holds pickled objects, which are never read")
    except (ValueError, OSError):
        file.close()
        raise
    reverse = fortran and len(shape) > 1
    shape = shape[::-1] if reverse else shape
    return ArrayFile(file, file.tell(), dtype, shape, writable=writable), reverse, start
