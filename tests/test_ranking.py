from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tdctl.errors import ConfigError, DynamicsError
from tdctl.ranking import Ranking, num_removed


def test_worst_first_with_ties_by_index() -> None:
    ranking = Ranking(np.array([7, 3, 5, 1]), np.array([0.5, 0.9, 0.5, 0.1]))
    assert ranking.index[ranking.worst_first()].tolist() == [3, 5, 7, 1]


@given(seed=st.integers(0, 1000), ratio=st.floats(0, 0.98))
def test_what_is_kept_does_not_depend_on_the_order_of_rows(seed: int, ratio: float) -> None:
    rng = np.random.default_rng(seed)
    index, suspicion = np.arange(50), rng.integers(0, 5, 50) / 4
    order = rng.permutation(50)
    kept = index[Ranking(index, suspicion).kept(ratio)]
    shuffled = Ranking(index[order], suspicion[order])
    assert sorted(shuffled.index[shuffled.kept(ratio)]) == sorted(kept)
    assert len(kept) == 50 - num_removed(50, ratio)
    assert suspicion[kept].max() <= np.delete(suspicion, kept).min(initial=1.0)


def test_a_ratio_of_floats_drops_what_it_says() -> None:
    # As int(n * (1 - ratio)) kept, 0.9 of 10 would leave none instead of one.
    assert num_removed(10, 0.9) == 9
    assert num_removed(50_000, 0.15) == 7500


@pytest.mark.parametrize("ratio", [1.0, -0.1, 1.5, float("nan")])
def test_a_ratio_outside_its_range_is_refused(ratio: float) -> None:
    with pytest.raises(ConfigError, match="remove_ratio"):
        num_removed(10, ratio)


def test_a_ratio_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="all 2"):
        num_removed(2, 0.9)


def test_nan_cannot_be_ranked() -> None:
    with pytest.raises(DynamicsError, match="NaN"):
        Ranking(np.arange(2), np.array([0.1, np.nan]))
