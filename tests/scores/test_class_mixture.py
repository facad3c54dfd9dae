"""The mixture of wrong events: a hard class is no more suspicious than an easy one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tdctl.scores import wrong_event_mixture


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares, classes and wrong labels: class 1 is hard, so its right labels are often missed."""
    rng = np.random.default_rng(seed)
    classes = np.repeat([0, 1], 300)
    wrong = rng.random(600) < 0.15
    middle = np.where(classes == 0, 0.05, 0.45) + np.where(wrong, 0.4, 0.0)
    return np.clip(rng.normal(middle, 0.05), 0, 1), classes, wrong


def test_each_class_has_components_of_its_own() -> None:
    shares, classes, wrong = drawn(0)
    found = wrong_event_mixture(shares, classes)
    assert ((found > 0.5) == wrong).mean() > 0.99
    # With one pair of components, wrong labels of the easy class look like right ones of the other.
    together = wrong_event_mixture(shares, np.zeros(600, int))
    assert (together[wrong & (classes == 0)] < 0.5).mean() > 0.9


def test_it_rises_with_the_share_within_a_class() -> None:
    shares, classes, _ = drawn(1)
    found = wrong_event_mixture(shares, classes)
    for label in (0, 1):
        rows = np.flatnonzero(classes == label)
        assert (np.diff(found[rows][np.argsort(shares[rows])]) >= 0).all()


def test_a_small_class_uses_the_components_of_all() -> None:
    shares, classes, _ = drawn(2)
    few = np.where(np.arange(600) < 20, 2, classes)
    alone, together = wrong_event_mixture(shares, few), wrong_event_mixture(shares, classes * 0)
    np.testing.assert_allclose(alone[:20], together[:20])
    assert (wrong_event_mixture(np.full(60, 0.3), np.zeros(60, int)) == 0.5).all()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=200), st.integers(1, 3))
def test_it_is_a_probability_for_any_counts(counts: list[int], classes: int) -> None:
    shares = np.array(counts) / 4
    found = wrong_event_mixture(shares, np.arange(len(shares)) % classes)
    assert np.isfinite(found).all() and (found >= 0).all() and (found <= 1).all()
