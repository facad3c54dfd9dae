"""scripts/experiments/notebooks.py runs both notebooks; here on a folder of MNIST's files."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from scripts.experiments.notebooks import main


def mnist_files(folder: Path, n: int = 120) -> None:
    """MNIST's four idx files, of enlarged digits."""
    pixels, labels = load_digits(return_X_y=True)
    images = np.kron(pixels[: 2 * n].reshape(-1, 8, 8), np.ones((3, 3))).astype(np.uint8) * 15
    images = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, rows in (("train", slice(n)), ("t10k", slice(n, 2 * n))):
        for kind, values in (("images-idx3", images[rows]), ("labels-idx1", labels[rows])):
            head = struct.pack(f">I{values.ndim}I", 0x0800 + values.ndim, *values.shape)
            (raw / f"{name}-{kind}-ubyte").write_bytes(head + values.astype(np.uint8).tobytes())


def test_both_notebooks_run_on_mnist_from_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mnist_files(tmp_path)
    data = ["--dataset", "mnist", "--data-dir", str(tmp_path), "--depth", "8", "--epochs", "2"]
    pictures, out = tmp_path / "figures", tmp_path / "out.json"
    main(["dynamics", *data, "--figures", str(pictures), "--out", str(out)])
    assert sorted(path.name for path in pictures.iterdir()) == ["histogram.png", "worst.png"]
    (found,) = json.loads(out.read_text())
    assert found["samples"] == 120 and 0 < found["auc"] <= 1 and 10 < found["wrong"] < 40
    main(["forgetting", *data])
    said = capsys.readouterr()
    assert "recall: " in said.out and "precision: " in said.out and "f1: " in said.out
    assert said.err.count("epoch 2: loss ") == 2
