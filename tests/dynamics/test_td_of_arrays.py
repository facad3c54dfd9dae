"""What a program of one's own gives to the library: arrays, folders and lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_run, planted_labels
from sklearn.metrics import average_precision_score, roc_auc_score

import tdctl
from tdctl.dynamics import TrainingDynamics, read_run
from tdctl.errors import DynamicsError
from tdctl.recorder import RunRecorder, logit_margin

N, EPOCHS, CLASSES = 40, 6, 5


def recorded_arrays(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(CLASSES), (N, EPOCHS)), rng.integers(0, CLASSES, N)


def test_dynamics_of_arrays_score_as_the_formula_says() -> None:
    probabilities, given = recorded_arrays()
    dynamics = TrainingDynamics.of(probabilities, given)
    own = probabilities[np.arange(N), :, given]
    others = probabilities.copy()
    others[np.arange(N), :, given] = -1
    expected = (others.max(axis=2) - own).mean(axis=1)
    assert tdctl.score(dynamics, "aum-softmax") == pytest.approx(expected, abs=2e-3)
    assert (dynamics.labels[:, 0] == given).all()
    assert (np.sort(dynamics.labels, axis=1) == np.arange(CLASSES)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, g: (p[:, 0], g), r"expected \[n, epochs, k\] and \[n\]"),
        (lambda p, g: (p, g[:-1]), r"expected \[n, epochs, k\] and \[n\]"),
        (lambda p, g: (p, g + CLASSES), "whole numbers from 0 to 4"),
        (lambda p, g: (p, g.astype(float)), "whole numbers from 0 to 4"),
        (lambda p, g: (np.log(p), g), "give the softmax, not logits"),
        (lambda p, g: (np.full_like(p, np.nan), g), "give the softmax, not logits"),
    ],
)
def test_arrays_that_are_no_dynamics_are_refused(change: object, message: str) -> None:
    probabilities, given = change(*recorded_arrays())  # type: ignore[operator]
    with pytest.raises(DynamicsError, match=message):
        TrainingDynamics.of(probabilities, given)


def test_margins_of_another_shape_are_refused() -> None:
    probabilities, given = recorded_arrays()
    with pytest.raises(DynamicsError, match=r"margin \(40, 5\); expected \(40, 6\)"):
        TrainingDynamics.of(probabilities, given, margin=np.zeros((N, EPOCHS - 1)))


def test_a_folder_is_scored_by_its_name(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    expected = tdctl.score(read_run(run)[0], "aum")
    assert (tdctl.score(run, "aum") == expected).all()
    assert (tdctl.score(str(run), "aum") == expected).all()


def test_metrics_need_no_order_of_the_rows() -> None:
    rng = np.random.default_rng(1)
    suspicion, flipped = rng.random(50), rng.random(50) < 0.3
    found = tdctl.detection_metrics(suspicion, flipped)
    assert found.auc == pytest.approx(roc_auc_score(flipped, suspicion))
    assert found.ap == pytest.approx(average_precision_score(flipped, suspicion))
    lists = tdctl.detection_metrics(suspicion.tolist(), flipped.tolist())
    assert lists == found and found.at_realised_rate is not None
    assert found.at_realised_rate.flagged == flipped.sum()
    with pytest.raises(ValueError, match="expected two arrays"):
        tdctl.detection_metrics(suspicion, flipped[:-1])


@pytest.mark.parametrize("store", ["full", "given", "topk:2"])
def test_the_recorder_writes_aums_margin(store: str, tmp_path: Path) -> None:
    labels = planted_labels(N, CLASSES)
    logits = torch.randn(N, CLASSES, generator=torch.Generator().manual_seed(0)) * 4
    recorder = RunRecorder.create(tmp_path, labels, CLASSES, 1, store=store)
    recorder.record(torch.from_numpy(labels.index), logits)
    recorder.commit(0)
    recorder.finish()
    expected = logit_margin(logits, torch.from_numpy(labels.assigned))
    written_out = [
        float(row[given] - max(v for c, v in enumerate(row.tolist()) if c != given))
        for row, given in zip(logits, labels.assigned, strict=True)
    ]
    assert expected.tolist() == pytest.approx(written_out, abs=1e-6)
    margin = read_run(tmp_path)[0].margin
    assert margin is not None
    assert np.asarray(margin[:, 0]) == pytest.approx(expected.numpy(), abs=1e-5)
