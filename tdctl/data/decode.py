"""Image files to pixels: the one decoder, whichever way the pixels are then held."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL import __version__ as PILLOW

from tdctl.errors import DataError

__all__ = ["DECODER", "Decoder", "file_stats", "own_processors", "slabs"]

# What the same file gives the same pixels by. Raise the number when the pixels change.
DECODER = f"1, Pillow {PILLOW}"
SLAB_BYTES = 1 << 26


def own_processors() -> int:
    """This process's share of the processors, where torchrun started several here."""
    return max(1, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


@dataclass(frozen=True)
class Decoder:
    """Files that decode to images of one size.

    Attributes:
        files: bytes [n], the paths; an array, which processes share where a list is copied.
        size: side that all are brought to, or None.
        shape: C, H, W of every image: that of the first.
    """

    files: NDArray[np.bytes_]
    size: int | None
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, files: Sequence[Path], size: int | None) -> Decoder:
        """The decoder of some files; reads the first of them.

        Raises:
            DataError: that one does not decode.
        """
        h, w, c = _read_rgb(files[0], size).shape
        return cls(np.array([os.fsencode(file) for file in files]), size, (c, h, w))

    def __len__(self) -> int:
        return len(self.files)

    def path(self, row: int) -> Path:
        """The path of one file."""
        return Path(os.fsdecode(bytes(self.files[row])))

    def read(self, row: int) -> NDArray[np.uint8]:
        """Uint8 [C, H, W] of one file.

        Raises:
            DataError: it does not decode, or has another size than the first; names the file.
        """
        image = _read_rgb(self.path(row), self.size).transpose(2, 0, 1)
        if image.shape != self.shape:
            (_, h, w), (_, first_h, first_w) = image.shape, self.shape
            raise DataError(
                f"{self.path(row)} has {w}x{h} pixels and {self.path(0)} has {first_w}x{first_h}; "
                "give --image-size to bring all to one size"
            )
        return image

    def read_all(self, pixels: NDArray[np.uint8] | None = None) -> Iterator[NDArray[np.uint8]]:
        """All images, slab by slab and in order, by as many threads as there are processors.

        Args:
            pixels: uint8 [n, C, H, W] to fill; the slabs are then its parts. Without it they
                share one buffer, and each holds until the next is asked for.
        """
        buffer = None
        with ThreadPoolExecutor(own_processors()) as pool:
            for start, stop in slabs(len(self), self.shape):
                if pixels is not None:
                    slab = pixels[start:stop]
                else:
                    if buffer is None:
                        buffer = np.empty((stop - start, *self.shape), dtype=np.uint8)
                    slab = buffer[: stop - start]
                for at, image in enumerate(pool.map(self.read, range(start, stop))):
                    slab[at] = image
                yield slab

    def batch(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Uint8 [B, C, H, W] of some files, one after the other."""
        pixels = np.empty((len(rows), *self.shape), dtype=np.uint8)
        for at, row in enumerate(rows):
            pixels[at] = self.read(int(row))
        return torch.from_numpy(pixels)


def slabs(n: int, shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Start and stop of runs of images that take some 64 MB each."""
    count = max(1, SLAB_BYTES // int(np.prod(shape)))
    for start in range(0, n, count):
        yield start, min(n, start + count)


def file_stats(files: Sequence[Path]) -> NDArray[np.int64]:
    """Size in bytes and time of the last change in nanoseconds, int64 [n, 2].

    Raises:
        DataError: a file cannot be reached; names it.
    """
    stats = np.empty((len(files), 2), dtype=np.int64)
    for row, file in enumerate(files):
        try:
            found = file.stat()
        except OSError as error:
            raise DataError(
                f"{file}: cannot be read as an image ({error.strerror}); mend or remove it"
            ) from None
        stats[row] = found.st_size, found.st_mtime_ns
    return stats


def _read_rgb(path: Path, size: int | None) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as file:
            image = _as_rgb(ImageOps.exif_transpose(file))
    except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
        raise DataError(
            f"{path}: does not decode as an image ({error}); mend or remove it"
        ) from None
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read as an image ({error}); mend or remove it"
        ) from None
    if size is not None and image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _as_rgb(image: Image.Image) -> Image.Image:
    """Eight bits a channel: Pillow alone would clip deeper greyscale at 255 instead of scaling."""
    if image.mode == "F":
        raise ValueError("32-bit floating point pixels have no known range")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("more than 16 bits a pixel")
        deep = image.mode.startswith("I;16") or values.max() > 255
        image = Image.fromarray((values >> 8 if deep else values).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")
