"""The probe of experiments/instance_noise.py tells noise that depends on the images."""

from __future__ import annotations

import numpy as np

from scripts.experiments.instance_noise import by_matrix, by_probe, judged, measured, pixels_of
from tdctl.config import DataConfig
from tdctl.data import open_dataset


def test_the_probe_wins_where_noise_looks_at_the_image_and_only_there() -> None:
    digits = open_dataset(DataConfig())
    gains, named = {}, {}
    for kind in ("instance", "uniform"):
        row = measured(digits, pixels_of(digits), kind, 0.4, 0)
        gains[kind] = row["probe"]["log_likelihood"] - row["matrix"]["log_likelihood"]
        named[kind] = row["probe"]["flip_named"] - row["matrix"]["flip_named"]
        assert 200 < row["judged_on"] < 280 and 0.3 < row["realised_rate"] < 0.5
    assert gains["instance"] > 0.02 > 0 > gains["uniform"]
    assert named["instance"] > 0.1 > 0.05 > named["uniform"]


def test_the_probe_knows_no_more_than_the_matrix_without_pixels() -> None:
    rng = np.random.default_rng(0)
    true, given = rng.integers(0, 3, 300), rng.integers(0, 3, 300)
    nothing = np.zeros((300, 2))
    probe = by_probe(nothing, true, given, nothing[:50], true[:50], 4, 1.0)
    matrix = by_matrix(true, given, true[:50], 4)
    assert np.allclose(probe.sum(axis=1), 1) and np.allclose(matrix.sum(axis=1), 1)
    assert np.abs(probe - matrix).max() < 0.02


def test_judgement_is_of_the_labels_that_were_given() -> None:
    probs = np.array([[0.8, 0.2, 0.0], [0.1, 0.3, 0.6], [0.5, 0.5, 0.0]])
    found = judged(probs, np.array([0, 1, 1]), np.array([0, 2, 0]))
    assert np.isclose(found["log_likelihood"], np.log([0.8, 0.6, 0.5]).mean())
    assert found["flip_named"] == 1.0 and found["flipped_auc"] == 1.0
