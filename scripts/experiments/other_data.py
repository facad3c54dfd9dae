"""Text and tables: the detector that was trained on pictures ranks recordings of other data.

A fifth of the labels is wrong (uniform). A small network trains 30 epochs, recorded by
tdctl.Recorder; each recording is ranked by the detector, by AUM and by the mean loss.
  manual     text: passages of 16 words from six chapters of Python's manual, which comes with
             Python (pydoc_data.topics); the class is the chapter
  topics     generated text: 3,000 documents of 20 words; 8 topics, each with a word distribution
             of its own (Dirichlet 0.05 over 1,000 words); half of the words are of the topic, half
             of a distribution that all share
  cancer     table: scikit-learn's breast_cancer, 569 rows, 30 columns, 2 classes
  generated  table: scikit-learn's make_classification, 3,000 rows, 20 columns, 5 classes
Texts are read by the mean of word embeddings and a hidden layer, tables by two hidden layers.
Prints Markdown, in %: mean and standard deviation over the seeds. --out keeps every figure.

usage: .venv/bin/python -m scripts.experiments.other_data [--detector builtin] [--seeds 0,1,2]
         [--epochs 30] [--work FOLDER] [--out FILE.json]
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from scripts.experiments.tables.detection import other_data_table
from tdctl import IndexedDataset, Recorder, corrupt, load_detector, read_run, score
from tdctl.errors import TdctlError
from tdctl.files import write_json
from tdctl.metrics import detection_metrics

RATE = 0.2
CHAPTERS = ("specialnames", "compound", "types", "formatstrings", "string-methods", "debugger")
PASSAGE, HIDDEN = 16, 128
SCORES = ("aum", "loss-mean")

# What the network reads [n, ...], and the true labels [n].
Data = tuple[torch.Tensor, NDArray[np.int64]]


def manual(seed: int) -> Data:
    from pydoc_data.topics import topics

    passages, labels = [], []
    for label, chapter in enumerate(CHAPTERS):
        words = re.findall(r"[a-z_]+", topics[chapter].lower())
        for start in range(0, len(words) - PASSAGE + 1, PASSAGE):
            passages.append(words[start : start + PASSAGE])
            labels.append(label)
    counts = Counter(word for passage in passages for word in passage)
    # Number 0 stands for all words that occur once.
    number = {word: i + 1 for i, (word, times) in enumerate(counts.most_common()) if times > 1}
    rows = [[number.get(word, 0) for word in passage] for passage in passages]
    return torch.tensor(rows), np.array(labels)


def generated_topics(seed: int) -> Data:
    rng = np.random.default_rng(seed)
    n, length, words, k = 3000, 20, 1000, 8
    own, shared = rng.dirichlet(np.full(words, 0.05), k), rng.dirichlet(np.full(words, 0.5))
    labels = rng.integers(0, k, n)
    of_topic = rng.random((n, length)) < 0.5
    common = rng.choice(words, (n, length), p=shared)
    typical = np.stack([rng.choice(words, length, p=own[label]) for label in labels])
    return torch.from_numpy(np.where(of_topic, typical, common)), labels


def cancer(seed: int) -> Data:
    from sklearn.datasets import load_breast_cancer

    return _standard(*load_breast_cancer(return_X_y=True))


def generated_table(seed: int) -> Data:
    from sklearn.datasets import make_classification

    return _standard(
        *make_classification(
            3000, 20, n_informative=10, n_classes=5, class_sep=1.5, random_state=seed
        )
    )


def _standard(x: NDArray[np.float64], labels: NDArray[np.int64]) -> Data:
    columns = (x - x.mean(axis=0)) / x.std(axis=0)
    return torch.from_numpy(columns.astype(np.float32)), labels.astype(np.int64)


DATA: dict[str, Callable[[int], Data]] = {
    "manual": manual,
    "topics": generated_topics,
    "cancer": cancer,
    "generated": generated_table,
}


def network(x: torch.Tensor, classes: int) -> nn.Module:
    """For word numbers int64 [n, words], or columns float32 [n, columns]."""
    if x.dtype == torch.int64:
        first: nn.Module = nn.EmbeddingBag(int(x.max()) + 1, HIDDEN, mode="mean")
    else:
        first = nn.Linear(x.shape[1], HIDDEN)
    return nn.Sequential(
        first, nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, classes)
    )


def recorded(name: str, seed: int, epochs: int, run: Path) -> float:
    """Records a training; gives the accuracy on the true labels after the last epoch."""
    x, true = DATA[name](seed)
    classes = int(true.max()) + 1
    given = corrupt(true, np.arange(len(true)), classes, "uniform", RATE, seed)
    torch.manual_seed(seed)
    net = network(x, classes)
    data = IndexedDataset(TensorDataset(x, torch.from_numpy(given)))
    loader = DataLoader(data, batch_size=64, shuffle=True)
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=1e-2)
    with Recorder(run, len(true), classes, true_targets=true, overwrite=True) as recorder:
        for _ in range(epochs):
            for ids, batch, targets in loader:
                logits = net(batch)
                recorder.record(ids, logits, targets)
                optimizer.zero_grad()
                nn.functional.cross_entropy(logits, targets).backward()
                optimizer.step()
            recorder.end_epoch()
    with torch.no_grad():
        return float((net(x).argmax(dim=1).numpy() == true).mean())


def main() -> None:
    parser = argparse.ArgumentParser(usage=str(__doc__).replace("%", "%%"))
    parser.add_argument("--detector", default="builtin")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    # The networks are so small that a second thread costs more than it brings.
    torch.set_num_threads(1)
    detector = load_detector(Path(asked.detector))
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in DATA:
            for seed in map(int, asked.seeds.split(",")):
                run = (asked.work or Path(scratch)) / f"{name}_seed{seed}"
                accuracy = recorded(name, seed, asked.epochs, run)
                dynamics, labels, _ = read_run(run)
                suspicions = {asked.detector: detector.score(dynamics)}
                suspicions |= {kind: score(dynamics, kind) for kind in SCORES}
                for by, suspicion in suspicions.items():
                    found = detection_metrics(suspicion, labels.flipped)
                    row = {"data": name, "seed": seed, "by": by, "auc": found.auc, "ap": found.ap}
                    facts = {"samples": len(labels), "wrong": int(labels.flipped.sum())}
                    rows.append(row | facts | {"accuracy": accuracy, "epochs": dynamics.epochs})
    print(other_data_table(rows))
    if asked.out is not None:
        write_json(asked.out, rows)


if __name__ == "__main__":
    try:
        main()
    except TdctlError as error:
        sys.exit(f"other_data: error: {error}")
