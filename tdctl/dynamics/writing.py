"""Writes ``training_dynamics.npz`` from arrays that were recorded epoch by epoch.

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

from tdctl.dynamics.means import ByEpoch, largest_means, means_of_kept, rows_of_epochs
from tdctl.dynamics.store import Layout, Store, class_type, file_layout
from tdctl.files import atomic_path
from tdctl.labels import Labels
from tdctl.slabs import SLAB, Array, slabs_of

__all__ = ["write_arrays", "write_kept", "write_td"]

Slabs = Callable[[], Iterator[NDArray[Any]]]


def write_td(
    path: Path,
    probs_EnK: Array | ByEpoch,
    margin_En: Array | ByEpoch,
    labels: Labels,
    loss_En: Array | ByEpoch | None = None,
    recorded_En: ByEpoch | None = None,
    final_margin: NDArray[np.float32] | None = None,
) -> None:
    """Writes the file of the store ``full``.

    It is written in slabs of rows, so memory does not grow with the epochs or samples.

    Args:
        path: the file; it is written completely or not at all.
        probs_EnK: float16 [E, n, k], column c is class c.
        margin_En: float32 [E, n].
        labels: the n samples, in the order of the rows.
        loss_En: float32 [E, n]; None leaves it out.
        recorded_En: uint8 [E, n], 0 where a gap was bridged; None if there is none.
        final_margin: float32 [n], of the predictions of the finished network; None leaves it out.
    """
    epochs, n, k = probs_EnK.shape
    layout = file_layout(n, k, epochs, Store("full", 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    # The columns' classes are known only after td is written, but follow it in the file.
    with tempfile.TemporaryFile(dir=path.parent) as columns:
        slabs: dict[str, Slabs] = {
            "td": lambda: _sorted_by_mean(probs_EnK, labels, columns),
            "labels": lambda: _bytes_of(columns),
            "index": lambda: iter([labels.index]),
            "margin": lambda: _by_sample(margin_En),
        }
        if loss_En is not None:
            slabs["loss"] = lambda: _by_sample(loss_En)
        write_arrays(path, *_with_more(layout, slabs, recorded_En, final_margin))


def write_kept(
    path: Path,
    arrays: Mapping[str, Array | ByEpoch],
    total_nk: Array | None,
    labels: Labels,
    store: Store,
    num_classes: int,
    recorded_En: ByEpoch | None = None,
    final_margin: NDArray[np.float32] | None = None,
) -> None:
    """Writes the file of the stores ``given`` and ``topk:K``.

    Args:
        path: the file; it is written completely or not at all.
        arrays: ``given`` float16, ``margin`` and ``loss`` float32 [E, n], ``other`` float16 and
            ``other_class`` int [E, n, K]; ``entropy`` float16 [E, n] if it was recorded.
        total_nk: float32 [n, k], the softmax summed over the epochs; None if the store has no
            sums: then the means are computed from the kept values.
        labels: the n samples, in the order of the rows.
        store: one of the two stores.
        num_classes: k.
        recorded_En: uint8 [E, n], 0 where a gap was bridged; None if there is none.
        final_margin: float32 [n], of the predictions of the finished network; None leaves it out.
    """
    epochs, n = arrays["given"].shape
    k = num_classes

    def means() -> Iterator[tuple[NDArray[np.float16], NDArray[Any]]]:
        if total_nk is None:
            return means_of_kept(arrays, labels, store.means(k), k)
        return largest_means(total_nk, labels, epochs, store)

    slabs: dict[str, Slabs] = {
        "td": lambda: _by_sample(arrays["given"]),
        "labels": lambda: iter([labels.assigned.astype(class_type(k))]),
        "index": lambda: iter([labels.index]),
        **{
            name: lambda name=name: _by_sample(arrays[name])  # type: ignore[misc]
            for name in ("margin", "loss", "other", "other_class", "entropy")
            if name in arrays
        },
        "mean": lambda: (mean for mean, _ in means()),
        "mean_class": lambda: (best for _, best in means()),
    }
    layout = file_layout(n, k, epochs, store)
    write_arrays(path, *_with_more(layout, slabs, recorded_En, final_margin))


def _with_more(
    layout: Layout,
    slabs: dict[str, Slabs],
    recorded_En: ByEpoch | None,
    final_margin: NDArray[np.float32] | None,
) -> tuple[Layout, dict[str, Slabs]]:
    """The arrays of a file, with those that not every run has."""
    layout, slabs = dict(layout), dict(slabs)
    if recorded_En is not None:
        epochs, n = recorded_En.shape
        layout["recorded"] = (np.dtype(np.uint8), (n, epochs))
        slabs["recorded"] = lambda: _by_sample(recorded_En)
    if final_margin is not None:
        layout["final_margin"] = (np.dtype(np.float32), final_margin.shape)
        slabs["final_margin"] = lambda: iter([final_margin])
    return layout, slabs


def _by_sample(array_En: Array | ByEpoch) -> Iterator[NDArray[Any]]:
    epochs, n = array_En.shape[:2]
    row = array_En.dtype.itemsize * epochs * int(np.prod(array_En.shape[2:]))
    for start, stop in slabs_of(n, max(1, SLAB // (2 * row))):
        yield rows_of_epochs(array_En, start, stop)


def _sorted_by_mean(
    probs_EnK: Array | ByEpoch, labels: Labels, columns: BinaryIO
) -> Iterator[NDArray[np.float16]]:
    """td, slab by slab, given label first; the classes of the columns go to a temporary file."""
    epochs, n, k = probs_EnK.shape
    for start, stop in slabs_of(n, max(1, SLAB // (k * (6 * epochs + 24)))):
        probs_sEk = rows_of_epochs(probs_EnK, start, stop)
        rank_sk = -probs_sEk.mean(axis=1, dtype=np.float64)
        rank_sk[np.arange(stop - start), labels.assigned[start:stop]] = -np.inf
        order_sk = np.argsort(rank_sk, axis=1, kind="stable")
        columns.write(order_sk.astype(class_type(k)).tobytes())
        yield np.take_along_axis(probs_sEk, order_sk[:, None, :], axis=2)


def _bytes_of(file: BinaryIO) -> Iterator[NDArray[np.uint8]]:
    file.seek(0)
    while piece := file.read(1 << 20):
        yield np.frombuffer(piece, np.uint8)


def write_arrays(path: Path, layout: Layout, slabs: Mapping[str, Slabs]) -> None:
    """Writes an npz file slab by slab, completely or not at all; equal arrays give equal bytes.

    Args:
        path: the file.
        layout: type and shape of each array.
        slabs: for each array, in the order of the file, a function that yields its rows.
    """
    with atomic_path(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for name, parts in slabs.items():
            # With a fixed date, two runs with the same seed give identical files.
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
