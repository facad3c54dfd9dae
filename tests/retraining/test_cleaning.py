"""What is done with flagged samples: which options go together, and what each gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import make_run
from hypothesis import given
from hypothesis import strategies as st

from tdctl.dynamics import read_run
from tdctl.errors import ConfigError, DynamicsError
from tdctl.labels import Labels
from tdctl.rankers import DetectResult
from tdctl.retraining.cleaning import Cleaning, check_cleaning, cleaned, p_mislabeled
from tdctl.runner import detect
from tdctl.scores import find_score


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> DetectResult:
    """120 planted samples, a quarter of them wrong, ranked by a score."""
    return detect(make_run(tmp_path_factory.mktemp("runs") / "r"), find_score("aum"), cut=0.25)


def flagged(ranked: DetectResult) -> np.ndarray:
    assert ranked.flagged is not None
    return ranked.flagged.rows


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"action": "burn"}, "action: 'burn' is unknown; use one of prune, relabel, reweight"),
        ({"confidence_floor": 0.5}, "--confidence-floor: only --action relabel uses it"),
        ({"action": "reweight", "below": "keep"}, "--below: only --action relabel uses it"),
        ({"relabel_by": "truth"}, "--relabel-by: only --action relabel uses it"),
        ({"action": "relabel", "relabel_by": "votes"}, "use one of mean-softmax, retrained, truth"),
        ({"action": "relabel", "confidence_floor": 1.5}, r"1.5 is outside \[0, 1\]"),
        ({"action": "relabel", "confidence_floor": float("nan")}, r"outside \[0, 1\]"),
        ({"action": "relabel", "below": "burn"}, "below: 'burn' is unknown; use one of drop, keep"),
        (
            {"action": "relabel", "relabel_by": "truth", "confidence_floor": 0.5},
            "--confidence-floor: true labels have no confidence",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Cleaning(**options)


def test_each_way_has_its_own_floor_and_folder() -> None:
    names = {
        Cleaning("relabel", by, floor).with_floor([]).suffix
        for by in ("mean-softmax", "retrained")
        for floor in (None, 0.5)
    }
    assert len(names) == 4 and Cleaning().suffix == ""
    assert Cleaning("relabel").with_floor([]).facts() == {
        "action": "relabel",
        "relabel_by": "mean-softmax",
        "confidence_floor": 0.4,
        "below": "drop",
    }
    assert Cleaning("relabel", "retrained").with_floor([]).confidence_floor == 0.9
    for unchanged in (Cleaning(), Cleaning("relabel", "truth"), Cleaning("relabel", None, 0.2)):
        assert unchanged.with_floor([]) == unchanged


def test_predictions_for_samples_that_were_left_out_need_a_higher_floor(tmp_path: Path) -> None:
    (tmp_path / "left_out.csv").write_text("index\n3\n")
    assert Cleaning("relabel").with_floor([tmp_path]).confidence_floor == 0.7
    assert Cleaning("relabel", "retrained").with_floor([tmp_path]).confidence_floor == 0.9
    assert Cleaning("relabel", None, 0.2).with_floor([tmp_path]).confidence_floor == 0.2


def test_flagged_samples_get_the_class_with_the_largest_mean(ranked: DetectResult) -> None:
    labels, rows = ranked.labels, flagged(ranked)
    after = cleaned(Cleaning("relabel", confidence_floor=0.0), ranked, rows)
    means = np.zeros((len(labels), 5))
    dynamics = read_run(ranked.runs[0])[0]
    td, classes = np.asarray(dynamics.td[:], np.float64), np.asarray(dynamics.labels[:])
    np.put_along_axis(means, classes.astype(np.int64), td.mean(axis=1), axis=1)
    best = means.argmax(axis=1)
    changed = rows & (best != labels.assigned)
    assert (after.assigned == np.where(changed, best, labels.assigned)).all()
    assert (after.keep == (~rows | changed)).all() and changed.sum() > 20
    facts = after.facts(labels)
    assert facts["noise_after"] < 0.1 < facts["noise_before"] == labels.flipped.mean()


@pytest.mark.parametrize("below", ["drop", "keep"])
def test_below_the_floor_samples_are_dropped_or_kept(ranked: DetectResult, below: str) -> None:
    assert ranked.confidence is not None
    rows = flagged(ranked)
    floor = float(np.median(ranked.confidence[rows]))
    after = cleaned(Cleaning("relabel", None, floor, below), ranked, rows)  # type: ignore[arg-type]
    sure = rows & (ranked.confidence >= floor) & (ranked.suggested != ranked.labels.assigned)
    assert 0 < sure.sum() < rows.sum()
    assert ((after.assigned != ranked.labels.assigned) == sure).all()
    assert (after.keep == (np.ones_like(rows) if below == "keep" else ~rows | sure)).all()


def test_true_labels_keep_flagged_samples_that_were_right(ranked: DetectResult) -> None:
    labels, rows = ranked.labels, flagged(ranked)
    unknown = np.flatnonzero(rows & labels.flipped)[0]
    true = labels.true.copy()
    true[unknown] = -1
    known = replace(ranked, labels=Labels(labels.index, labels.assigned, true))
    after = cleaned(Cleaning("relabel", "truth"), known, rows)
    assert not after.keep[unknown] and after.keep.sum() == len(labels) - 1
    others = rows.copy()
    others[unknown] = False
    assert (after.assigned[others] == labels.true[others]).all()
    assert (after.assigned[~rows] == labels.assigned[~rows]).all()


def test_what_a_run_does_not_know_is_refused(ranked: DetectResult) -> None:
    labels = ranked.labels
    blind = replace(ranked, labels=Labels(labels.index, labels.assigned, labels.assigned))
    with pytest.raises(
        ConfigError, match=r"truth needs true labels, and no label of .* is known to be wrong"
    ):
        check_cleaning(Cleaning("relabel", "truth"), blind)
    alone = replace(ranked, confidence=None)
    with pytest.raises(DynamicsError, match="contains only the probability of the given label"):
        check_cleaning(Cleaning("relabel"), alone)
    check_cleaning(Cleaning("relabel", "retrained"), alone)


@given(st.floats(0.02, 0.9), st.integers(50, 400))
def test_weights_of_a_score_assume_the_given_share(share: float, n: int) -> None:
    suspicion = np.random.default_rng(n).normal(size=n)
    # All that is asked of a ranking here.
    ranked: Any = SimpleNamespace(ranking=SimpleNamespace(suspicion=suspicion))
    wrong = p_mislabeled(ranked, share)
    assert (np.argsort(wrong) == np.argsort(ranked.ranking.suspicion)).all()
    assert wrong.min() >= 0 and wrong.max() <= 1
    assert abs(wrong.mean() - share) < 1 / n + 0.02


def test_samples_weigh_less_the_more_suspicious_they_are(ranked: DetectResult) -> None:
    none = np.zeros(len(ranked.labels), dtype=np.bool_)
    after = cleaned(Cleaning("reweight"), ranked, none, 0.25)
    assert after.weights is not None and after.keep.all()
    assert (after.assigned == ranked.labels.assigned).all()
    assert np.isclose(after.weights.mean(), 1, atol=1e-5) and (after.weights >= 0).all()
    order = np.argsort(ranked.ranking.suspicion, kind="stable")
    assert (np.diff(after.weights[order]) <= 1e-6).all()
    facts = after.facts(ranked.labels)
    wrong = ranked.labels.flipped
    share = after.weights[wrong].sum() / after.weights.sum()
    assert np.isclose(facts["noise_after"], share) and share < 0.6 * facts["noise_before"]
    assert facts["removed"] == 0
    for share in (None, 0.0, 1.0):
        with pytest.raises(ConfigError, match="reweight: "):
            cleaned(Cleaning("reweight"), ranked, none, share)
    certain = replace(
        ranked,
        gives_probability=True,
        ranking=replace(ranked.ranking, suspicion=np.linspace(0, 1, len(none))),
    )
    found = cleaned(Cleaning("reweight"), certain, none).weights
    assert found is not None
    assert np.allclose(found, 2 * np.linspace(1, 0, len(none)), atol=1e-5)
