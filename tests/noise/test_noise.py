"""Every kind of noise draws what it says, and a sample's draw depends on the sample alone."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from conftest import transition_row
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, truncnorm

from tdctl.errors import ConfigError
from tdctl.noise import (
    InstanceNoise,
    Mapped,
    Matrix,
    Noise,
    OfClass,
    Transition,
    Uniform,
    UniformInclusive,
    confusion_of,
    corrupt,
    cyclic,
    fixed,
    flip_rates,
)
from tdctl.noise.instance import _chosen, features, truncated_normal

noises = st.sampled_from(["uniform", "flip"])
seeds = st.integers(0, 2**31 - 1)
CLASSES, SEEDS, ROWS = 5, range(20), 6000
ROWS_OF_MATRIX = np.array(
    [
        [0.7, 0.3, 0.0, 0.0, 0.0],
        [0.1, 0.6, 0.1, 0.1, 0.1],
        [0.0, 0.0, 1.0, 0.0, 0.0],
        [0.25, 0.25, 0.0, 0.25, 0.25],
        [0.9, 0.0, 0.0, 0.0, 0.1],
    ]
)
# Each with the matrix that its definition gives, written out by hand.
OTHERS = 1 - np.eye(CLASSES)
NEXT = np.roll(np.eye(CLASSES), 1, axis=1)
TO = np.array([3, 1, 0, 2, 4])
TRANSITIONS: dict[str, tuple[Transition, np.ndarray[Any, Any]]] = {
    "uniform": (Uniform(5, 0.3), 0.7 * np.eye(5) + 0.3 / 4 * OTHERS),
    "uniform-inclusive": (UniformInclusive(5, 0.3), 0.7 * np.eye(5) + 0.3 / 5),
    "flip": (cyclic(5, 0.3), 0.7 * np.eye(5) + 0.3 * NEXT),
    "pair": (Mapped(TO, 0.4), 0.6 * np.eye(5) + 0.4 * np.eye(5)[TO]),
    "matrix": (Matrix(ROWS_OF_MATRIX), ROWS_OF_MATRIX),
}
KINDS = pytest.mark.parametrize("kind", TRANSITIONS)


class Pixels:
    """Images in memory, as noise asks for them."""

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        self.values = values

    @property
    def shape(self) -> tuple[int, int, int]:
        c, h, w = self.values.shape[1:]
        return c, h, w

    def batches(self, parts: Sequence[Any]) -> Iterator[Any]:
        for part in parts:
            yield self.values[part]


def blobs(true: np.ndarray[Any, Any], side: int = 6) -> Pixels:
    rng = np.random.default_rng(0)
    return Pixels(rng.integers(0, 256, (len(true), 3, side, side)).astype(np.uint8))


def every_noise() -> list[Any]:
    kinds: list[Noise] = [OfClass(transition) for transition, _ in TRANSITIONS.values()]
    return [
        pytest.param(noise, id=name)
        for noise, name in zip(
            [*kinds, InstanceNoise(CLASSES, 0.3)], [*TRANSITIONS, "instance"], strict=True
        )
    ]


EVERY = pytest.mark.parametrize("noise", every_noise())


def labels(n: int = ROWS, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).choice(CLASSES, n, p=[0.3, 0.25, 0.2, 0.15, 0.1])


def p_value(count: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> float:
    """Of Pearson's chi-square over all rows; 0 where something impossible happened."""
    possible = expected > 1e-9
    if count[~possible].any():
        return 0.0
    statistic = ((count - expected)[possible] ** 2 / expected[possible]).sum()
    freedom = possible.sum() - possible.any(axis=1).sum()
    return float(chi2.sf(statistic, freedom))


def counted(true: np.ndarray[Any, Any], drawn: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.bincount(true * CLASSES + drawn, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def p_values(transition: Transition, matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    true = labels()
    expected = np.bincount(true)[:, None] * matrix
    drawn = [OfClass(transition).draw(true, np.arange(ROWS), seed).given for seed in SEEDS]
    return np.array([p_value(counted(true, found), expected) for found in drawn])


@KINDS
def test_what_is_drawn_follows_the_matrix(kind: str) -> None:
    found = p_values(*TRANSITIONS[kind])
    assert found.min() > 0.001 / len(SEEDS)
    # Nor does it follow it more closely than chance would.
    assert 0.1 < np.median(found) < 0.9


@pytest.mark.parametrize(
    ("kind", "other"),
    [("uniform", "uniform-inclusive"), ("uniform-inclusive", "uniform"), ("flip", "uniform"),
     ("pair", "flip"), ("matrix", "uniform")],
)  # fmt: skip
def test_another_matrix_would_be_noticed(kind: str, other: str) -> None:
    assert p_values(TRANSITIONS[kind][0], TRANSITIONS[other][1]).max() < 1e-4


@KINDS
def test_rows_rates_and_probabilities_are_those_of_the_matrix(kind: str) -> None:
    transition, matrix = TRANSITIONS[kind]
    rows = np.stack([transition_row(transition, label) for label in range(CLASSES)])
    assert np.allclose(rows, matrix) and np.allclose(rows.sum(axis=1), 1)
    assert np.allclose(flip_rates(transition), 1 - np.diag(matrix))


@EVERY
def test_expected_counts_and_rates_fit_together(noise: Noise) -> None:
    true = labels(900)
    drawn = noise.draw(true, np.arange(900), 4, blobs(true))
    found = confusion_of(true, drawn, CLASSES)
    assert found.count.sum() == 900 and np.isclose(found.expected.sum(), 900)
    off = found.true != found.given
    assert np.isclose(found.expected[off].sum() / 900, found.expected_rate)
    assert found.count[off].sum() / 900 == found.realised_rate == (drawn.given != true).mean()
    for label in range(CLASSES):
        assert np.isclose(found.expected[found.true == label].sum(), (true == label).sum())


def test_uniform_inclusive_noise_flips_less_than_asked() -> None:
    true = np.zeros(1000, np.int64)
    drawn = OfClass(UniformInclusive(10, 0.2)).draw(true, np.arange(1000), 0)
    assert np.isclose(confusion_of(true, drawn, 10).expected_rate, 0.18)


@EVERY
def test_a_draw_depends_on_seed_and_index_alone(noise: Noise) -> None:
    true, images = labels(700), blobs(labels(700))
    index = np.random.default_rng(5).choice(2000, 700, replace=False)
    whole = noise.draw(true, index, 9, images)
    for rows in (np.random.default_rng(1).permutation(700), np.arange(30, 41), np.array([699])):
        some = noise.draw(true[rows], index[rows], 9, Pixels(images.values[rows]))
        assert (some.given == whole.given[rows]).all()
        assert (some.rates == whole.rates[rows]).all()
    assert (noise.draw(true, index, 9, images).given == whole.given).all()
    assert (noise.draw(true, index, 10, images).given != whole.given).any()
    # Other samples may have other labels: it is the same to this one.
    changed = true.copy()
    changed[350:] = (changed[350:] + 1) % CLASSES
    assert (noise.draw(changed, index, 9, images).given[:350] == whole.given[:350]).all()
    assert not np.shares_memory(whole.given, true)


@pytest.mark.parametrize("name", ["uniform", "uniform-inclusive", "flip", "pair"])
def test_a_hundred_thousand_classes_need_no_square_of_them(name: str) -> None:
    k, n = 100_000, 200_000
    kinds: dict[str, Transition] = {
        "uniform": Uniform(k, 0.2),
        "uniform-inclusive": UniformInclusive(k, 0.2),
        "flip": cyclic(k, 0.2),
        "pair": Mapped(np.random.default_rng(1).permutation(k), 0.2),
    }
    true = np.random.default_rng(0).integers(0, k, n)
    tracemalloc.start()
    drawn = OfClass(kinds[name]).draw(true, np.arange(n), 0)
    found = confusion_of(true, drawn, k)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6
    assert found.count.sum() == n and len(found.count) <= n
    assert abs(found.realised_rate - found.expected_rate) < 5 * np.sqrt(0.16 / n)
    assert len(found.largest_flips(10)) == 10


def test_a_table_is_expected_as_it_is() -> None:
    true, as_given = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 2, 0, 0])
    found = confusion_of(true, fixed(true, as_given), 4)
    assert list(zip(found.true, found.given, found.count, strict=True)) == [
        (0, 0, 1), (0, 1, 1), (1, 1, 1), (2, 0, 2), (2, 2, 1),
    ]  # fmt: skip
    assert (found.expected == found.count).all()
    assert found.expected_rate == found.realised_rate == 0.5
    assert found.largest_flips(1) == [3]


# Instance noise


def test_instance_rates_are_normal_and_truncated() -> None:
    for mean in (0.05, 0.3, 0.9):
        low, high = (0 - mean) / 0.1, (1 - mean) / 0.1
        reference = truncnorm(low, high, loc=mean, scale=0.1)
        at = np.linspace(0.001, 0.999, 200)
        assert np.allclose(truncated_normal(at, mean), reference.ppf(at))


def test_instance_noise_follows_its_own_expectation() -> None:
    true = labels(4000)
    images, found = blobs(true), []
    for seed in SEEDS:
        drawn = InstanceNoise(CLASSES, 0.3).draw(true, np.arange(4000), seed, images)
        shown = confusion_of(true, drawn, CLASSES)
        expected = np.zeros((CLASSES, CLASSES))
        expected[shown.true, shown.given] = shown.expected
        found.append(p_value(counted(true, drawn.given), expected))
        rates = drawn.rates
        flipped, spread = (drawn.given != true).sum(), np.sqrt((rates * (1 - rates)).sum())
        assert abs(flipped - rates.sum()) < 4.5 * spread
        assert np.isclose(shown.expected_rate, rates.mean())
    assert min(found) > 0.001 / len(SEEDS)


def test_instance_noise_is_the_softmax_of_the_papers_projection() -> None:
    """One image many times: shares of the given labels against the algorithm written out."""
    n, label, seed = 40_000, 2, 3
    image = np.random.default_rng(1).integers(0, 256, (1, 1, 2, 2)).astype(np.uint8)
    images = Pixels(np.repeat(image, n, axis=0))
    drawn = InstanceNoise(CLASSES, 0.4).draw(np.full(n, label), np.arange(n), seed, images)
    x = image.reshape(-1).astype(float)
    x = (x - x.mean()) / x.std()
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2, label)))
    logits = x @ rng.standard_normal((4, CLASSES))
    shares = np.exp(logits) * (np.arange(CLASSES) != label)
    expected = n * drawn.rates.mean() * shares / shares.sum()
    expected[label] = n * (1 - drawn.rates.mean())
    count = np.bincount(drawn.given, minlength=CLASSES)
    assert p_value(count[None], expected[None]) > 0.001
    assert (drawn.given[drawn.rates < 0.15] == label).mean() > 0.8


def test_the_label_of_an_instance_follows_its_pixels() -> None:
    true = np.zeros(3000, np.int64)
    images = blobs(true)
    images.values[1500:] = images.values[0]
    drawn = InstanceNoise(CLASSES, 0.5).draw(true, np.arange(3000), 0, images).given
    shares = [
        np.bincount(half[half > 0], minlength=5)[1:].max() / (half > 0).sum()
        for half in (drawn[:1500], drawn[1500:])
    ]
    assert shares[0] < 0.5 < 0.8 < shares[1]


def test_features_are_area_averages_that_are_standardised() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 2, 64, 96)).astype(np.uint8)
    mean = pixels.reshape(3, 2, 32, 2, 32, 3).mean(axis=(3, 5)).reshape(3, -1)
    expected = (mean - mean.mean(1, keepdims=True)) / mean.std(1, keepdims=True)
    assert np.allclose(features(pixels), expected)
    odd = features(np.random.default_rng(0).integers(0, 256, (2, 3, 45, 33)).astype(np.uint8))
    assert odd.shape == (2, 3 * 32 * 32)
    assert np.allclose(odd.mean(1), 0) and np.allclose(odd.std(1), 1)
    assert features(np.full((1, 3, 8, 40), 7, np.uint8)).tolist() == [[0.0] * 3 * 8 * 32]


def test_rounding_never_gives_a_class_of_probability_0() -> None:
    others, rate = np.array([[0.25, 0.75, 0.0]]), np.array([0.5])
    assert _chosen(others, np.array([1.0]), rate, label=2).tolist() == [1]
    rows = np.array([[0.25, 0.75, 0.0]])
    assert Matrix(rows).moved(np.array([0]), np.array([1.0]), np.array([0.0])).tolist() == [1]


def test_instance_noise_says_what_it_cannot_do() -> None:
    with pytest.raises(ConfigError, match="needs the images"):
        InstanceNoise(3, 0.3).draw(np.zeros(2, np.int64), np.arange(2), 0)
    with pytest.raises(ConfigError, match="at most 2000 classes, not 2001"):
        true = np.zeros(2, np.int64)
        InstanceNoise(2001, 0.3).draw(true, np.arange(2), 0, blobs(true))


# The function for loops of one's own


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


def test_the_draws_are_those_of_earlier_versions() -> None:
    true = np.arange(40) % 7
    uniform = corrupt(true, np.arange(40), 7, "uniform", 0.5, 11)
    flip = corrupt(true, np.arange(40), 7, "flip", 0.5, 11)
    assert "".join(map(str, uniform)) == "0121415052345300266230250452022142043224"
    assert "".join(map(str, flip)) == "0124460022345002245600234450022446012244"


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ConfigError, match="'pairs' is unknown; use uniform, uniform-inclusive"):
        corrupt(np.zeros(3, np.int64), np.arange(3), 2, "pairs", 0.2, 0)
