from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_published_run, make_run, planted_labels
from hypothesis import given
from hypothesis import strategies as st

from tdctl.cuts import (
    METHODS,
    above_threshold_samples,
    estimate_rate,
    joint_rate,
    mean_loss,
    mixture_rate,
    ratio_of,
)
from tdctl.dynamics import read_run
from tdctl.errors import ConfigError, DynamicsError
from tdctl.labels import Labels
from tdctl.recorder import RunRecorder
from tdctl.scores import pred_probs


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.45, 0.7, 0.9])
@pytest.mark.parametrize("narrow", [1.0, 0.1])
def test_a_mixture_of_two_normals_gives_its_upper_weight(rate: float, narrow: float) -> None:
    rng = np.random.default_rng(0)
    upper = rng.random(4000) < rate
    values = rng.normal(4.0 * upper, narrow)
    assert mixture_rate(values) == pytest.approx(upper.mean(), abs=0.02)


def test_one_normal_has_no_upper_component() -> None:
    assert all(mixture_rate(np.random.default_rng(s).normal(3, 2, 2000)) == 0 for s in range(8))


@given(scale=st.floats(0.01, 100), shift=st.floats(-100, 100))
def test_units_of_the_values_do_not_matter(scale: float, shift: float) -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(0, 1, 160), rng.normal(6, 1, 40)])
    assert mixture_rate(values * scale + shift) == pytest.approx(mixture_rate(values), abs=1e-3)


def test_a_million_values_are_no_more_work_than_ten_thousand() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 1, 30_000), rng.normal(6, 1, 10_000)])
    assert mixture_rate(values) == pytest.approx(0.25, abs=0.01)


# Seven times the fifth has a standard deviation of 6e-17.
@pytest.mark.parametrize("values", [[], [1.0], [2.0, 2.0, 2.0], [0.0] * 4, [0.1 + 0.2] * 7])
def test_values_that_are_all_alike_have_no_upper_component(values: list[float]) -> None:
    assert mixture_rate(np.array(values)) == 0.0


def test_two_values_and_ties_at_the_top_end_well() -> None:
    assert mixture_rate(np.array([0.0, 1.0])) == pytest.approx(0.5)
    assert mixture_rate(np.array([0.0] * 6 + [1.0] * 4)) == pytest.approx(0.4)


@pytest.mark.parametrize("method", ["mixture", "joint"])
def test_planted_flips_are_counted(tmp_path: Path, method: str) -> None:
    dynamics, labels, _ = read_run(make_run(tmp_path / "r", n=600))
    found = estimate_rate(
        method, dynamics, np.zeros(600), gives_probability=False, flipped=labels.flipped
    )
    assert found.realised == labels.flipped.mean()
    assert found.error == found.rate - labels.flipped.mean()
    assert abs(found.error) < 0.05


def test_the_sum_of_probabilities_is_a_rate_only_where_they_are_such(tmp_path: Path) -> None:
    dynamics, labels, _ = read_run(make_run(tmp_path / "r"))
    exact = labels.flipped.astype(np.float64)
    found = estimate_rate("sum", dynamics, exact, gives_probability=True, flipped=labels.flipped)
    assert found.error == 0.0
    with pytest.raises(ConfigError, match="give --detector"):
        estimate_rate("sum", dynamics, exact, gives_probability=False, flipped=labels.flipped)


def test_without_truth_there_is_an_estimate_and_no_error(tmp_path: Path) -> None:
    dynamics, _, _ = read_run(make_published_run(tmp_path / "r", planted_labels(80, 5)))
    found = estimate_rate(
        "mixture", dynamics, np.zeros(80), gives_probability=False, flipped=np.zeros(80, np.bool_)
    )
    assert 0 < found.rate < 1 and found.realised is None and found.error is None


def test_the_joint_is_that_of_cleanlab(tmp_path: Path) -> None:
    count = pytest.importorskip("cleanlab.count")
    dynamics, labels, _ = read_run(make_run(tmp_path / "r", n=400, seed=3))
    probs = pred_probs(dynamics)
    joint = count.estimate_joint(labels.assigned, probs)
    assert joint_rate(probs, labels.assigned) == pytest.approx(1 - np.trace(joint), abs=1e-9)


@pytest.mark.parametrize(("classes", "seed"), [(2, 0), (4, 1), (4, 2), (4, 3), (30, 4), (150, 5)])
def test_the_joint_is_the_papers_formula(classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(classes, 0.3), size=200)
    # Labels that the network mostly believes in: then it is confident of some samples alone.
    given_labels = np.array([rng.choice(classes, p=row) for row in probs])
    least = {c: probs[given_labels == c, c].mean() for c in set(given_labels.tolist())}
    counts = np.zeros((classes, classes))
    for row, label in zip(probs, given_labels, strict=True):
        confident = {c: row[c] for c in least if row[c] >= least[c] - 1e-6}
        if confident:
            counts[label, max(confident, key=lambda c: confident[c])] += 1
    sizes = np.bincount(given_labels, minlength=classes)
    rows = sizes > 0
    joint = counts[rows] / counts[rows].sum(axis=1, keepdims=True) * sizes[rows, None]
    wrong = 1 - sum(joint[at, c] for at, c in enumerate(np.flatnonzero(rows))) / 200
    assert joint_rate(probs, given_labels) == pytest.approx(wrong)


def test_the_joint_of_many_classes_takes_no_square_of_them() -> None:
    probs = np.zeros((3, 200_000), np.float16)  # the square of these would be 300 GB
    probs[[0, 1, 2], [0, 1, 1]] = 1
    assert joint_rate(probs, np.array([0, 1, 0])) == pytest.approx(1 / 3)


def test_many_classes_with_small_probabilities_are_told_apart(tmp_path: Path) -> None:
    """At 20,000 classes even a right label's probability stays below 0.001 for a while."""
    index, wrong = np.arange(400), np.arange(400) % 5 == 0
    labels = index * 40
    recorder = RunRecorder.create(
        tmp_path, Labels(index, labels, labels), num_classes=20_000, epochs=2, store="given"
    )
    for epoch in range(2):
        logits = torch.zeros(400, 20_000)
        logits[index, labels] = torch.where(torch.from_numpy(wrong), 0.0, 2.0)
        recorder.record(torch.from_numpy(index), logits)
        recorder.commit(epoch)
    recorder.finish()
    dynamics, _, _ = read_run(tmp_path)
    assert dynamics.given_curve().max() < 1e-3
    assert mixture_rate(mean_loss(dynamics)) == pytest.approx(0.2)


def test_a_class_without_samples_is_never_predicted() -> None:
    probs = np.array([[0.6, 0.1, 0.3], [0.1, 0.6, 0.3], [0.0, 0.1, 0.9]])
    assert joint_rate(probs, np.array([0, 1, 1])) == 0.0


def test_the_joint_refuses_what_does_not_fit() -> None:
    with pytest.raises(DynamicsError, match="expected a column for each class"):
        joint_rate(np.ones((2, 2)) / 2, np.array([0, 2]))
    with pytest.raises(DynamicsError, match="do not fit"):
        joint_rate(np.ones((2, 2)) / 2, np.array([0, 1, 1]))
    with pytest.raises(DynamicsError, match="NaN"):
        joint_rate(np.full((2, 2), np.nan), np.array([0, 1]))


def test_the_mean_loss_is_bounded_where_float16_rounds_to_zero(tmp_path: Path) -> None:
    dynamics, _, _ = read_run(make_run(tmp_path / "r"))
    loss = mean_loss(dynamics)
    given_curve = dynamics.given_curve().astype(np.float64)
    assert loss == pytest.approx(-np.log(np.maximum(given_curve, 1e-3)).mean(axis=1))
    assert loss.max() <= 6.91


def test_samples_above_nearly_all_threshold_samples_are_flagged() -> None:
    # AUM from 0 to 199; the threshold samples are the even ones below 200.
    suspicion = -np.arange(200.0)
    threshold = np.zeros(200, np.bool_)
    threshold[:100:2] = True
    flagged = above_threshold_samples(suspicion, threshold)
    limit = np.percentile(-suspicion[threshold], 99)
    assert np.array_equal(flagged, (-suspicion < limit) & ~threshold)
    assert flagged.sum() == 49
    assert above_threshold_samples(suspicion, threshold, 50).sum() < flagged.sum()


@pytest.mark.parametrize(
    ("suspicion", "threshold", "says"),
    [
        ([1.0, 2.0], [True], "expected one of each"),
        ([1.0, 2.0], [True, True], "none or all"),
        ([1.0, 2.0], [False, False], "none or all"),
        ([1.0, np.nan], [True, False], "NaN"),
    ],
)
def test_threshold_samples_that_decide_nothing_are_refused(
    suspicion: list[float], threshold: list[bool], says: str
) -> None:
    with pytest.raises(DynamicsError, match=says):
        above_threshold_samples(np.array(suspicion), np.array(threshold))


def test_what_may_stand_for_a_ratio() -> None:
    assert ratio_of(0.2) == 0.2 and ratio_of("0.2") == 0.2
    assert ratio_of("auto") == "combined"
    assert [ratio_of(f"auto:{name}") for name in METHODS] == list(METHODS)
    for text in ("auto:", "auto:none", "mixture", "20%", ""):
        with pytest.raises(ConfigError, match="auto:mixture"):
            ratio_of(text)
