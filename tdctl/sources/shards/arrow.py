"""Arrow streams on the disk: reads labels, and finds where in the file the images are."""

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
# The last bytes of a stream. pyarrow's reader does not notice a file that was cut short, so we
# check for them.
END = b"\xff\xff\xff\xff\0\0\0\0"


def column_names(path: Path) -> list[str]:
    """The names of the columns of an Arrow stream.

    Raises:
        DataError: the file is missing or damaged.
    """
    import pyarrow as pa

    with _reading(path), pa.memory_map(str(path)) as source:
        return [str(name) for name in pa.ipc.open_stream(source).schema.names]


def blocks(paths: Sequence[Path]) -> Iterator[Block]:
    """The rows of several Arrow streams, in order, in the blocks that were written.

    A block is valid until the next one is requested.

    Raises:
        DataError: a file is missing, damaged or cut short. The message names the file.
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
    """Some rows of a table, in a memory-mapped file.

    Attributes:
        path: the path of the file.
        before: the number of earlier rows, over all files.
        batch: the rows.
        whole: the whole file.
    """

    path: Path
    before: int
    batch: pa.RecordBatch
    whole: pa.Buffer

    def where(self, row: int) -> str:
        """The name of a row in messages."""
        return f"{self.path}: row {self.before + row}"

    def labels(self, name: str) -> Ints | list[str]:
        """A label column: int64 [n] for a column of integers, n strings for a column of texts.

        Raises:
            DataError: the column does not exist or has another type, or a value is None.
        """
        with _reading(self.path):
            return self._labels(name)

    def byte_ranges(self, name: str) -> tuple[Ints, Ints, dict[int, str]]:
        """The place of each image of a column in the file.

        The column holds bytes, or structs ``{bytes, path}``.

        Returns:
            Offsets and sizes in bytes, int64 [n] each; and, by row, the paths of those images
            whose bytes are None. Their offset and size are 0.

        Raises:
            DataError: the column does not exist or has another type, an image is None, or the
                file is compressed.
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
        """A column of images, with its bytes and its paths."""
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
        # Damaged offsets would otherwise lead outside the file.
        column.validate(full=True)
        return column

    def _within(self, content: Any) -> tuple[Ints, Ints]:
        import pyarrow as pa

        buffers = content.buffers()
        data = buffers[-1]
        if not data or not data.size:  # the block is empty, or all its values are None
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
