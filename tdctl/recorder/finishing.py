"""Makes the final files of a recording from its capture.

Shape suffixes: n samples, E epochs, k classes, m held-out samples.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tdctl.dynamics import HELDOUT_FILE, TD_FILE, Store, write_kept, write_td
from tdctl.errors import RunError
from tdctl.labels import Labels
from tdctl.metadata import METADATA_FILE, write_metadata
from tdctl.slabs import ArrayFile

__all__ = ["file_of", "refuse_full_disk", "write_files"]


def file_of(heldout: bool) -> str:
    """The name of the file of dynamics."""
    return HELDOUT_FILE if heldout else TD_FILE


def write_files(
    folder: Path,
    arrays: Mapping[str, ArrayFile],
    labels: Labels,
    store: Store,
    num_classes: int,
    valid_indices: NDArray[np.int64] | None,
    heldout: bool,
    final_margin: NDArray[np.float32] | None = None,
) -> None:
    """Writes the dynamics; and ``metadata.pth``, unless these are the held-out dynamics.

    Args:
        folder: the run folder.
        arrays: the capture, with all epochs committed.
        labels: given and true labels of the n samples.
        store: which probabilities were kept.
        num_classes: k.
        valid_indices: int64 [m], indices of the held-out images; None for none.
        heldout: whether these are the held-out dynamics.
        final_margin: float32 [n], of the predictions of the finished network; None if there are
            none.

    Raises:
        RunError: the disk is full.
    """
    epochs = len(arrays["state"])
    held = np.zeros(0, dtype=np.int64) if valid_indices is None else valid_indices
    path = folder / file_of(heldout)
    with refuse_full_disk(path):
        margin, loss = arrays["stats"].at(0), arrays["stats"].at(1)
        if store.others:
            kept = {"margin": margin, "loss": loss}
            for name in ("given", "other", "other_class", "entropy"):
                kept |= {name: arrays[name]} if name in arrays else {}
            total = arrays["total"].at((epochs - 1) % 2) if store.sums else None
            write_kept(path, kept, total, labels, store, num_classes, final_margin=final_margin)
        else:
            write_td(path, arrays["probs"], margin, labels, loss, final_margin=final_margin)
        if not heldout:
            write_metadata(folder / METADATA_FILE, labels, held)


@contextmanager
def refuse_full_disk(path: Path) -> Iterator[None]:
    """Turns the error of a full disk into a message.

    Raises:
        RunError: the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        raise RunError(
            f"{path}: the disk is full ({error.strerror}); all epochs are kept, make room "
            "and go on with --resume"
        ) from None
