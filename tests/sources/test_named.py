from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets as tv
from conftest import pixels_of
from scipy.io import savemat

from tdctl.config import DataConfig
from tdctl.data import open_dataset
from tdctl.errors import DataError


def test_digits_are_split_once_for_all() -> None:
    data = open_dataset(DataConfig())
    assert data.test is not None
    assert (len(data.train), len(data.test), data.num_classes) == (1198, 599, 10)
    assert not set(data.train.index) & set(data.test.index)
    counts = np.bincount(data.test.targets)
    assert counts.min() >= 58 and counts.max() <= 61
    again = open_dataset(DataConfig())
    assert (again.train.index == data.train.index).all()


def test_limit_is_a_prefix() -> None:
    full, part = open_dataset(DataConfig()), open_dataset(DataConfig(limit=50))
    assert (part.train.index == full.train.index[:50]).all()
    assert (pixels_of(part.train) == pixels_of(full.train)[:50]).all()


def write_idx(path: Path, array: np.ndarray) -> None:  # type: ignore[type-arg]
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.mark.parametrize("nested", [True, False], ids=["DIR/mnist/", "DIR/"])
@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")]
)
def test_idx_files_in_either_layout(tmp_path: Path, nested: bool, name: str, folder: str) -> None:
    raw = (tmp_path / name if nested else tmp_path) / folder / "raw"
    for split, n in (("train", 20), ("t10k", 10)):
        write_idx(raw / f"{split}-images-idx3-ubyte", np.full((n, 28, 28), 7))
        write_idx(raw / f"{split}-labels-idx1-ubyte", np.arange(n) % 10)
    data = open_dataset(DataConfig(dataset=name, data_dir=tmp_path))
    assert pixels_of(data.train).shape == (20, 1, 28, 28)
    assert data.train.targets.tolist() == [*range(10), *range(10)]
    assert data.test is not None and len(data.test) == 10


@pytest.mark.parametrize(
    ("name", "kind", "key"),
    [("cifar10", tv.CIFAR10, "labels"), ("cifar100", tv.CIFAR100, "fine_labels")],
)
def test_cifar_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: type, key: str
) -> None:
    folder = tmp_path / kind.base_folder  # type: ignore[attr-defined]
    folder.mkdir()
    k = 10 if name == "cifar10" else 100
    pixels = np.arange(5 * 3072, dtype=np.int64).reshape(5, 3072).astype(np.uint8)
    files = [f for f, _ in kind.train_list + kind.test_list]  # type: ignore[attr-defined]
    for file in files:
        content = {"data": pixels, key: [0, 1, 2, 3, k - 1]}
        (folder / file).write_bytes(pickle.dumps(content))
    names_key = kind.meta["key"]  # type: ignore[attr-defined]
    meta = {names_key: [f"class {i}" for i in range(k)]}
    (folder / kind.meta["filename"]).write_bytes(pickle.dumps(meta))  # type: ignore[attr-defined]
    monkeypatch.setattr(kind, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *a: True)
    data = open_dataset(DataConfig(dataset=name, data_dir=tmp_path, limit=5))
    assert data.num_classes == k and data.class_names[1] == "class 1"
    assert pixels_of(data.train).shape == (5, 3, 32, 32)
    assert (pixels_of(data.train)[0].reshape(-1).numpy() == pixels[0]).all()


def test_svhn_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for split in ("train", "test"):
        images = np.zeros((32, 32, 3, 4), dtype=np.uint8)
        images[:, :, 0, 1] = 9
        savemat(
            tmp_path / f"{split}_32x32.mat", {"X": images, "y": np.array([[10], [1], [2], [9]])}
        )
    monkeypatch.setattr(tv.SVHN, "_check_integrity", lambda self: True)
    data = open_dataset(DataConfig(dataset="svhn", data_dir=tmp_path))
    assert data.train.targets.tolist() == [0, 1, 2, 9]
    assert pixels_of(data.train)[1, 0].min() == 9 and pixels_of(data.train)[1, 1].max() == 0
    assert not data.mirrors


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist", "fashion_mnist", "svhn"])
def test_what_is_missing_says_where_it_was_looked_for(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError) as caught:
        open_dataset(DataConfig(dataset=name, data_dir=tmp_path))
    message = str(caught.value)
    assert str(tmp_path / name) in message and f"nor {tmp_path}" in message
    assert "--download" in message and "\n" not in message


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"not cifar")
    with pytest.raises(DataError, match="cannot be read from"):
        open_dataset(DataConfig(dataset="cifar10", data_dir=tmp_path))


def test_images_are_resized_on_request() -> None:
    data = open_dataset(DataConfig(limit=10, image_size=16))
    assert data.test is not None
    assert data.train.shape[1:] == data.test.shape[1:] == (16, 16)
