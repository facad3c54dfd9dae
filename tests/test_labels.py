from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tdctl.errors import ConfigError, DataError
from tdctl.labels import Labels, held_out_for_test, stratified_holdout

seeds = st.integers(0, 2**31 - 1)


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


def test_holdout_of_very_many_classes_takes_what_it_took_class_by_class() -> None:
    labels = np.random.default_rng(0).integers(0, 5000, 40_000)
    held = stratified_holdout(labels, 4000, 3)
    rng, expected = np.random.default_rng([3, 1]), np.zeros(len(labels), np.bool_)
    for label in range(5000):
        rows = rng.permutation(np.flatnonzero(labels == label))
        expected[rows[: int(held[labels == label].sum())]] = True
    assert (held == expected).all()


def test_holding_out_everything_is_refused() -> None:
    with pytest.raises(ConfigError, match="num_valid"):
        stratified_holdout(np.zeros(5, np.int64), 5, 0)


def test_labels_refuse_an_index_that_appears_twice() -> None:
    with pytest.raises(DataError, match="twice"):
        Labels(np.array([1, 1]), np.array([0, 0]), np.array([0, 0]))


def test_no_class_loses_its_last_image_to_a_test_share() -> None:
    labels = np.concatenate([np.arange(30), np.zeros(70, np.int64)])
    tested = held_out_for_test(labels, 0.3, 0)
    assert set(labels[~tested]) == set(range(30)) and 15 < tested.sum() <= 30


@pytest.mark.parametrize("values", [[0.5, 1.0], ["a", "b"], [[0], [1]]])
def test_labels_are_whole_numbers(values: Any) -> None:
    with pytest.raises(DataError, match=r"labels: assigned is .*expected whole numbers"):
        Labels(np.arange(2), values, np.arange(2))
