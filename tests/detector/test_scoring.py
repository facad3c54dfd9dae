"""The scores of a run do not depend on how many processors compute them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tdctl.detector import load_detector, scoring
from tdctl.detector.ranks import mid_ranks
from tdctl.dynamics import TrainingDynamics


@pytest.fixture
def dynamics() -> TrainingDynamics:
    """1,500 samples of 3 classes, 4 epochs."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(1500, 4, 3)) * 2
    probs = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    return TrainingDynamics.of(probs, rng.integers(0, 3, 1500))


@pytest.mark.parametrize("name", ["builtin", "builtin:paper"])
def test_processors_together_give_the_bits_of_one(
    monkeypatch: pytest.MonkeyPatch, dynamics: TrainingDynamics, name: str
) -> None:
    detector = load_detector(Path(name))
    monkeypatch.setattr(scoring, "SLAB", 1)  # slabs of one batch: six of them
    used = []

    def workers(number: int) -> None:
        monkeypatch.setattr(scoring, "_workers", lambda device, slabs: used.append(slabs) or number)

    workers(1)
    alone = detector.score(dynamics)
    workers(3)
    together = detector.score(dynamics)
    assert used == [6, 6]
    assert len(np.unique(alone)) > 1000 and np.array_equal(alone, together)


def test_the_users_number_of_threads_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    device = scoring.torch.device("cpu")
    monkeypatch.setattr(scoring, "own_processors", lambda: 64)
    monkeypatch.setattr(scoring.torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(scoring, "threads_are_asked", lambda: True)
    assert scoring._workers(device, 100) == 1
    monkeypatch.setattr(scoring, "threads_are_asked", lambda: False)
    assert scoring._workers(device, 100) == scoring.MOST_SLABS
    assert scoring._workers(device, 3) == 3
    assert scoring._workers(scoring.torch.device("cuda"), 100) == 1


def test_ranks_within_a_class_are_those_of_the_class_alone() -> None:
    rng = np.random.default_rng(1)
    values, groups = rng.integers(0, 50, 1000).astype(np.float32), rng.integers(0, 7, 1000)
    ranks = mid_ranks(values, groups.astype(np.int16))
    for group in range(7):
        rows = groups == group
        assert np.array_equal(ranks[rows], mid_ranks(values[rows]))
