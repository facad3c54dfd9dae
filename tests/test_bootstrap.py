from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from tdctl.bootstrap import FIGURES, judged
from tdctl.metrics import detection_metrics
from tdctl.ranking import Ranking


def some(n: int, seed: int, levels: int = 1000, rate: float = 0.2) -> tuple[Ranking, np.ndarray]:
    rng = np.random.default_rng(seed)
    flipped = rng.random(n) < rate
    flipped[:2] = [True, False]
    suspicion = np.round((rng.normal(0, 1, n) + 1.5 * flipped) * levels / 10)
    return Ranking(np.arange(n), suspicion), flipped


@given(seed=st.integers(0, 500), levels=st.sampled_from([2, 10, 1000]), n=st.integers(2, 150))
def test_the_figures_are_those_of_the_metrics(seed: int, levels: int, n: int) -> None:
    ranking, flipped = some(n, seed, levels)
    worst = ranking.worst_first()
    found = judged(ranking.suspicion, flipped, worst, resamples=0)
    metrics = detection_metrics(ranking.suspicion, flipped, worst)
    assert found is not None and list(found) == list(FIGURES)
    assert found["auc"].value == pytest.approx(metrics.auc)
    assert found["ap"].value == pytest.approx(metrics.ap)
    assert metrics.at_realised_rate is not None
    assert found["f1"].value == pytest.approx(metrics.at_realised_rate.f1)
    for name, share in (("top1", 0.01), ("top5", 0.05), ("top10", 0.1)):
        first = worst[: max(1, round(n * share))]
        assert found[name].value == pytest.approx(flipped[first].mean())
        assert found[name].low is None and found[name].high is None


def test_the_interval_is_that_of_resampled_rows() -> None:
    ranking, flipped = some(300, 0, levels=20)
    found = judged(ranking.suspicion, flipped, ranking.worst_first(), resamples=200, seed=7)
    rng = np.random.default_rng([7, 4])
    drawn = []
    for _ in range(200):
        rows = rng.integers(0, 300, 300)
        y, x = flipped[rows], ranking.suspicion[rows]
        # The order among equals is that of the index, as in the ranking.
        order = rows[np.lexsort((rows, -x))]
        drawn.append(
            [
                roc_auc_score(y, x),
                average_precision_score(y, x),
                flipped[order[: y.sum()]].mean(),
                *(flipped[order[:m]].mean() for m in (3, 15, 30)),
            ]
        )
    low, high = np.quantile(np.array(drawn), (0.025, 0.975), axis=0)
    assert found is not None
    assert [found[name].low for name in FIGURES] == pytest.approx(low.tolist())
    assert [found[name].high for name in FIGURES] == pytest.approx(high.tolist())


def test_a_seed_repeats_and_another_differs() -> None:
    ranking, flipped = some(100, 0)
    worst = ranking.worst_first()
    first, second, other = (
        judged(ranking.suspicion, flipped, worst, seed=seed) for seed in (1, 1, 2)
    )
    assert first == second != other


@pytest.mark.parametrize("flipped", [[False] * 3, [True] * 3])
def test_without_both_kinds_there_are_no_figures(flipped: list[bool]) -> None:
    assert judged(np.arange(3.0), np.array(flipped), np.array([2, 1, 0])) is None


def test_resamples_without_a_flip_count_for_nothing() -> None:
    # One flip in two rows: a quarter of the resamples draw it never, a quarter only it.
    found = judged(np.array([1.0, 0.0]), np.array([True, False]), np.array([0, 1]), resamples=50)
    assert found is not None
    assert (found["auc"].low, found["auc"].high) == (1.0, 1.0)


def test_two_hundred_resamples_of_a_large_run_take_seconds() -> None:
    ranking, flipped = some(50_000, 0)
    start = time.process_time()
    judged(ranking.suspicion, flipped, ranking.worst_first())
    assert time.process_time() - start < 15
