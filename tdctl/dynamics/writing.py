"""Writing ``training_dynamics.npz`` from what was recorded epoch by epoch.

Shape suffixes: n samples, E epochs, k classes, K kept other classes, s rows of a slab.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from tdctl.dynamics.store import Layout, Store, class_type, file_layout
from tdctl.files import atomic_path
from tdctl.labels import Labels
from tdctl.slabs import SLAB, Array, ArrayFile, slabs_of

__all__ = ["write_kept", "write_td"]

Slabs = Callable[[], Iterator[NDArray[Any]]]


def write_td(
    path: Path,
    probs_EnK: Array,
    margin_En: Array,
    labels: Labels,
    loss_En: Array | None = None,
) -> None:
    """Writes the file of the full store.

    It is written in slabs of rows: host memory does not grow with epochs or samples.

    Args:
        path: the file; it appears whole or not at all.
        probs_EnK: float16 [E, n, k], column c is class c.
        margin_En: float32 [E, n].
        labels: the n samples, in the order of the rows.
        loss_En: float32 [E, n]; where None the file has none.
    """
    epochs, n, k = probs_EnK.shape
    layout = file_layout(n, k, epochs, Store("full", 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    # The columns are known only as td is written, and come after it in the file.
    with tempfile.TemporaryFile(dir=path.parent) as columns:
        slabs: dict[str, Slabs] = {
            "td": lambda: _sorted_by_mean(probs_EnK, labels, columns),
            "labels": lambda: _bytes_of(columns),
            "index": lambda: iter([labels.index]),
            "margin": lambda: _by_sample(margin_En),
        }
        if loss_En is not None:
            slabs["loss"] = lambda: _by_sample(loss_En)
        _write(path, layout, slabs)


def write_kept(
    path: Path,
    arrays: Mapping[str, Array],
    total_nk: Array,
    labels: Labels,
    store: Store,
) -> None:
    """Writes the file of the stores ``given`` and ``topk:K``.

    Args:
        path: the file; it appears whole or not at all.
        arrays: ``given`` float16, ``margin`` and ``loss`` float32 [E, n], ``other`` float16 and
            ``other_class`` int [E, n, K].
        total_nk: float32 [n, k], the softmax summed over the epochs.
        labels: the n samples, in the order of the rows.
        store: which of the two.
    """
    epochs, n = arrays["given"].shape
    k = total_nk.shape[1]
    slabs: dict[str, Slabs] = {
        "td": lambda: _by_sample(arrays["given"]),
        "labels": lambda: iter([labels.assigned.astype(class_type(k))]),
        "index": lambda: iter([labels.index]),
        **{
            name: lambda name=name: _by_sample(arrays[name])  # type: ignore[misc]
            for name in ("margin", "loss", "other", "other_class")
        },
        "mean": lambda: (mean for mean, _ in _largest_means(total_nk, labels, epochs, store)),
        "mean_class": lambda: (best for _, best in _largest_means(total_nk, labels, epochs, store)),
    }
    _write(path, file_layout(n, k, epochs, store), slabs)


def _slab(array_En: Array, start: int, stop: int) -> NDArray[Any]:
    """Rows of every epoch, [s, E, ...], as a copy."""
    if not isinstance(array_En, ArrayFile):
        return np.array(array_En[:, start:stop].swapaxes(0, 1), order="C")
    epochs, _, *row = array_En.shape
    slab = np.empty((stop - start, epochs, *row), array_En.dtype)
    for epoch in range(epochs):
        slab[:, epoch] = array_En.at(epoch).block(start, stop)
    return slab


def _by_sample(array_En: Array) -> Iterator[NDArray[Any]]:
    epochs, n = array_En.shape[:2]
    row = array_En.dtype.itemsize * epochs * int(np.prod(array_En.shape[2:]))
    for start, stop in slabs_of(n, max(1, SLAB // (2 * row))):
        yield _slab(array_En, start, stop)


def _sorted_by_mean(
    probs_EnK: Array, labels: Labels, columns: BinaryIO
) -> Iterator[NDArray[np.float16]]:
    """Td slab by slab, given label first; the columns' classes go to a file of their own."""
    epochs, n, k = probs_EnK.shape
    for start, stop in slabs_of(n, max(1, SLAB // (k * (6 * epochs + 24)))):
        probs_sEk = _slab(probs_EnK, start, stop)
        rank_sk = -probs_sEk.mean(axis=1, dtype=np.float64)
        rank_sk[np.arange(stop - start), labels.assigned[start:stop]] = -np.inf
        order_sk = np.argsort(rank_sk, axis=1, kind="stable")
        columns.write(order_sk.astype(class_type(k)).tobytes())
        yield np.take_along_axis(probs_sEk, order_sk[:, None, :], axis=2)


def _largest_means(
    total_nk: Array, labels: Labels, epochs: int, store: Store
) -> Iterator[tuple[NDArray[np.float16], NDArray[Any]]]:
    n, k = total_nk.shape
    count = store.means(k)
    for start, stop in slabs_of(n, max(1, SLAB // (24 * k))):
        total_sk = np.array(total_nk[start:stop], dtype=np.float64)
        rows, given = np.arange(stop - start), labels.assigned[start:stop]
        # Among equals the given label goes first, and then the lower class.
        total_sk[rows, given] = np.nextafter(total_sk[rows, given], np.inf)
        if count < k:
            some = np.sort(np.argpartition(-total_sk, count - 1, axis=1)[:, :count], axis=1)
        else:
            some = np.broadcast_to(np.arange(k), total_sk.shape)
        values = np.take_along_axis(total_sk, some, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        best = np.take_along_axis(some, order, axis=1)
        mean = np.take_along_axis(values, order, axis=1) / epochs
        yield mean.astype(np.float16), best.astype(class_type(k))


def _bytes_of(file: BinaryIO) -> Iterator[NDArray[np.uint8]]:
    file.seek(0)
    while piece := file.read(1 << 20):
        yield np.frombuffer(piece, np.uint8)


def _write(path: Path, layout: Layout, slabs: dict[str, Slabs]) -> None:
    with atomic_path(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for name, parts in slabs.items():
            # A fixed date keeps two runs of the same seed identical to the byte.
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            dtype, shape = layout[name]
            header = {
                "descr": np.lib.format.dtype_to_descr(dtype),
                "fortran_order": False,
                "shape": shape,
            }
            with archive.open(member, "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(file, header)
                for slab in parts():
                    file.write(slab.data if slab.size else b"")
