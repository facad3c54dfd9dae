"""InterpretDL's two notebooks on torch: training dynamics, and forgetting events.

  dynamics    A share of the labels is wrong (uniform). A ResNet is recorded on them, and the
              detector ranks them. The histogram of its predictions and the 50 worst are drawn.
              AUC and AP are printed.
  forgetting  Every hundredth label of the training images is changed. The samples that a network
              learns late are flagged. Recall, precision and F1 are printed.

The digits ship with scikit-learn. Others are read from a folder, for example MNIST's four idx
files. --out keeps the figures (JSON); --figures is a folder for the pictures (of the last seed).

usage: .venv/bin/python -m scripts.experiments.notebooks dynamics|forgetting
         [--dataset digits|mnist|cifar10|...] [--data-dir DIR] [--depth 14] [--epochs 40]
         [--seeds 0] [--noise-ratio 0.2] [--device cpu] [--figures FOLDER] [--out FILE.json]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, TensorDataset

import tdctl.adapters.interpretdl as it
from tdctl import IndexedDataset, corrupt
from tdctl.config import DataConfig
from tdctl.data import DataSet, open_dataset
from tdctl.errors import TdctlError
from tdctl.figures.canvas import new_figure, save_figure
from tdctl.figures.pictures import draw_samples, sized_for_samples
from tdctl.figures.ranking import draw_histogram
from tdctl.files import write_json
from tdctl.metrics import detection_metrics
from tdctl.nets.cifar import CifarResNet

BATCH, WORST = 128, 50


def said(epoch: int, loss: float, accuracy: float) -> None:
    print(f"epoch {epoch + 1}: loss {loss:.4f}, accuracy {100 * accuracy:.2f} %", file=sys.stderr)


def pixels_of(data: DataSet, rows: NDArray[np.int64]) -> torch.Tensor:
    return next(iter(data.train.batches([rows])))


def opened(data: DataSet, given: NDArray[np.int64]) -> IndexedDataset:
    """Samples (index, image in [-1, 1], given label)."""
    pixels = pixels_of(data, np.arange(len(data.train))).float() / 127.5 - 1
    return IndexedDataset(TensorDataset(pixels, torch.from_numpy(given)))


def dynamics(asked: argparse.Namespace, data: DataSet, seed: int) -> dict[str, Any]:
    true = data.labels.true
    index, classes = data.labels.index, data.num_classes
    given = corrupt(true, index, classes, "uniform", asked.noise_ratio, seed)
    model = CifarResNet(asked.depth, data.num_classes, data.train.shape[0])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(opened(data, given), batch_size=BATCH, shuffle=True)
    recording = it.TrainingDynamics(model, device=asked.device)
    found = recording.generator(loader, optimizer, asked.epochs, progress=said)
    with tempfile.TemporaryDirectory() as assets:
        recording.save(found, given, given != true, assets)
        path = Path(assets) / "training_dynamics.npz"
        ranks = it.BHDFInterpreter(device=asked.device)
        order, predictions = ranks.interpret(training_dynamics_path=path)
    if asked.figures is not None:
        drawn(asked.figures, data, given, order, np.array(predictions))
    metrics = detection_metrics(predictions, given != true)
    worst = np.flip(order[-WORST:])
    return {
        "auc": metrics.auc,
        "ap": metrics.ap,
        "wrong": int((given != true).sum()),
        "wrong_among_50_worst": int((given != true)[worst].sum()),
    }


def drawn(
    folder: Path,
    data: DataSet,
    given: NDArray[np.int64],
    order: NDArray[np.int64],
    predictions: NDArray[np.float64],
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    figure = new_figure()
    draw_histogram(figure.add_subplot(), predictions, flipped=given != data.labels.true)
    save_figure(figure, folder / "histogram.png")
    worst = np.flip(order[-WORST:])
    pixels = pixels_of(data, worst).permute(0, 2, 3, 1).numpy()
    pictures = [one if one.shape[2] > 1 else one[:, :, 0] for one in pixels]
    figure = sized_for_samples(len(worst))
    draw_samples(figure, pictures, [[data.class_names[given[row]]] for row in worst])
    save_figure(figure, folder / "worst.png")


def forgetting(asked: argparse.Namespace, data: DataSet, seed: int) -> dict[str, Any]:
    labels, rng = data.labels.true.copy(), np.random.default_rng(seed)
    for i in range(0, len(labels), 100):
        labels[i] = rng.choice(np.delete(np.arange(data.num_classes), labels[i]))
    model = CifarResNet(asked.depth, data.num_classes, data.train.shape[0])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    fe = it.ForgettingEventsInterpreter(model, asked.device)
    # The notebook's reader gives the samples in their order.
    _, noisy = fe.interpret(
        opened(data, labels), optimizer, BATCH, asked.epochs, noisy_labels=True, progress=said
    )
    hit = sum(i % 100 == 0 for i in noisy)
    recall, precision = hit / len(range(0, len(labels), 100)), hit / max(1, len(noisy))
    f1 = 2 * recall * precision / (recall + precision) if hit else 0.0
    return {"flagged": len(noisy), "recall": recall, "precision": precision, "f1": f1}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(usage=str(__doc__).replace("%", "%%"))
    parser.add_argument("notebook", choices=("dynamics", "forgetting"))
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--depth", type=int, default=14)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--noise-ratio", type=float, default=0.2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--figures", type=Path)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args(arguments)
    data = open_dataset(DataConfig(dataset=asked.dataset, data_dir=asked.data_dir, num_valid=0))
    notebook = dynamics if asked.notebook == "dynamics" else forgetting
    rows = []
    for seed in map(int, asked.seeds.split(",")):
        torch.manual_seed(seed)
        found = notebook(asked, data, seed)
        print(f"seed {seed}", *(f"{name}: {value:.4g}" for name, value in found.items()), sep="\n")
        about = {"notebook": asked.notebook, "data": asked.dataset, "samples": len(data.train)}
        how = {"seed": seed, "depth": asked.depth, "epochs": asked.epochs}
        rows.append(about | how | found)
    if asked.out is not None:
        write_json(asked.out, rows)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except TdctlError as error:
        sys.exit(f"notebooks: error: {error}")
