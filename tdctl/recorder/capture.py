"""The files of a recording that is under way, and how many bytes it takes.

Shape suffixes: n samples, E epochs, k classes, K kept other classes.
"""

from __future__ import annotations

import errno
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tdctl.dynamics import Layout, Store, class_type, file_layout
from tdctl.errors import RunError
from tdctl.files import nearest_folder
from tdctl.slabs import ArrayFile, create_array, open_array

__all__ = ["Forecast", "check_room", "create_capture", "forecast", "open_capture"]

# Headers of an array in the capture and in the finished file.
OVERHEAD = 512


@dataclass(frozen=True)
class Forecast:
    """The disk that a recording takes.

    Attributes:
        capture_bytes: of the files that are filled epoch by epoch.
        file_bytes: of the finished files.
        td_bytes: of their arrays ``td`` alone.
        needed_bytes: of all that stands beside each other as the file is written.
    """

    capture_bytes: int
    file_bytes: int
    td_bytes: int
    needed_bytes: int


def capture_layout(n: int, num_classes: int, epochs: int, store: Store) -> Layout:
    """The arrays of the capture.

    ``stats`` are margin and loss; ``state`` says of each epoch how far it came. ``total`` holds
    the softmax summed over the epochs, up to the last one and the one before it in turn, so that
    an epoch that is recorded again builds on the one before; of very many classes it is not kept.
    """
    half, single = np.dtype(np.float16), np.dtype(np.float32)
    layout: Layout = {
        "stats": (single, (2, epochs, n)),
        "state": (np.dtype(np.uint8), (epochs,)),
    }
    if not store.others:
        return layout | {"probs": (half, (epochs, n, num_classes))}
    kept = (epochs, n, store.others)
    layout |= {
        "given": (half, (epochs, n)),
        "other": (half, kept),
        "other_class": (class_type(num_classes), kept),
    }
    return layout | {"total": (single, (2, n, num_classes))} if store.sums else layout


def forecast(
    n: int,
    num_classes: int,
    epochs: int,
    store: str = "full",
    recordings: int = 1,
) -> Forecast:
    """The disk that a recording of n samples will take, or two of them: seen and held out.

    Raises:
        ConfigError: the store is unknown, or keeps no fewer classes than there are.
    """
    kind = Store.of(store, num_classes)
    sizes = [
        {
            name: int(np.prod(shape, dtype=np.int64)) * dtype.itemsize + OVERHEAD
            for name, (dtype, shape) in layout.items()
        }
        for layout in (
            capture_layout(n, num_classes, epochs, kind),
            file_layout(n, num_classes, epochs, kind),
        )
    ]
    capture, file = (recordings * sum(size.values()) for size in sizes)
    # The classes of the columns are set aside while td is written.
    needed = capture + file + sizes[1]["labels"]
    return Forecast(capture, file, recordings * (sizes[1]["td"] - OVERHEAD), needed)


def check_room(folder: Path, needed: int, store: str = "full") -> None:
    """Refuses a recording for which the disk has no room.

    Args:
        needed: bytes; of a recording alone ``Forecast.needed_bytes``.

    Raises:
        RunError: with the bytes needed and free.
    """
    free = shutil.disk_usage(nearest_folder(folder)).free
    if needed > free:
        less = "record fewer epochs, or less of each with --store given"
        raise RunError(
            f"{folder}: recording needs {_size(needed)} of disk and {_size(free)} are free; make "
            f"room, or {less if store == 'full' else 'record fewer epochs'}"
        )


def create_capture(folder: Path, layout: Layout) -> dict[str, ArrayFile]:
    """New files at their whole size.

    Raises:
        RunError: the disk is full; nothing is left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return {
            name: create_array(folder / f"{name}.npy", *array) for name, array in layout.items()
        }
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        raise RunError(
            f"{error.filename}: the disk has no room for the recording ({error.strerror}); make "
            "room, or record fewer epochs, or less of each with --store given"
        ) from None


def open_capture(folder: Path, layout: Layout) -> dict[str, ArrayFile]:
    """The files that ``create_capture`` made.

    Raises:
        RunError: one is missing, cut off, or of another recording.
    """
    arrays = {}
    for name, (dtype, shape) in layout.items():
        path = folder / f"{name}.npy"
        try:
            found = open_array(path, writable=True)
        except (OSError, ValueError) as error:
            raise RunError(
                f"{path}: the recording cannot be continued ({error}); start again with --overwrite"
            ) from None
        if found.shape != shape or found.dtype != dtype:
            raise RunError(
                f"{path}: the recording is {found.dtype} {found.shape}, expected {dtype} {shape}; "
                "start again with --overwrite"
            )
        arrays[name] = found
    return arrays


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
