from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tdctl.errors import ConfigError, DynamicsError
from tdctl.ranking import Ranking, num_kept, num_removed


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
    with pytest.raises(ConfigError, match="is outside"):
        num_removed(10, ratio)


def test_a_ratio_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="of 2 samples is all of them"):
        num_removed(2, 0.9)


def test_nan_cannot_be_ranked() -> None:
    with pytest.raises(DynamicsError, match="NaN"):
        Ranking(np.arange(2), np.array([0.1, np.nan]))


floors = st.one_of(st.floats(0, 0.99), st.integers(1, 30).map(float))


@given(seed=st.integers(0, 1000), ratio=st.floats(0, 0.95), floor=floors)
def test_a_floor_per_class_holds_and_within_a_class_the_worst_go_first(
    seed: int, ratio: float, floor: float
) -> None:
    rng = np.random.default_rng(seed)
    classes = np.minimum(rng.geometric(0.4, 60), 6) * 7
    ranking = Ranking(rng.permutation(60), rng.integers(0, 8, 60) / 7)
    keep = ranking.kept(ratio, classes, floor)
    without = ranking.kept(ratio)
    assert not (~keep & without).any(), "only what would go without a floor goes"
    order = ranking.worst_first()
    for label in np.unique(classes):
        rows = order[classes[order] == label]
        least = num_kept(np.array([len(rows)]), floor)[0]
        left = int(keep[rows].sum())
        assert left >= least
        assert left == max(least, int(without[rows].sum())), "no more is kept than the floor asks"
        assert not keep[rows[: len(rows) - left]].any(), "the worst of the class went"


def test_a_rare_class_is_not_emptied() -> None:
    suspicion = np.array([0.9, 0.8, 0.7, 0.1, 0.2, 0.3, 0.4, 0.5])
    classes = np.array([1, 1, 0, 0, 0, 0, 0, 0])
    ranking = Ranking(np.arange(8), suspicion)
    assert ranking.kept(0.375).tolist() == [False] * 3 + [True] * 5
    assert ranking.kept(0.375, classes, 0.5).tolist() == [False, True, False] + [True] * 5
    assert ranking.kept(0.375, classes, 2).tolist() == [True, True, False] + [True] * 5


def test_a_floor_is_a_share_rounded_up_or_a_number() -> None:
    sizes = np.array([10, 3, 1])
    assert num_kept(sizes, 0.7).tolist() == [7, 3, 1]
    assert num_kept(sizes, 0.5).tolist() == [5, 2, 1]
    assert num_kept(sizes, 2.0).tolist() == [2, 2, 1]
    assert num_kept(sizes, 0.0).tolist() == [0, 0, 0]


@pytest.mark.parametrize("floor", [-0.1, 1.5, float("nan"), float("inf")])
def test_a_floor_that_is_none_is_refused(floor: float) -> None:
    with pytest.raises(ConfigError, match="keep_per_class"):
        Ranking(np.arange(3), np.arange(3.0)).kept(0.3, np.zeros(3, np.int64), floor)


def test_a_floor_beyond_all_numbers_keeps_all() -> None:
    sizes = np.array([3, 0, 5])
    assert num_kept(sizes, 1e30).tolist() == [3, 0, 5] == num_kept(sizes, 8).tolist()
    assert num_kept(sizes, 4).tolist() == [3, 0, 4]


def test_a_floor_needs_the_given_labels() -> None:
    with pytest.raises(DynamicsError, match="given labels"):
        Ranking(np.arange(3), np.arange(3.0)).kept(0.3, keep_per_class=0.5)
