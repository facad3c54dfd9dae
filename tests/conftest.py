"""Small real inputs: run folders as either code writes them, image folders, a trained detector."""

from __future__ import annotations

import atexit
import gc
import os
from collections import OrderedDict
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer.testing
from click.testing import Result
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from tdctl.cli.commands import app
from tdctl.data import Images
from tdctl.detector import Card, Detector, LstmDetector, Reader, save_detector
from tdctl.detector.channels import SETS
from tdctl.detector.nets import make_net
from tdctl.dynamics import TrainingDynamics, read_run, write_td
from tdctl.labels import Labels
from tdctl.metadata import write_metadata
from tdctl.noise import Transition, corrupt
from tdctl.settings import load_config
from tdctl.sources.listing import Listing

# The networks here are so small that a second thread costs more than it brings, above all
# beside other work on the same cores.
torch.set_num_threads(1)
# Each call of a command line would build all commands again, which takes 30 ms.
typer.testing._get_command = cache(typer.testing._get_command)  # type: ignore[attr-defined]


def pytest_collection() -> None:
    """The collector waits: it would walk through all that is imported and listed, many times."""
    gc.disable()
    # As it came, so that a package that counts its objects at the end finds none left.
    atexit.register(gc.unfreeze)


def pytest_collection_finish() -> None:
    """What is there now lives to the end; the collector looks, less often, at what tests make."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 10)
    gc.enable()


def tdctl(*arguments: object) -> Result:
    """What a command line gives, in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(result: Result, *says: str) -> None:
    """One line on stderr beside notes, exit code 1, nothing on stdout."""
    assert result.exit_code == 1, result.output
    lines = [line for line in result.stderr.splitlines() if not line.startswith("note:")]
    assert len(lines) == 1 and lines[0].startswith("tdctl: error: "), result.stderr
    assert not result.stdout
    for text in says:
        assert text in lines[0]


def softmax_history(
    labels: Labels, classes: int, epochs: int, seed: int = 0
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Probabilities [E, n, k] and margins [E, n] of a network that learns the true labels first."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0.2, 1, epochs)[:, None, None]
    logits = rng.normal(0, 0.5, (epochs, len(labels), classes))
    rows = np.arange(len(labels))
    logits[:, rows, labels.true] += 5 * time[:, :, 0]
    logits[:, rows, labels.assigned] += 2 * (time[:, :, 0] > 0.8)
    own = logits[:, rows, labels.assigned]
    others = logits.copy()
    others[:, rows, labels.assigned] = -np.inf
    probs = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    return probs.astype(np.float16), (own - others.max(axis=2)).astype(np.float32)


def planted_labels(n: int, classes: int, ratio: float = 0.25, seed: int = 0) -> Labels:
    rng = np.random.default_rng(seed)
    index = np.sort(rng.choice(3 * n, n, replace=False)).astype(np.int64)
    true = rng.integers(0, classes, n)
    return Labels(index, corrupt(true, index, classes, "uniform", ratio, seed), true)


def make_run(
    folder: Path,
    n: int = 120,
    classes: int = 5,
    epochs: int = 12,
    seed: int = 0,
    losses: bool = True,
) -> Path:
    """A run folder of ours with planted flips, without training; the losses may be missing."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = planted_labels(n, classes, seed=seed)
    probs, margins = softmax_history(labels, classes, epochs, seed)
    given = probs[:, np.arange(n), labels.assigned].astype(np.float32)
    loss = -np.log(np.maximum(given, 1e-8))
    file = folder / "training_dynamics.npz"
    write_td(file, probs, margins, labels, loss if losses else None)
    write_metadata(folder / "metadata.pth", labels, np.zeros(0, dtype=np.int64))
    return folder


def make_published_run(
    folder: Path,
    labels: Labels,
    epochs: int = 12,
    classes: int = 5,
    class_axis_last: bool = True,
    seed: int = 0,
) -> Path:
    """A run folder as the published code leaves it: two files, rows in shuffled order."""
    folder.mkdir(parents=True, exist_ok=True)
    probs, _ = softmax_history(labels, classes, epochs, seed)
    order = np.random.default_rng(seed).permutation(len(labels))
    probs, labels = probs[:, order].transpose(1, 0, 2), labels.take(order)
    columns = np.zeros((len(labels), classes), dtype=np.int16)
    td = np.zeros_like(probs)
    for row, given in enumerate(labels.assigned):
        by_mean = [c for c in np.argsort(-probs[row].mean(axis=0)) if c != given]
        columns[row] = [given, *by_mean]
        td[row] = probs[row][:, columns[row]]
    if not class_axis_last:
        td = td.transpose(0, 2, 1)
    np.savez_compressed(folder / "training_dynamics.npz", labels=columns, td=td)
    metadata = OrderedDict(
        train_indices=torch.from_numpy(labels.index),
        valid_indices=torch.zeros(0, dtype=torch.int64),
        true_targets=torch.from_numpy(labels.true),
        assigned_targets=torch.from_numpy(labels.assigned),
        label_flipped=torch.from_numpy(labels.flipped),
    )
    torch.save(metadata, folder / "metadata.pth")
    return folder


def pixels_of(images: Images) -> torch.Tensor:
    """All pixels, whichever way they are held."""
    return next(images.batches([np.arange(len(images))]))


def colours(listing: Listing) -> list[tuple[int, int]]:
    """What the images of a listing say in red and green: class and number, row by row."""
    found = []
    for row in range(len(listing.images)):
        with Image.open(listing.images.open(row)) as image:
            red, green, _ = image.getpixel((0, 0))
        found.append((red, green))
    return found


def transition_row(transition: Transition, label: int) -> NDArray[np.float64]:
    """The probability of each given label for one true label."""
    every = np.arange(transition.num_classes, dtype=np.int64)
    return transition.probability(np.full_like(every, label), every)


def make_image_folder(
    root: Path, per_class: int = 6, test: bool = True, size: tuple[int, int] = (12, 12)
) -> Path:
    """Two classes that a network can tell apart: dark and light, as PNG and JPEG."""
    rng = np.random.default_rng(0)
    for split in ("train", "test") if test else (".",):
        for label, name in enumerate(("dark", "light")):
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(per_class):
                pixels = rng.integers(0, 100, (*size, 3)) + 140 * label
                suffix = "png" if number % 2 else "jpg"
                Image.fromarray(pixels.astype(np.uint8)).save(
                    folder / f"{number:03}_{name}.{suffix}"
                )
    return root


def hand_made_detector() -> LstmDetector:
    """An LSTM that answers by the last hidden state: low curves are suspicious."""
    torch.manual_seed(0)
    net = LstmDetector()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        for layer in range(2):
            # Input and candidate gates of unit 0 follow the input; the cell forgets slowly.
            getattr(net.lstm, f"bias_ih_l{layer}")[0] = 2.0
            getattr(net.lstm, f"bias_ih_l{layer}")[64] = 1.0
            getattr(net.lstm, f"weight_ih_l{layer}")[128, 0] = 2.0
            getattr(net.lstm, f"bias_ih_l{layer}")[192] = 2.0
        net.classifier.weight[0, 0] = 8.0
        net.classifier.bias[1] = 4.0
    return net


@pytest.fixture
def detector_file(tmp_path: Path) -> Path:
    card = Card(trained_on=[], held_out={}, settings={}, version="0")
    return save_detector(tmp_path / "hand.pth.tar", Detector(hand_made_detector(), card))[0]


TINY = {
    "recipe": "paper",
    "net.depth": 8,
    "train.epochs": 2,
    "train.amp": False,
    "retrain.epochs": 2,
    "retrain.batch_size": 128,
    "retrain.amp": False,
    "data.limit": 150,
    "noise.noise_ratio": 0.2,
}

# The same as flags.
TINY_FLAGS = [
    "--recipe", "paper",
    "--depth", "8", "--epochs", "2", "--limit", "150", "--noise-ratio", "0.2", "--no-amp",
    "--quiet",
]  # fmt: skip


def tiny_config(**overrides: Any) -> Any:
    """Digits, 150 images, ResNet-8, two epochs; keys with __ for dots."""
    return load_config(None, TINY | {k.replace("__", "."): v for k, v in overrides.items()})


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small run of generate-td on digits, for tests that only read it."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    from tdctl import runner

    runner.generate_td(tiny_config(data__num_valid=30), folder)
    return folder


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.path),))


def random_detector(path: Path, channels: str) -> Path:
    torch.manual_seed(0)
    reader = Reader("gru", SETS[channels], 10)
    net = make_net("gru", len(reader.channels))
    return save_detector(path, Detector(net, Card([], {}, {}, "0"), reader=reader))[0]


def content(folder: Path) -> dict[str, bytes]:
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name != "manifest.json"}


class Stop(Exception):
    """Stands for a kill right after an epoch was committed."""


def dynamics_of(folder: Path, **more: Any) -> TrainingDynamics:
    """A run that has all that a channel may need, the held-out curves of another seed."""
    seen, other = (read_run(make_run(folder / str(seed), seed=seed, **more))[0] for seed in (0, 1))
    return replace(seen, heldout=replace(other, labels=seen.labels))


def kept(dynamics: TrainingDynamics, others: int) -> TrainingDynamics:
    """The same with the given label and so many other classes of every epoch, as stores keep."""
    td, labels = np.asarray(dynamics.td), np.asarray(dynamics.labels)
    order = np.argsort(-td[:, :, 1:].astype(np.float64), axis=2)[:, :, :others] + 1
    classes = np.take_along_axis(np.broadcast_to(labels[:, None, :], td.shape), order, axis=2)
    return replace(
        dynamics,
        td=td[:, :, :1],
        labels=labels[:, :1],
        other=np.take_along_axis(td, order, axis=2),
        other_class=classes,
        mean=td.mean(axis=1)[:, :2],
        mean_class=labels[:, :2],
    )
