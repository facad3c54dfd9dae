"""Runs of as many curves as one likes, written in slabs, and a detector to rank them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.detector import Detector, LstmDetector, save_detector
from tdctl.labels import Labels
from tdctl.metadata import write_metadata

SLAB = 20_000


def make_run(folder: Path, n: int, epochs: int, seed: int = 0) -> Path:
    """A run folder of n two-class samples, a fifth of them flipped; two columns are kept.

    Clean curves rise early and flipped ones late, with noise on both. Memory does not grow
    with n.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 2, n)
    flipped = rng.random(n) < 0.2
    labels = Labels(np.arange(n), np.where(flipped, 1 - true, true), true)
    columns = np.stack([labels.assigned, 1 - labels.assigned], axis=1).astype(np.int16)

    def slabs(margins: bool) -> Iterator[NDArray[Any]]:
        for number, start in enumerate(range(0, n, SLAB)):
            own = given_curves(flipped[start : start + SLAB], epochs, seed + number)
            if margins:
                yield np.log(own / (1 - own))
            else:
                yield np.stack([own, 1 - own], axis=2).astype(np.float16)

    path = folder / "training_dynamics.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        _member(archive, "td", (n, epochs, 2), np.float16, slabs(False))
        _member(archive, "labels", columns.shape, np.int16, iter([columns]))
        _member(archive, "index", (n,), np.int64, iter([labels.index]))
        _member(archive, "margin", (n, epochs), np.float32, slabs(True))
    write_metadata(folder / "metadata.pth", labels, np.zeros(0, dtype=np.int64))
    return folder


def given_curves(flipped: NDArray[np.bool_], epochs: int, seed: int) -> NDArray[np.float32]:
    """Float32 [n, epochs] in (0, 1): the given label's probability, rising late where flipped."""
    rng = np.random.default_rng([seed, 3])
    time = np.linspace(0, 1, epochs, dtype=np.float32)
    knee = np.where(flipped, 0.8, 0.2).astype(np.float32)[:, None]
    noise = rng.standard_normal((len(flipped), epochs), dtype=np.float32)
    rising = 1 / (1 + np.exp(-(8 * (time - knee) + 0.5 * noise)))
    return np.asarray(np.clip(rising, 0.001, 0.999), dtype=np.float32)


def _member(
    archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], kind: Any, slabs: Iterator[Any]
) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        descr = np.lib.format.dtype_to_descr(np.dtype(kind))
        header = {"descr": descr, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for slab in slabs:
            file.write(np.ascontiguousarray(slab).tobytes())


def make_detector(path: Path) -> Path:
    """A detector of random weights: its time and memory are those of a trained one."""
    torch.manual_seed(0)
    net = LstmDetector()
    with torch.no_grad():
        net.classifier.weight.mul_(10)
    return save_detector(path, Detector(net))[0]
