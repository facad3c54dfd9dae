"""The plain pipeline that `generate-td` is measured against.

Float32 in torch's default layout; PIL images through torchvision's transforms in DataLoader
workers; after each epoch a second pass over the augmented training set in eval mode, whose
softmax is appended, sample by sample, to Python lists; a test pass; np.stack at the end.

Source: written from the description of what the published code of Jia et al. (AAAI 2023) does.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from scripts.experiments.speed.images import read_folder
from tdctl.config import NetConfig
from tdctl.nets import build_net
from tdctl.noise import corrupt

BATCH = 128
WORKERS = 2


class PilImages(Dataset[tuple[torch.Tensor, int, int]]):
    """Images as torchvision's CIFAR set has them: an array from which each item becomes PIL."""

    def __init__(
        self, pixels: NDArray[np.uint8], targets: NDArray[np.int64], transform: Any
    ) -> None:
        self._pixels, self._targets, self._transform = pixels, targets, transform

    def __len__(self) -> int:
        return len(self._targets)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int, int]:
        image = self._transform(Image.fromarray(self._pixels[row]))
        return image, int(self._targets[row]), row


def build_transforms(pixels: NDArray[np.uint8], augment: bool) -> Any:
    """Random crop and flip where asked, then a normalised float32 tensor."""
    side = pixels.shape[1]
    mean, std = pixels.mean(axis=(0, 1, 2)) / 255, pixels.std(axis=(0, 1, 2)) / 255
    steps: list[Any] = []
    if augment:
        steps = [transforms.RandomCrop(side, side // 8), transforms.RandomHorizontalFlip()]
    steps += [transforms.ToTensor(), transforms.Normalize(mean.tolist(), std.tolist())]
    return transforms.Compose(steps)


def train_epoch(net: nn.Module, loader: Any, optimizer: Any, device: torch.device) -> None:
    """One pass of SGD."""
    net.train()
    for images, targets, _ in loader:
        loss = nn.functional.cross_entropy(net(images.to(device)), targets.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def capture(net: nn.Module, loader: Any, history: list[list[Any]], device: torch.device) -> None:
    """Appends each sample's softmax to its own list."""
    net.eval()
    for images, _, rows in loader:
        probs = net(images.to(device)).softmax(dim=1).cpu().numpy()
        for row, prob in zip(rows.tolist(), probs, strict=True):
            history[row].append(prob)


@torch.no_grad()
def test_error(net: nn.Module, loader: Any, device: torch.device) -> float:
    """Share of wrong predictions, in [0, 1]."""
    net.eval()
    wrong = total = 0
    for images, targets, _ in loader:
        wrong += int((net(images.to(device)).argmax(dim=1).cpu() != targets).sum())
        total += len(targets)
    return wrong / total


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Trains and captures; writes ``td.npz`` into the folder and returns times and the error."""
    torch.manual_seed(options.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pixels, index, true = read_folder(options.data, "train", options.limit)
    tested, _, goals = read_folder(options.data, "test")
    classes = int(true.max()) + 1
    given = corrupt(true, index, classes, "uniform", options.noise_ratio, options.seed)
    train_set = PilImages(pixels, given, build_transforms(pixels, True))
    test_set = PilImages(tested, goals, build_transforms(pixels, False))
    # Worker processes are started anew for each pass, as the loader does unless told otherwise.
    train, again = (
        DataLoader(train_set, BATCH, shuffle=shuffle, num_workers=options.workers)
        for shuffle in (True, False)
    )
    test = DataLoader(test_set, BATCH, num_workers=options.workers)
    net = build_net(
        NetConfig(depth=options.depth), classes, (3, pixels.shape[1], pixels.shape[2]), options.seed
    ).to(device)
    optimizer = torch.optim.SGD(
        net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4
    )
    drops = [max(1, int(share * options.epochs)) for share in (0.5, 0.75)]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, drops, gamma=0.1)
    history: list[list[Any]] = [[] for _ in given]
    seconds, error = [], 1.0
    for _ in range(options.epochs):
        start = time.perf_counter()
        train_epoch(net, train, optimizer, device)
        schedule.step()
        capture(net, again, history, device)
        error = test_error(net, test, device)
        seconds.append(time.perf_counter() - start)
    td = np.stack([np.stack(rows) for rows in history])
    options.out.mkdir(parents=True, exist_ok=True)
    np.savez(options.out / "td.npz", td=td, index=index, assigned=given, true=true)
    return {"seconds": seconds, "test_error": error}


def main() -> None:
    """Runs the pipeline from the command line; the times go to ``OUT/times.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--depth", type=int, default=32)
    parser.add_argument("--noise-ratio", type=float, default=0.2)
    parser.add_argument("--workers", type=int, default=WORKERS)
    options = parser.parse_args()
    outcome = run(options)
    (options.out / "times.json").write_text(json.dumps(outcome))


if __name__ == "__main__":
    main()
