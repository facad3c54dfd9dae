"""Scores against the packages that others publish, on the same arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_run, planted_labels
from sklearn.metrics import roc_auc_score

from tdctl.dynamics import TrainingDynamics, read_run
from tdctl.errors import ConfigError, DynamicsError
from tdctl.labels import Labels
from tdctl.recorder import RunRecorder
from tdctl.scores import SCORES, issue_rank, label_quality, pred_probs, score

CLEANLAB = [name for name in SCORES if name.startswith("cl-")]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingDynamics, Labels]:
    run = make_run(tmp_path_factory.mktemp("planted") / "r", n=200, classes=5, epochs=12)
    return read_run(run)[:2]


def test_aum_is_that_of_its_package(tmp_path: Path) -> None:
    aum = pytest.importorskip("aum")
    generator, labels, k = torch.Generator().manual_seed(0), planted_labels(50, 4), 4
    recorder = RunRecorder.create(tmp_path / "r", labels, k, epochs=6)
    theirs = aum.AUMCalculator(str(tmp_path), compressed=True)
    given = torch.from_numpy(labels.assigned)
    for epoch in range(6):
        logits = 5 * torch.randn(len(labels), k, generator=generator)
        recorder.record(torch.from_numpy(labels.index), logits)
        recorder.commit(epoch)
        records = theirs.update(logits, given, labels.index.tolist())
    recorder.finish()
    ours = score(read_run(tmp_path / "r")[0], "aum")
    expected = [-records[index].aum for index in labels.index.tolist()]
    assert np.allclose(ours, expected, rtol=0, atol=1e-5)


def test_pred_probs_have_a_column_for_each_class(
    planted: tuple[TrainingDynamics, Labels],
) -> None:
    dynamics, _ = planted
    mean, last = pred_probs(dynamics), pred_probs(dynamics, last=True)
    for row in (0, 17, 199):
        for column, label in enumerate(np.asarray(dynamics.labels)[row]):
            curve = np.asarray(dynamics.td)[row, :, column].astype(np.float64)
            assert mean[row, label] == pytest.approx(curve.mean(), abs=1e-6)
            assert last[row, label] == curve[-1]
    assert np.allclose(mean.sum(axis=1), 1, atol=2e-3)


@pytest.mark.parametrize("name", CLEANLAB)
def test_planted_flips_rank_high_by_cleanlab(
    planted: tuple[TrainingDynamics, Labels], name: str
) -> None:
    pytest.importorskip("cleanlab")
    dynamics, labels = planted
    found = score(dynamics, name)
    assert roc_auc_score(labels.flipped, found) > 0.6
    assert found.min() >= 0 and found.max() <= 1
    order = np.random.default_rng(1).permutation(len(dynamics))
    assert np.allclose(score(dynamics.take(order), name), found[order], atol=1e-6)


def test_margin_and_self_confidence_are_cleanlabs(
    planted: tuple[TrainingDynamics, Labels],
) -> None:
    rank = pytest.importorskip("cleanlab.rank")
    dynamics, labels = planted
    for last, suffix in ((False, ""), (True, "-last")):
        probs = pred_probs(dynamics, last)
        for method, name in (
            ("normalized_margin", "cl-margin"),
            ("self_confidence", "cl-self-confidence"),
        ):
            theirs = rank.get_label_quality_scores(labels.assigned, probs, method=method)
            ours = score(dynamics, name + suffix)
            # The alias of p-mean and p-last is moved by one.
            offset = 1.0 if name == "cl-self-confidence" else 0.0
            assert np.allclose(ours + offset, 1 - theirs, atol=1e-6), name + suffix


def written_out(probs: np.ndarray[Any, Any], given: np.ndarray[Any, Any]) -> list[bool]:
    """Confident learning in a loop: what the docstring says an issue is."""
    k = probs.shape[1]
    threshold = [probs[given == c, c].mean() for c in range(k)]
    issues = []
    for row, label in zip(probs, given, strict=True):
        confident = [c for c in range(k) if row[c] >= threshold[c]]
        claims = max(confident, key=lambda c: row[c], default=label)
        issues.append(bool(claims != label and row.argmax() != label))
    return issues


def test_the_joint_ranks_cleanlabs_issues_first(planted: tuple[TrainingDynamics, Labels]) -> None:
    filters = pytest.importorskip("cleanlab.filter")
    dynamics, labels = planted
    probs = pred_probs(dynamics)
    issues = filters.find_label_issues(
        labels.assigned,
        probs,
        filter_by="confident_learning",
        return_indices_ranked_by="self_confidence",
        n_jobs=1,
    )
    found = score(dynamics, "cl-joint")
    assert 0 < len(issues) < len(labels)
    assert set(np.flatnonzero(found >= 0.5)) == set(issues)
    assert list(np.argsort(-found, kind="stable")[: len(issues)]) == list(issues)
    assert written_out(probs, labels.assigned) == list(found >= 0.5)


def test_probabilities_may_come_from_anywhere() -> None:
    pytest.importorskip("cleanlab")
    rng = np.random.default_rng(0)
    given = np.tile(np.arange(3, dtype=np.int16), 20)
    probs = rng.dirichlet(np.ones(3), 60)
    assert np.allclose(
        label_quality(probs, given, "self_confidence"), 1 - probs[np.arange(60), given]
    )
    assert issue_rank(probs, given).shape == (60,)
    for wrong, says in (
        ((probs[:5], given), "do not fit"),
        ((probs[:, :2], given), "labels 0 to 2 and 2 columns"),
        ((np.where(probs > 0.9, np.nan, probs), given), "NaN or values outside"),
        ((probs * 1.5, given), "NaN or values outside"),
    ):
        with pytest.raises(DynamicsError, match=says):
            label_quality(*wrong, "normalized_margin")
    with pytest.raises(DynamicsError, match="two classes"):
        issue_rank(probs, np.zeros(60, np.int64))


def test_one_given_label_has_no_confident_joint(planted: tuple[TrainingDynamics, Labels]) -> None:
    pytest.importorskip("cleanlab")
    dynamics, labels = planted
    alone = dynamics.take(np.flatnonzero(labels.assigned == 2))
    assert len(CLEANLAB) > 3
    for name in CLEANLAB:
        with pytest.raises(DynamicsError, match="all given labels are the same"):
            score(alone, name)


def test_without_cleanlab_one_line_says_what_to_install(
    planted: tuple[TrainingDynamics, Labels], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tdctl.scores.confident.find_spec", lambda name: None)
    dynamics, labels = planted
    hint = r"needs the package cleanlab; pip install 'tdctl\[cleanlab\]'"
    for name in CLEANLAB:
        with pytest.raises(DynamicsError, match=hint):
            score(dynamics, name)
    with pytest.raises(ConfigError, match=hint):
        label_quality(pred_probs(dynamics), labels.assigned, "self_confidence")
    assert score(dynamics, "cl-self-confidence").shape == (200,)


def test_the_joint_of_very_many_classes_is_refused_before_it_takes_the_memory() -> None:
    pytest.importorskip("cleanlab")
    probs = np.zeros((2, 200_000), np.float32)  # the square of these would be 300 GB
    with pytest.raises(DynamicsError, match=r"200000 classes .*use cl-margin"):
        issue_rank(probs, np.array([0, 1]))
