from __future__ import annotations

import numpy as np
import pytest

from tdctl.metrics import cut_at, detection_metrics


def test_a_perfect_ranking() -> None:
    suspicion = np.array([0.9, 0.1, 0.8, 0.2])
    flipped = np.array([True, False, True, False])
    metrics = detection_metrics(suspicion, flipped, np.array([0, 2, 3, 1]))
    assert metrics.auc == metrics.ap == 1.0
    assert metrics.at_half is not None and metrics.at_half.f1 == 1.0
    assert metrics.at_realised_rate is not None and metrics.at_realised_rate.flagged == 2
    assert metrics.realised_rate == 0.5


def test_the_reversed_ranking_is_below_chance() -> None:
    flipped = np.array([True, False, False, False])
    metrics = detection_metrics(np.array([0.1, 0.9, 0.8, 0.7]), flipped, np.array([1, 2, 3, 0]))
    assert metrics.auc == 0.0
    assert metrics.ap == 0.25
    assert metrics.at_half is not None
    assert metrics.at_half.precision == 0.0 and metrics.at_half.recall == 0.0


@pytest.mark.parametrize("flipped", [[False, False], [True, True]])
def test_undefined_is_none_not_zero(flipped: list[bool]) -> None:
    metrics = detection_metrics(np.array([0.1, 0.9]), np.array(flipped), np.array([1, 0]))
    assert set(metrics.to_dict().values()) == {None}


def test_precision_of_flagging_nothing_is_undefined() -> None:
    cut = cut_at(np.zeros(3, dtype=bool), np.array([True, False, False]))
    assert cut.precision is None and cut.recall == 0.0 and cut.f1 == 0.0
