"""The files of a recording in progress, and how many bytes they take.

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

__all__ = [
    "BEGUN",
    "CAPTURE_FOLDERS",
    "COMMITTED",
    "Forecast",
    "check_room",
    "create_capture",
    "forecast",
    "open_capture",
]

# The folders of the recordings: of what is trained on, and of what is held out.
CAPTURE_FOLDERS = ("capture", "capture_heldout")
# The state of an epoch in the capture; 0 means that it was not begun.
BEGUN, COMMITTED = 1, 2
# Bytes for the headers of an array, in the capture and in the finished file.
OVERHEAD = 512
# Bytes of a sample's labels: three int64 and a bool.
LABELS = 25


@dataclass(frozen=True)
class Forecast:
    """The disk space that a recording needs, in bytes.

    Attributes:
        capture_bytes: the files that are filled epoch by epoch.
        file_bytes: the finished files.
        td_bytes: the arrays ``td`` in the finished files.
        needed_bytes: everything that exists at the same time while the files are written.
    """

    capture_bytes: int
    file_bytes: int
    td_bytes: int
    needed_bytes: int


def capture_layout(n: int, num_classes: int, epochs: int, store: Store) -> Layout:
    """The arrays of the capture.

    ``stats`` contains margin and loss. ``state`` says for each epoch whether it was begun or
    committed. ``total`` contains the softmax summed over the epochs, in two versions: up to the
    last epoch, and up to the one before. An epoch that is recorded again starts from the version
    before it. With very many classes ``total`` is not kept.
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
        "entropy": (half, (epochs, n)),
    }
    return layout | {"total": (single, (2, n, num_classes))} if store.sums else layout


def forecast(
    n: int,
    num_classes: int,
    epochs: int,
    store: str = "full",
    recordings: int = 1,
) -> Forecast:
    """The disk space that a recording will need.

    Args:
        n: number of samples.
        num_classes: k.
        epochs: E.
        store: ``full``, ``given`` or ``topk:K``.
        recordings: 2 if the held-out curves are recorded too, else 1.

    Raises:
        ConfigError: the store is unknown, or would keep all classes.
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
    # The labels are kept beside one capture, for the ranking of the epochs so far.
    capture += LABELS * n
    # While td is written, the classes of its columns are kept in a temporary file.
    needed = capture + file + sizes[1]["labels"]
    return Forecast(capture, file, recordings * (sizes[1]["td"] - OVERHEAD), needed)


def check_room(folder: Path, needed: int, store: str = "full") -> None:
    """Refuses a recording if the disk has not enough space.

    Args:
        folder: the folder of the recording; it need not exist yet.
        needed: bytes; for a recording without other files, ``Forecast.needed_bytes``.
        store: the store, for the advice in the message.

    Raises:
        RunError: there is not enough space; the message says how much is needed and free.
    """
    free = shutil.disk_usage(nearest_folder(folder)).free
    if needed > free:
        less = "record fewer epochs, or less of each with --store given"
        raise RunError(
            f"{folder}: recording needs {_size(needed)} of disk and {_size(free)} are free; make "
            f"room, or {less if store == 'full' else 'record fewer epochs'}"
        )


def create_capture(folder: Path, layout: Layout) -> dict[str, ArrayFile]:
    """Creates the files at their full size.

    Raises:
        RunError: the disk is full; the new files are removed.
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
    """Opens the files that ``create_capture`` made.

    Raises:
        RunError: a file is missing, cut off, or belongs to another recording.
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
