"""The detector as an estimator of scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_run
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from tdctl import LSTMDetector, load_detector, read_run
from tdctl.errors import ConfigError, DetectorError

QUICK: dict[str, Any] = {"epochs": 2, "restarts": 1}
# What does not hold of it, and why.
EXCEPTIONS = {
    "check_n_features_in": "its labels do not depend on its curves, and a detector that then gives "
    "one value for all curves is refused",
}


@pytest.mark.slow
@parametrize_with_checks(
    [LSTMDetector(epochs=5, restarts=1, batch_size=8, held_out=0.4)],
    expected_failed_checks=lambda _: EXCEPTIONS,
)
def test_it_is_an_estimator(estimator: Any, check: Any) -> None:
    check(estimator)


def test_it_finds_the_wrong_labels_of_another_run(tmp_path: Path) -> None:
    seen, labels, _ = read_run(make_run(tmp_path / "a", n=300))
    other, truth, _ = read_run(make_run(tmp_path / "b", n=300, seed=1))
    for channels in ("given", "most"):
        detector = LSTMDetector(channels=channels, epochs=20, restarts=1)
        assert detector.fit(seen, labels.flipped) is detector
        suspicion = detector.score_samples(other)
        assert suspicion.dtype == np.float64 and suspicion.shape == (300,)
        assert roc_auc_score(truth.flipped, suspicion) > 0.9
        assert (detector.predict(other) == (suspicion >= 0.5)).all()
        assert np.allclose(detector.predict_proba(other).sum(axis=1), 1)
        files = detector.save(tmp_path / f"{channels}.safetensors")
        assert np.allclose(load_detector(files[0]).score(other), suspicion)


def test_arrays_serve_as_well_as_dynamics(tmp_path: Path) -> None:
    dynamics, labels, _ = read_run(make_run(tmp_path / "a"))
    by_dynamics = LSTMDetector(**QUICK).fit(dynamics, labels.flipped)
    curves = dynamics.given_curve().astype(np.float32)
    names = np.where(labels.flipped, "wrong", "right")
    by_array = clone(by_dynamics).fit(curves, names)
    assert np.allclose(by_array.score_samples(curves), by_dynamics.score_samples(dynamics))
    assert set(by_array.predict(curves)) <= {"right", "wrong"}
    assert by_array.get_params() == by_dynamics.get_params()


def test_what_it_cannot_be_trained_on_is_told(tmp_path: Path) -> None:
    dynamics, labels, _ = read_run(make_run(tmp_path / "a"))
    with pytest.raises(ValueError, match="y has 1 class; expected right and"):
        LSTMDetector(**QUICK).fit(dynamics, np.zeros(len(dynamics), np.bool_))
    with pytest.raises(ValueError, match="y is"):
        LSTMDetector(**QUICK).fit(dynamics, labels.flipped[1:])
    with pytest.raises(DetectorError, match="channels='most' cannot be computed from an array"):
        LSTMDetector(channels="most", **QUICK).fit(dynamics.given_curve(), labels.flipped)
    with pytest.raises(ConfigError, match="'bend' is unknown"):
        LSTMDetector(channels="bend", **QUICK).fit(dynamics, labels.flipped)


@pytest.mark.parametrize(
    ("parameter", "says"),
    [
        ({"net": "x"}, "LSTMDetector: net: Input should be 'lstm'"),
        ({"epochs": 0}, "LSTMDetector: epochs"),
        ({"lr": float("nan")}, "LSTMDetector: lr"),
        ({"held_out": 1}, "LSTMDetector: held_out"),
        ({"random_state": -1}, "random_state is -1"),
        ({"random_state": np.random.RandomState(0)}, "expected a whole number"),
        ({"device": "gpu9"}, "device: 'gpu9' is unknown"),
    ],
)
def test_a_wrong_parameter_is_told_in_one_line(parameter: dict[str, Any], says: str) -> None:
    curves = np.random.default_rng(0).random((60, 8))
    with pytest.raises(ConfigError) as error:
        LSTMDetector(**{**QUICK, **parameter}).fit(curves, np.arange(60) % 3 == 0)
    assert says in str(error.value) and "\n" not in str(error.value)
