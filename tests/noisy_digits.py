"""Digits with planted errors, and the examples of docs/adapters.md that record them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from tdctl import Recorder, detection_metrics, load_detector, read_run

N, CLASSES = 900, 10
PAGE = Path(__file__).parent.parent / "docs" / "adapters.md"


def noisy_digits(n: int = N, ratio: float = 0.2) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Pixels float32 [n, 64], given labels int64 [n], and bool [n] where they are wrong."""
    pixels, true = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    wrong = rng.random(n) < ratio
    given = (true[:n] + wrong * rng.integers(1, CLASSES, n)) % CLASSES
    return torch.tensor(pixels[:n] / 16, dtype=torch.float32), torch.from_numpy(given), wrong


def run_example(title: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Runs the example under a heading of the page, in a folder; gives its names."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]
    code = re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE)[0]
    assert len(code.splitlines()) <= 40
    monkeypatch.chdir(folder)
    torch.manual_seed(0)
    x, given, _ = noisy_digits()
    names: dict[str, Any] = {"x": x, "given": given, "__name__": "example"}
    exec(compile(code, f"docs/adapters.md: {title}", "exec"), names)
    return names


def check_found(run: Path, epochs: int = 12) -> None:
    """The shipped detector ranks the planted errors of a complete recording first."""
    _, given, wrong = noisy_digits()
    dynamics, labels, _ = read_run(run)
    assert dynamics.index.tolist() == list(range(N)) and dynamics.epochs == epochs
    assert np.array_equal(labels.assigned, given)
    found = detection_metrics(load_detector(Path("builtin")).score(dynamics), wrong)
    assert found.auc is not None and found.auc > 0.9


def check_once_an_epoch(recorder: Recorder, epochs: int, samples: int = N) -> None:
    """Each sample was recorded once in each epoch."""
    found = [(one.epoch, one.samples, one.missed, one.repeated) for one in recorder.reports]
    assert found == [(epoch, samples, 0, 0) for epoch in range(epochs)]
