"""The examples of the public names run, and a user's script passes the type checker."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_run

import tdctl

# These train a network, which takes some seconds.
TRAIN = {"denoise", "generate_td", "train", "train_detector", "LSTMDetector"}
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name in TRAIN)) for name in tdctl.__all__]
SETTINGS = """
data: {dataset: digits, limit: 100}
noise: {noise_ratio: 0.2}
train: {epochs: 2}
retrain: {epochs: 2}
net: {depth: 8}
"""


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What an example may use: a recording in runs/a, settings in my.yaml, a loop's parts."""
    monkeypatch.chdir(tmp_path)
    make_run(Path("runs/a"), n=60)
    Path("my.yaml").write_text(SETTINGS, encoding="utf-8")
    dynamics, labels, _ = tdctl.read_run(Path("runs/a"))
    ids = torch.arange(60)
    batches = [(rows, torch.randn(len(rows), 8), rows % 3) for rows in ids.split(16)]
    names = {name: getattr(tdctl, name) for name in tdctl.__all__}
    own = {"dynamics": dynamics, "labels": labels, "net": torch.nn.Linear(8, 3), "loader": batches}
    return {**names, **own, "tdctl": tdctl, "np": np, "torch": torch, "Path": Path}


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_public_name_runs(name: str, known: dict[str, Any]) -> None:
    if name == "denoise":
        known["config"] = tdctl.load_config(Path("my.yaml"))
        tdctl.generate_td(known["config"], Path("runs/b"))
    text = getattr(tdctl, name).__doc__
    example = doctest.DocTestParser().get_doctest(text, known, name, None, None)
    assert example.examples, f"tdctl.{name} has no example"
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    assert runner.run(example, out=told.append).failed == 0, "".join(told)


def test_the_public_names_are_these() -> None:
    """A name that goes, or that comes, is a change for those who use the library: CHANGELOG."""
    assert tdctl.__all__ == [
        "Config", "Detector", "EpochReport", "IndexedDataset", "LSTMDetector", "Labels", "Ranking",
        "Recorder", "TdctlError", "TrainingDynamics", "compare", "corrupt", "denoise", "detect",
        "detection_metrics", "export", "generate_td", "load_config", "load_detector", "prune",
        "rank", "read_run", "relabel", "score", "scores", "suspicion", "train", "train_detector",
    ]  # fmt: skip


SCRIPT = """
import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

import tdctl
from tdctl import IndexedDataset, LSTMDetector, Recorder, read_run, scores

data = TensorDataset(torch.randn(8, 4), torch.arange(8) % 2)
net = torch.nn.Linear(4, 2)
with Recorder("runs/own", num_samples=8, class_names=["a", "b"], store="full") as recorder:
    for epoch in range(2):
        for ids, images, targets in DataLoader(IndexedDataset(data), batch_size=4):
            recorder.record(ids, net(images), targets)
        report: tdctl.EpochReport = recorder.end_epoch()
    recorder.record(["x"], np.zeros((1, 2)), ["a"], probabilities=True)
    recorder.reset()
    state: dict[str, object] = recorder.state_dict()
dynamics, labels, _ = read_run("runs/own")
suspicion = tdctl.score(dynamics, "aum")
detector = LSTMDetector(epochs=2).fit(dynamics, labels.flipped)
wrong = detector.predict(dynamics)
first: int = int(tdctl.rank(detector.score_samples(dynamics))[0])
kept = tdctl.prune(suspicion, 0.2)
fixed = tdctl.relabel(suspicion, labels.assigned, dynamics.suggested(), 0.2)
mean = scores.p_mean(dynamics.given_curve())
auc: float | None = tdctl.detection_metrics(suspicion, labels.flipped).auc
"""


@pytest.mark.slow
def test_a_users_script_passes_the_strict_type_checker(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    root = Path(tdctl.__file__).parent.parent
    command = [sys.executable, "-m", "mypy", "--strict", str(script)]
    command += ["--config-file", str(root / "pyproject.toml"), "--no-error-summary"]
    # The project's settings say which other packages have no types.
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_import_does_not_wait_for_what_it_may_not_need() -> None:
    names = "torch", "pandas", "sklearn", "numpy"
    program = f"import sys, tdctl; print([name for name in {names} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout == "[]\n", result.stderr
