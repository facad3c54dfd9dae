"""Arrow streams on the disk: where in the file the values of a column of bytes are, and labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tdctl.errors import DataError
from tdctl.files import first_line

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Block", "blocks", "column_names"]

Ints = NDArray[np.int64]
# How a stream ends. Without it the file was cut short, which the reader takes for the end.
END = b"\xff\xff\xff\xff\0\0\0\0"


def column_names(path: Path) -> list[str]:
    """The columns of an Arrow stream.

    Raises:
        DataError: the file is missing or damaged.
    """
    import pyarrow as pa

    with _reading(path), pa.memory_map(str(path)) as source:
        return [str(name) for name in pa.ipc.open_stream(source).schema.names]


def blocks(paths: Sequence[Path]) -> Iterator[Block]:
    """The rows of some Arrow streams, block by block as they were written, in order.

    A block is valid until the next is asked for.

    Raises:
        DataError: a file is missing, damaged or cut short; names it.
    """
    import pyarrow as pa

    before = 0
    for path in paths:
        with _reading(path), pa.memory_map(str(path)) as source:
            whole = source.read_buffer()
            if whole.slice(max(0, whole.size - len(END))).to_pybytes() != END:
                raise pa.ArrowInvalid("cut short: the mark of its end is missing")
            stream = pa.BufferReader(whole)
            for batch in pa.ipc.open_stream(stream):
                yield Block(path, before, batch, whole)
                before += batch.num_rows
            if stream.tell() != whole.size:
                raise pa.ArrowInvalid(f"a mark of its end at byte {stream.tell()}, within it")


@dataclass(frozen=True)
class Block:
    """Some rows of a table, in memory that is the file.

    Attributes:
        path: of the file.
        before: how many rows come before these, in all files.
        batch: the rows.
        whole: the file.
    """

    path: Path
    before: int
    batch: pa.RecordBatch
    whole: pa.Buffer

    def where(self, row: int) -> str:
        """What a message calls one of the rows."""
        return f"{self.path}: row {self.before + row}"

    def labels(self, name: str) -> Ints | list[str]:
        """A column of integers as int64 [n], or one of texts.

        Raises:
            DataError: no such column, it is of another type, or a value is None.
        """
        with _reading(self.path):
            return self._labels(name)

    def byte_ranges(self, name: str) -> tuple[Ints, Ints, dict[int, str]]:
        """Where a column of images lies: int64 [n] offsets and sizes in bytes, and paths.

        The column is one of bytes, or of ``{bytes, path}``. Where bytes are None, the path is
        given by row, and offset and size are 0.

        Raises:
            DataError: no such column, it is of another type, an image is None, or the file is
                compressed.
        """
        with _reading(self.path):
            column, content, paths = self._images(name)
            elsewhere = {}
            for row in map(int, np.flatnonzero(_are_none(column) | _are_none(content))):
                path = paths[row].as_py() if paths is not None and column[row].is_valid else None
                if not path:
                    raise DataError(
                        f"{self.where(row)}: the image in column {name!r} is None; remove the row"
                    )
                elsewhere[row] = str(path)
            offset, size = self._within(content)
        offset[list(elsewhere)] = size[list(elsewhere)] = 0
        return offset, size, elsewhere

    def _labels(self, name: str) -> Ints | list[str]:
        import pyarrow as pa

        column = self._column(name)
        missing = np.flatnonzero(_are_none(column))
        if len(missing):
            raise DataError(
                f"{self.where(int(missing[0]))}: the label in column {name!r} is None; remove "
                "the row"
            )
        if pa.types.is_integer(column.type):
            return np.asarray(column).astype(np.int64)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            return [str(text) for text in column.to_pylist()]
        raise DataError(
            f"{self.path}: column {name!r} holds {column.type}; expected class numbers or names"
        )

    def _images(self, name: str) -> tuple[Any, Any, Any]:
        """A column of images, and the bytes and the paths in it."""
        import pyarrow as pa

        column = content = self._column(name)
        paths = None
        if pa.types.is_struct(column.type):
            fields = [field.name for field in column.type]
            content = column.field("bytes") if "bytes" in fields else column
            paths = column.field("path") if "path" in fields else None
        kinds = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_null)
        if not any(is_kind(content.type) for is_kind in kinds):
            raise DataError(
                f"{self.path}: column {name!r} holds {column.type}; expected encoded images: "
                "cast_column to Image() and save anew"
            )
        return column, content, paths

    def _column(self, name: str) -> Any:
        names = self.batch.schema.names
        if names.count(name) != 1:
            raise DataError(f"{self.path}: no column {name!r}; it has {', '.join(names)}")
        column = self.batch.column(name)
        # Offsets that are damaged would else be followed out of the file.
        column.validate(full=True)
        return column

    def _within(self, content: Any) -> tuple[Ints, Ints]:
        import pyarrow as pa

        buffers = content.buffers()
        data = buffers[-1]
        if not data or not data.size:  # no block, or all of it None
            nothing = np.zeros(len(content), dtype=np.int64)
            return nothing, nothing.copy()
        width = np.dtype(np.int64 if pa.types.is_large_binary(content.type) else np.int32)
        bounds = np.frombuffer(
            buffers[1], width, count=len(content) + 1, offset=content.offset * width.itemsize
        ).astype(np.int64)
        start = data.address - self.whole.address
        if not 0 <= start <= start + data.size <= self.whole.size:
            raise DataError(
                f"{self.path}: its values are compressed and cannot be read in any order; save "
                "the data anew with save_to_disk"
            )
        return start + bounds[:-1], np.diff(bounds)


def _are_none(column: Any) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = column.is_null().to_numpy(zero_copy_only=False)
    return found


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; the data set is not whole, save it anew") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{path}: a damaged Arrow file ({first_line(error)}); get or save the data set anew"
        ) from None
