"""Keras 3 with torch as its backend: the callback against the real package."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from noisy_digits import CLASSES, N, check_found, check_once_an_epoch, noisy_digits, run_example

from tdctl import Recorder, read_run
from tdctl.errors import ConfigError, DataError, RunError

os.environ["KERAS_BACKEND"] = "torch"
keras = pytest.importorskip("keras", reason="needs pip install tdctl[keras]")

from tdctl.adapters.keras import RecorderCallback

# Keras turns torch tensors into numpy arrays so.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

X, Y = (part.numpy() for part in noisy_digits()[:2])


def model(loss: Any = "sparse_categorical_crossentropy", end: str | None = "softmax") -> Any:
    keras.utils.set_random_seed(0)
    made = keras.Sequential([keras.Input((64,)), keras.layers.Dense(CLASSES, end)])
    made.compile(keras.optimizers.SGD(0.5), loss=loss)
    return made


def fit(made: Any, callbacks: list[Any], epochs: int = 2, y: Any = Y, **more: Any) -> None:
    keras.utils.set_random_seed(1)
    made.fit(X, y, batch_size=64, epochs=epochs, callbacks=callbacks, verbose=0, **more)


def test_the_example_finds_planted_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = run_example("Keras 3", tmp_path, monkeypatch)
    check_once_an_epoch(names["recorder"], 12)
    check_found(tmp_path / "runs/own")


def test_what_is_recorded_is_the_prediction_after_the_epoch(tmp_path: Path) -> None:
    made = model()
    with Recorder(tmp_path, N, CLASSES) as recorder:
        fit(made, [RecorderCallback(recorder, X, Y, batch_size=128)])
    probs = made.predict(X, verbose=0)[np.arange(N), Y]
    assert np.allclose(read_run(tmp_path)[0].td[:, -1, 0], probs, atol=1e-3)


def test_logits_and_one_hot_labels_record_the_same(tmp_path: Path) -> None:
    from_logits = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    kinds = {
        "numbers": (model(), Y),
        "one-hot": (model("categorical_crossentropy"), np.eye(CLASSES)[Y]),
        "logits": (model(from_logits, None), Y[:, None]),
    }
    runs = []
    for name, (made, y) in kinds.items():
        with Recorder(tmp_path / name, N, CLASSES) as recorder:
            fit(made, [RecorderCallback(recorder, X, y)], y=y)
        runs.append(read_run(tmp_path / name)[0].td[:].astype(np.float32))
    assert np.allclose(runs[0], runs[1], atol=2e-3) and np.allclose(runs[0], runs[2], atol=2e-3)


def test_several_inputs(tmp_path: Path) -> None:
    left, right = keras.Input((32,), name="left"), keras.Input((32,), name="right")
    both = keras.layers.Concatenate()([left, right])
    made = keras.Model([left, right], keras.layers.Dense(CLASSES, "softmax")(both))
    made.compile("sgd", loss="sparse_categorical_crossentropy")
    parts = {"left": X[:, :32], "right": X[:, 32:]}
    recorder = Recorder(tmp_path, N, CLASSES)
    for x in (parts, list(parts.values())):
        recording = RecorderCallback(recorder, x, Y)
        made.fit(x, Y, batch_size=128, callbacks=[recording], verbose=0)
    check_once_an_epoch(recorder, 2)


@pytest.mark.parametrize(
    ("y", "says"),
    [
        (Y[:5], "x has 900 samples and y 5"),
        (np.eye(CLASSES)[Y] * 0.9 + 0.01, "neither class numbers nor one-hot"),
        (Y.astype(float), "y is float64 \\[900\\]; expected class numbers"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, y: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        RecorderCallback(Recorder(tmp_path, N, CLASSES), X, y)


def test_a_loss_that_says_nothing_is_asked_about(tmp_path: Path) -> None:
    recording = RecorderCallback(Recorder(tmp_path, N, CLASSES), X, Y)
    with pytest.raises(ConfigError, match="give probabilities=True or False"):
        fit(model("mean_squared_error"), [recording], y=np.eye(CLASSES)[Y])


def test_a_stopped_training_goes_on_from_its_backup(tmp_path: Path) -> None:
    def run(epochs: int, stop: int | None = None) -> Recorder:
        recorder = Recorder(tmp_path / "run", N, CLASSES, overwrite=True)
        recording = RecorderCallback(recorder, X, Y, resume=True)
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        stops = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: _stop(epoch, stop)
        )
        if stop is None:
            fit(model(), [recording, backup, stops], epochs)
        else:
            with pytest.raises(KeyboardInterrupt):
                fit(model(), [recording, backup, stops], epochs)
        return recorder

    run(4, stop=2)
    recorder = run(4)
    check_once_an_epoch(recorder, 4)
    recorder.finish()
    assert read_run(tmp_path / "run")[0].epochs == 4


def _stop(epoch: int, at: int | None) -> None:
    if epoch == at:
        raise KeyboardInterrupt


def test_going_on_without_a_recording_is_refused(tmp_path: Path) -> None:
    recording = RecorderCallback(Recorder(tmp_path, N, CLASSES), X, Y, resume=True)
    with pytest.raises(RunError, match="the recording of the checkpoint is not there"):
        fit(model(), [recording], 4, initial_epoch=2)
