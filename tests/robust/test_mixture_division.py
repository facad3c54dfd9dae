"""Divisions by losses, selections by neighbours, and the batches that follow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tdctl.robust.batches import beta_shares, paired_batches
from tdctl.robust.mixture import Division, divide, normalised, with_floor
from tdctl.robust.selection import (
    balanced_order,
    consistency,
    default_neighbours,
    relabelled,
    votes,
)

Floats = NDArray[np.float64]


def two_heaps(right: int = 140, wrong: int = 60) -> Floats:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(0.4, 0.1, right), rng.normal(2.5, 0.3, wrong)])


def written_out(x: Floats) -> Floats:
    """Probability of the lower component: two means, then ten rounds of EM."""
    low, high = float(x.min()), float(x.max())
    for _ in range(100):
        upper = np.abs(x - high) < np.abs(x - low)
        low, high = float(x[~upper].mean()), float(x[upper].mean())
    p = np.stack([~upper, upper], axis=1).astype(float)
    bound = -np.inf
    for _ in range(10):
        count = p.sum(axis=0)
        mean = (p * x[:, None]).sum(axis=0) / count
        variance = (p * (x[:, None] - mean) ** 2).sum(axis=0) / count + 5e-4
        density = (
            np.log(count / len(x))
            - 0.5 * np.log(2 * np.pi * variance)
            - (x[:, None] - mean) ** 2 / (2 * variance)
        )
        total = np.logaddexp(density[:, 0], density[:, 1])
        p = np.exp(density - total[:, None])
        before, bound = bound, float(total.mean())
        if abs(bound - before) < 1e-2:
            break
    return p[:, 0]


def test_a_division_is_as_written_out() -> None:
    losses = two_heaps()
    found = divide(losses, 0.5, None)
    x = (losses - losses.min()) / (losses.max() - losses.min())
    np.testing.assert_allclose(normalised(losses), x)
    assert found.kept_before is None
    assert np.abs(found.clean - written_out(x)).max() < 0.01
    assert found.labelled.tolist() == [True] * 140 + [False] * 60


@pytest.mark.parametrize(
    ("losses", "why"),
    [
        (np.full(50, 0.7), "equal"),
        (two_heaps(197, 3), "98.5%"),
        (two_heaps(6, 194), "3.0%"),
    ],
)
def test_a_division_that_says_nothing_leaves_the_one_before(losses: Floats, why: str) -> None:
    n = len(losses)
    before = Division(np.linspace(0, 1, n), np.arange(n) % 3 == 0)
    found = divide(losses, 0.5, before)
    assert found.kept_before is not None
    assert found.labelled is before.labelled and found.clean is before.clean
    first = divide(losses, 0.5, None)
    assert first.labelled.all() and (first.clean == 1).all()
    assert why in found.kept_before


def test_components_that_lie_too_close_leave_the_division_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    losses = two_heaps()
    before = Division.of_all(len(losses))
    assert divide(losses, 0.5, before).kept_before is None
    # The two heaps lie 0.7 of the span apart.
    monkeypatch.setattr("tdctl.robust.mixture.APART", 0.8)
    found = divide(losses, 0.5, before)
    assert "of the range of losses apart" in str(found.kept_before) and found.labelled.all()


def test_a_class_never_falls_below_its_floor() -> None:
    labels = np.repeat([0, 1, 2], 20)
    certainty = np.tile(np.linspace(0, 1, 20), 3)
    kept = labels == 0
    found = with_floor(kept, certainty, labels, 0.1)
    assert [int(found[labels == label].sum()) for label in range(3)] == [20, 2, 2]
    assert found[[38, 39]].all()
    assert (with_floor(kept, certainty, labels, 0) == kept).all()


def test_ssr_relabels_what_it_is_sure_of() -> None:
    p = torch.tensor([[0.95, 0.05], [0.85, 0.15], [0.2, 0.8]])
    assert relabelled(p, torch.tensor([1, 1, 1]), 0.9).tolist() == [0, 1, 1]


@pytest.mark.parametrize("references", [1000, 25])
def test_votes_are_as_written_out(references: int) -> None:
    rng = np.random.default_rng(1)
    n, k, neighbours = 60, 3, 7
    labels = rng.choice(k, n, p=[0.6, 0.3, 0.1])
    features = rng.normal(size=(n, 4)) + 2 * np.eye(4)[labels]
    found = votes(
        torch.from_numpy(features), torch.from_numpy(labels), neighbours, k, references=references
    ).numpy()
    if references < n:
        assert found.shape == (n, k) and (found >= 0).all()
        return
    centred = features - features.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    cosine = centred @ centred.T
    np.fill_diagonal(cosine, -np.inf)
    share = np.bincount(labels, minlength=k) / n
    expected = np.zeros((n, k))
    for row in range(n):
        nearest = np.argsort(-cosine[row])[:neighbours]
        expected[row] = np.bincount(labels[nearest], minlength=k) / share
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    kept = consistency(torch.from_numpy(found), torch.from_numpy(labels)).numpy() >= 1
    own = expected[np.arange(n), labels]
    assert (kept == (own >= expected.max(axis=1) * (1 - 1e-6))).all()
    assert 0.3 < kept.mean() < 1


def test_neighbours_of_small_data_are_few() -> None:
    assert default_neighbours(50_000, 10) == 200
    assert default_neighbours(3000, 10) == 150
    assert default_neighbours(40, 2) == 10
    assert default_neighbours(2, 2) == 1


def test_balanced_batches_have_as_many_of_each_label() -> None:
    labels = np.array([0] * 50 + [1] * 7 + [2] * 3 + [3] * 40)
    rows = np.flatnonzero(labels < 3)
    order = balanced_order(labels, rows, 100, np.random.default_rng(0))
    counts = np.bincount(labels[order], minlength=4)
    assert sorted(counts[:3]) == [33, 33, 34] and counts[3] == 0
    times = np.bincount(order, minlength=100)
    for label in range(3):
        assert np.ptp(times[labels == label]) <= 1


@pytest.mark.parametrize(
    ("labelled", "unlabelled", "steps"),
    [(33, 10, 4), (8, 100, 1), (16, 0, 2), (0, 20, 3), (1, 30, 1), (17, 1, 2), (1, 1, 1)],
)
def test_pairs_of_batches(labelled: int, unlabelled: int, steps: int) -> None:
    chosen = np.arange(labelled + unlabelled) < labelled
    batches = paired_batches(chosen, 8, torch.Generator().manual_seed(0))
    assert len(batches) == steps
    first = torch.cat([rows for rows, _ in batches]).tolist()
    assert sorted(first) == list(range(labelled))  # each labelled image once
    for rows, rest in batches:
        assert len(rows) + len(rest) > 0
        assert chosen[rows.numpy()].all() and not chosen[rest.numpy()].any()
        assert len(set(rest.tolist())) == len(rest)
        if labelled and unlabelled:
            assert len(rest) == min(8, unlabelled)


def test_shares_keep_the_larger_part() -> None:
    shares = beta_shares(np.random.default_rng(0), 4.0, 500)
    assert shares.min() >= 0.5 and 0.6 < shares.mean() < 0.7
    assert (beta_shares(np.random.default_rng(0), 0.0, 3) == 1).all()
