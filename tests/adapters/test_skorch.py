"""skorch: the callback against the real package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from noisy_digits import CLASSES, N, check_found, check_once_an_epoch, noisy_digits, run_example
from torch import nn

from tdctl import Recorder, read_run
from tdctl.errors import ConfigError, DynamicsError

pytest.importorskip("skorch", reason="needs pip install tdctl[skorch]")

from skorch import NeuralNet, NeuralNetClassifier
from skorch.callbacks import Checkpoint, LoadInitState

from tdctl.adapters.skorch import RecorderCallback


def module(end: nn.Module | None = None) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, CLASSES), nn.Softmax(dim=1) if end is None else end)


def net(callbacks: list[Any], kind: Any = NeuralNetClassifier, **more: Any) -> Any:
    settings: dict[str, Any] = {
        "module": module(),
        "criterion": nn.NLLLoss,
        "max_epochs": 2,
        "lr": 0.5,
        "batch_size": 64,
        "iterator_train__shuffle": True,
        "train_split": None,
        "verbose": 0,
    }
    return kind(**(settings | more), callbacks=callbacks)


def recorded(folder: Path, **more: Any) -> Recorder:
    recorder = Recorder(folder, N, CLASSES)
    torch.manual_seed(0)
    x, given, _ = noisy_digits()
    net([RecorderCallback(recorder)], **more).fit(x, given)
    return recorder


def test_the_example_finds_planted_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = run_example("skorch", tmp_path, monkeypatch)
    check_once_an_epoch(names["recorder"], 12)
    check_found(tmp_path / "runs/own")


def test_probabilities_and_logits_record_the_same(tmp_path: Path) -> None:
    kinds = {
        "probabilities": {},
        "logits": {"module": module(nn.Identity()), "criterion": nn.CrossEntropyLoss},
        "log-probabilities": {"module": module(nn.LogSoftmax(dim=1)), "kind": NeuralNet},
    }
    runs = []
    for name, more in kinds.items():
        recorded(tmp_path / name, **more).finish()
        runs.append(read_run(tmp_path / name)[0].td[:].astype(np.float32))
    assert np.allclose(runs[0], runs[1], atol=2e-3) and np.allclose(runs[0], runs[2], atol=2e-3)


def test_the_hidden_fifth_is_said_and_ids_stay_those_of_x(tmp_path: Path) -> None:
    x, given, _ = noisy_digits()
    with Recorder(tmp_path, N, CLASSES) as recorder:
        by_default = NeuralNetClassifier(module()).train_split
        learner = net([RecorderCallback(recorder)], train_split=by_default)
        with pytest.warns(UserWarning, match="train_split keeps 180 of 900 samples out"):
            learner.fit(x, given)
    assert [(one.samples, one.missed) for one in recorder.reports] == [(720, 180)] * 2
    dynamics, labels, _ = read_run(tmp_path)
    assert len(dynamics) == 720
    assert np.array_equal(labels.assigned, given[torch.from_numpy(dynamics.index)])


def test_a_criterion_that_says_nothing_is_asked_about(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="MultiMarginLoss; give probabilities=True or False"):
        recorded(tmp_path, criterion=nn.MultiMarginLoss)


def test_wrong_probabilities_are_refused(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, N, CLASSES)
    learner = net([RecorderCallback(recorder, probabilities=False)])
    with pytest.raises(DynamicsError, match="these are probabilities, not logits"):
        learner.fit(*noisy_digits()[:2])


def test_the_net_is_as_before(tmp_path: Path) -> None:
    """The recording does not change the training, and the iterator is given back."""
    x, given, _ = noisy_digits()
    with Recorder(tmp_path, N, CLASSES) as recorder:
        recording = net([RecorderCallback(recorder)])
        torch.manual_seed(0)
        recording.fit(x, given)
    plain = net([])
    torch.manual_seed(0)
    plain.fit(x, given)
    assert np.array_equal(recording.predict_proba(x), plain.predict_proba(x))
    assert recording.iterator_train is torch.utils.data.DataLoader


def test_a_stopped_training_goes_on_with_its_history(tmp_path: Path) -> None:
    x, given, _ = noisy_digits()
    checkpoint = Checkpoint(dirname=tmp_path / "state", monitor=None)
    recorder = Recorder(tmp_path / "run", N, CLASSES)
    net([RecorderCallback(recorder, resume=True), checkpoint]).fit(x, given)
    # One more epoch, after the checkpoint; it is forgotten.
    recorder = Recorder(tmp_path / "run", N, CLASSES)
    load = LoadInitState(checkpoint)
    net([load, RecorderCallback(recorder, resume=True)], max_epochs=1).fit(x, given)
    check_once_an_epoch(recorder, 3)
    recorder = Recorder(tmp_path / "run", N, CLASSES)
    net([load, RecorderCallback(recorder, resume=True)]).fit(x, given)
    check_once_an_epoch(recorder, 4)
    recorder.finish()
    assert read_run(tmp_path / "run")[0].epochs == 4
