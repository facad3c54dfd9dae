"""The vote of the nearest neighbours, and the distance to the class's centre."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tdctl.errors import DynamicsError
from tdctl.scores import centre_distance, knn_vote, on_features
from tdctl.scores.on_features import nearest
from tests.vectors_made import cloud


@pytest.mark.parametrize("score", [knn_vote, centre_distance])
def test_planted_errors_come_first(score: object) -> None:
    made = cloud()
    suspicion = score(made.values, made.given)  # type: ignore[operator]
    worst = np.argsort(-suspicion)[: made.flipped.sum()]
    assert set(worst) == set(np.flatnonzero(made.flipped))


def test_a_large_class_does_not_outvote_a_small_one() -> None:
    rng = np.random.default_rng(0)
    # Ten of class 1 lie among a hundred of class 0, and all of them equally near.
    given = np.array([0] * 100 + [1] * 10)
    values = rng.standard_normal((110, 3)).astype(np.float32)
    suspicion = knn_vote(values, given, neighbours=109)
    # Without the correction the small class would get a share of 9 of 109.
    assert suspicion[given == 1].mean() < 0.6


def test_a_row_is_no_neighbour_of_itself() -> None:
    made = cloud(n=40)
    found = nearest(made.values, 5)
    assert not (found == np.arange(40)[:, None]).any()
    assert all(len(set(row)) == 5 for row in found.tolist())


def test_neighbours_sought_in_cells_are_nearly_the_exact_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = cloud(n=3000, d=12, k=10, spread=1.0)
    exact = nearest(made.values, 10)
    monkeypatch.setattr(on_features, "EXACT", 1000)
    found = nearest(made.values, 10)
    assert not (found == np.arange(3000)[:, None]).any()
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, found, strict=True)])
    assert recall > 0.7


def test_vectors_in_a_file_give_the_same(tmp_path: Path) -> None:
    made = cloud()
    np.save(tmp_path / "a.npy", made.values)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert np.array_equal(knn_vote(made.values, made.given), knn_vote(mapped, made.given))
    same = centre_distance(made.values, made.given) == centre_distance(mapped, made.given)
    assert same.all()


def test_what_does_not_fit_is_refused() -> None:
    made = cloud(n=24)
    with pytest.raises(DynamicsError, match="expected \\[n, d\\]"):
        knn_vote(made.values, made.given[:-1])
    with pytest.raises(DynamicsError, match="expected 1 to 23"):
        knn_vote(made.values, made.given, neighbours=24)
    with pytest.raises(DynamicsError, match="from 0 to 1"):
        centre_distance(made.values, made.given, num_classes=2)
