"""How common a sample's pair of classes is in the run: against a written-out loop, and in sense."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import dynamics_of, kept

from tdctl.detector.class_pairs import pair_numbers
from tdctl.dynamics import TrainingDynamics


def written_out_pairs(dynamics: TrainingDynamics) -> list[dict[str, float]]:
    mean = np.asarray(dynamics.td).astype(np.float64).mean(axis=1)
    labels = np.asarray(dynamics.labels).astype(int)
    n, k = mean.shape
    of = [[i for i in range(n) if labels[i, 0] == c] for c in range(k)]
    sure = [np.mean([mean[i, 0] for i in of[c]]) for c in range(k)]
    own = [mean[i, 0] / sure[labels[i, 0]] for i in range(n)]
    rival = [mean[i, 1] / sure[labels[i, 1]] for i in range(n)]
    taken = [i for i in range(n) if rival[i] >= 1 and rival[i] > own[i]]
    assert 2 < len(taken) < n - 2

    margin = np.asarray(dynamics.margin).astype(np.float64).mean(axis=1)
    worst = sorted(range(n), key=lambda i: margin[i])[: max(n // 10, len(taken))]

    def expected(among: list[int], g: int) -> float:
        return len(among) / n * len(of[g]) / (k - 1)

    def even(among: list[int]) -> float:
        excess, squares = 0.0, 0.0
        for g, s in itertools.permutations(range(k), 2):
            count = sum((labels[j, 0], labels[j, 1]) == (g, s) for j in among)
            excess += (count - expected(among, g)) ** 2 - count
            squares += expected(among, g) ** 2
        least = squares + (2 * squares + len(among)) ** 0.5
        return float(least / (least + max(excess, 0)))

    def ratio(among: list[int], g: int, s: int, without: int) -> float:
        count = sum((labels[j, 0], labels[j, 1]) == (g, s) for j in among if j != without)
        variance = (1 - even(among)) / even(among)
        if variance == 0:
            return float(np.log(2))
        return float(np.log(1 + (1 / variance + count) / (1 / variance + expected(among, g))))

    return [
        {
            "pair": ratio(taken, g, s, i),
            "pair-back": ratio(taken, s, g, -1),
            "worst-pair": ratio(worst, g, s, i),
            "worst-pair-back": ratio(worst, s, g, -1),
            "evenness": even(sorted(range(n), key=lambda i: margin[i])[: n // 5]),
        }
        for i, (g, s) in enumerate(labels[:, :2])
    ]


def test_pairs_are_those_of_a_written_out_loop(tmp_path: Path) -> None:
    dynamics = dynamics_of(tmp_path, n=40, epochs=7)
    found, expected = pair_numbers(dynamics), written_out_pairs(dynamics)
    for name, values in found.items():
        assert values.dtype == np.float32
        assert values == pytest.approx([one[name] for one in expected], abs=1e-5), name
    assert set(found) == set(expected[0])


def test_a_pair_that_is_often_confused_in_one_direction_stands_out(tmp_path: Path) -> None:
    dynamics = dynamics_of(tmp_path, n=60, epochs=6)
    labels, td = np.array(dynamics.labels), np.array(dynamics.td)
    # Every third sample of class 0 looks like class 1 most, and no other sample like another.
    labels[:, 0], td[:, :, 0], td[:, :, 1:] = np.arange(60) % 5, 0.9, 0.1 / 4
    for row in range(60):
        labels[row, 1:] = [c for c in (1, 0, 2, 3, 4) if c != row % 5]
    like_1 = np.flatnonzero(labels[:, 0] == 0)[::3]
    td[like_1, :, 0], td[like_1, :, 1] = 0.02, 0.95
    found = pair_numbers(replace(dynamics, labels=labels, td=td, margin=None))
    forth, back = found["pair"], found["pair-back"]
    assert forth[like_1] == pytest.approx(forth[like_1][0]) and forth[like_1][0] > np.log(1 + 5)
    # Expected of 4 among 60 is a fifth for each of twenty pairs; the others have none.
    rest = np.delete(forth, np.flatnonzero(labels[:, 0] == 0))
    assert max(rest.max(), back[like_1].max()) < np.log(2)


def test_evenness_tells_labels_wrong_in_one_way_from_labels_wrong_in_all(tmp_path: Path) -> None:
    dynamics = dynamics_of(tmp_path, n=200, epochs=6)
    labels, td = np.array(dynamics.labels), np.array(dynamics.td)
    k = labels.shape[1]
    wrong = np.arange(200) % 4 == 0
    td[:, :, 0] = np.where(wrong, 0.02, 0.9)[:, None]
    td[:, :, 1] = np.where(wrong, 0.95, 0.08)[:, None]
    td[:, :, 2:] = 0.01
    found = []
    for away in (np.ones(200, int), 1 + np.random.default_rng(0).integers(0, k - 1, 200)):
        labels[:, 1] = (labels[:, 0] + away) % k
        even = pair_numbers(replace(dynamics, labels=labels, td=td, margin=None))["evenness"]
        assert np.ptp(even) == 0
        found.append(even[0])
    assert found[0] < 0.4 and found[1] > 0.8
    # Nothing is taken for another class: no pair is more common than another.
    td[:, :, 0], td[:, :, 1:] = 0.9, 0.01
    none = pair_numbers(replace(dynamics, labels=labels, td=td, margin=None))
    assert none["pair"] == pytest.approx(np.log(2)) == none["pair-back"]


def test_pairs_of_smaller_stores_are_those_of_the_whole(tmp_path: Path) -> None:
    full = dynamics_of(tmp_path, n=40, epochs=6)
    means = np.asarray(full.td).astype(np.float64).mean(axis=1)
    order = np.argsort(-means, axis=1, kind="stable")[:, :2]
    classes = np.take_along_axis(np.asarray(full.labels), order, axis=1)
    largest = np.take_along_axis(means, order, axis=1)
    small = pair_numbers(replace(kept(full, 1), mean=largest, mean_class=classes))
    for name, whole in pair_numbers(full).items():
        assert np.array_equal(small[name], whole)
