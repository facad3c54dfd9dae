from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tdctl.errors import ConfigError, DataError
from tdctl.labels import Labels, stratified_holdout
from tdctl.noise import corrupt

noises = st.sampled_from(["uniform", "flip"])
seeds = st.integers(0, 2**31 - 1)


@given(noise=noises, seed=seeds, classes=st.integers(2, 12), ratio=st.floats(0, 0.99))
def test_a_flip_never_lands_on_the_true_class(
    noise: str, seed: int, classes: int, ratio: float
) -> None:
    true = np.random.default_rng(seed).integers(0, classes, 300)
    given_labels = corrupt(true, np.arange(300), classes, noise, ratio, seed)
    flipped = given_labels != true
    assert ((given_labels >= 0) & (given_labels < classes)).all()
    # Were some of the drawn flips to land on the true class, fewer labels would differ than
    # the same draws flip between two classes, where there is only one place to go.
    two = corrupt(np.zeros(300, np.int64), np.arange(300), 2, noise, ratio, seed)
    assert (flipped == (two == 1)).all()
    if noise == "flip":
        assert (given_labels[flipped] == (true[flipped] + 1) % classes).all()


@pytest.mark.parametrize("noise", ["uniform", "flip"])
def test_the_number_of_flips_is_binomial(noise: str) -> None:
    n, ratio, true = 2000, 0.3, np.zeros(2000, dtype=np.int64)
    counts = [
        (corrupt(true, np.arange(n), 10, noise, ratio, seed) != true).sum() for seed in range(200)
    ]
    expected_variance = n * ratio * (1 - ratio)
    assert abs(np.mean(counts) - n * ratio) < 4 * np.sqrt(expected_variance / 200)
    assert 0.7 * expected_variance < np.var(counts) < 1.4 * expected_variance


def test_uniform_noise_reaches_every_other_class_alike() -> None:
    true = np.full(90_000, 3, dtype=np.int64)
    given_labels = corrupt(true, np.arange(len(true)), 10, "uniform", 0.9, 0)
    counts = np.bincount(given_labels[given_labels != 3], minlength=10)
    assert counts[3] == 0
    expected = counts.sum() / 9
    chi_square = ((np.delete(counts, 3) - expected) ** 2 / expected).sum()
    assert chi_square < 26.1  # 8 degrees of freedom, p = 0.001


@settings(max_examples=30)
@given(noise=noises, seed=seeds)
def test_a_samples_draw_depends_on_its_index_alone(noise: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 7, 400)
    full = corrupt(true, np.arange(400), 7, noise, 0.4, seed)
    rows = rng.permutation(400)[:150]
    assert (corrupt(true[rows], rows, 7, noise, 0.4, seed) == full[rows]).all()
    assert (corrupt(true, np.arange(400), 7, noise, 0.4, seed + 1) != full).any()


def test_no_noise_changes_nothing_and_is_a_copy() -> None:
    true = np.array([0, 1, 2])
    given_labels = corrupt(true, np.arange(3), 3, "uniform", 0.0, 0)
    given_labels[0] = 2
    assert true[0] == 0


@pytest.mark.parametrize("ratio", [-0.1, 1.0, float("nan")])
def test_a_ratio_outside_its_range_is_refused(ratio: float) -> None:
    with pytest.raises(ConfigError, match="noise_ratio"):
        corrupt(np.zeros(3, np.int64), np.arange(3), 2, "uniform", ratio, 0)


def test_a_single_class_cannot_be_flipped() -> None:
    with pytest.raises(ConfigError, match="single class"):
        corrupt(np.zeros(3, np.int64), np.arange(3), 1, "flip", 0.5, 0)


@given(seed=seeds, share=st.floats(0, 0.99), n=st.integers(1, 200))
def test_holdout_takes_exactly_as_many_and_follows_the_classes(
    seed: int, share: float, n: int
) -> None:
    labels = np.random.default_rng(seed).integers(0, 4, n)
    count = int(share * n)
    held = stratified_holdout(labels, count, seed)
    assert held.sum() == count
    for label in range(4):
        of_class = labels == label
        assert abs(held[of_class].sum() - of_class.sum() * count / n) <= 1


def test_holding_out_everything_is_refused() -> None:
    with pytest.raises(ConfigError, match="num_valid"):
        stratified_holdout(np.zeros(5, np.int64), 5, 0)


def test_labels_refuse_an_index_that_appears_twice() -> None:
    with pytest.raises(DataError, match="twice"):
        Labels(np.array([1, 1]), np.array([0, 0]), np.array([0, 0]))
