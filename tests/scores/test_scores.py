from __future__ import annotations

import math
import statistics
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_published_run, make_run, planted_labels, softmax_history
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

import tdctl
from tdctl.dynamics import TrainingDynamics, read_run, write_td
from tdctl.errors import ConfigError, DynamicsError
from tdctl.labels import Labels
from tdctl.metadata import write_metadata
from tdctl.recorder import RunRecorder
from tdctl.scores import SCORES, find_score, late_learned, score, score_names, scores_of
from tdctl.scores.curve_values import Rows, rows_at_once
from tdctl.slabs import SLAB

# Those of held-out curves are the same functions, and are tested with the folds.
# Those of features need a run of heads: tests/runner/test_generate_heads.py has them.
SEEN = {
    name: found
    for name, found in SCORES.items()
    if not found.heldout and not {"features", "final"} & set(found.needs)
}
BY_ROWS = [name for name, found in SEEN.items() if found.of_rows is not None]
# Those that a run of the published code can serve: it has no logits and no losses.
PUBLISHED = [n for n in BY_ROWS if not {"margin", "loss"} & set(SCORES[n].needs)]
# Those that the stores given and topk:K can serve.
KEPT = [name for name, found in SEEN.items() if "every class" not in found.needs]


def made(probs: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> TrainingDynamics:
    """Dynamics in memory of probabilities [n, E, k] whose column c is class c."""
    n, _, k = probs.shape
    order = np.array([[g, *(c for c in range(k) if c != g)] for g in labels], dtype=np.int16)
    td = np.take_along_axis(probs.astype(np.float16), order[:, None, :].astype(np.int64), axis=2)
    given = np.maximum(td[:, :, 0].astype(np.float32), 1e-6)
    return TrainingDynamics(td, order, np.arange(n), margin=-1 / given, loss=-np.log(given))


@st.composite
def some_dynamics(draw: st.DrawFn) -> TrainingDynamics:
    n, epochs, k = draw(st.integers(1, 6)), draw(st.integers(2, 14)), draw(st.integers(2, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # Whole logits bring ties, large ones probabilities of exactly 0 and 1.
    logits = rng.integers(-2, 3, (n, epochs, k)) * draw(st.sampled_from([0.5, 1.0, 20.0]))
    probs = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    return made(probs, rng.integers(0, k, n))


def plain(dynamics: TrainingDynamics, row: int) -> tuple[list[float], list[float], list[bool]]:
    """The given label's probability, the largest other, and whether it was right, by epoch."""
    table = [[float(p) for p in epoch] for epoch in dynamics.td[row]]
    p, q = [epoch[0] for epoch in table], [max(epoch[1:]) for epoch in table]
    return p, q, [a >= b for a, b in zip(p, q, strict=True)]


def forgetting_written_out(right: list[bool]) -> float:
    if not any(right):
        return len(right)
    events = 0
    for before, after in pairwise(right):
        if before and not after:
            events += 1
    return events


def mean_epoch_written_out(right: list[bool]) -> float:
    epochs = [t for t, is_right in enumerate(right) if is_right]
    return sum(epochs) / len(epochs) if epochs else len(right)


def el2n_written_out(table: Any, first: int | None = None) -> float:
    lengths = []
    for epoch in table[:first]:
        errors = [float(p) - (column == 0) for column, p in enumerate(epoch)]
        lengths.append(math.sqrt(sum(error**2 for error in errors)))
    return sum(lengths) / len(lengths)


def entropy_written_out(table: Any) -> float:
    each = [sum(-float(p) * math.log(float(p)) for p in epoch if p > 0) for epoch in table]
    return sum(each) / len(each)


WRITTEN_OUT: dict[str, Callable[[TrainingDynamics, int], float]] = {
    "aum": lambda d, i: -statistics.fmean(float(m) for m in d.margin[i]),  # type: ignore[index]
    "aum-softmax": lambda d, i: (
        -statistics.fmean(p - q for p, q in zip(*plain(d, i)[:2], strict=True))
    ),
    "forgetting": lambda d, i: forgetting_written_out(plain(d, i)[2]),
    "first-learned": lambda d, i: next(
        (t for t, is_right in enumerate(plain(d, i)[2]) if is_right), d.epochs
    ),
    "never-learned": lambda d, i: float(not any(plain(d, i)[2])),
    "mean-correct-epoch": lambda d, i: mean_epoch_written_out(plain(d, i)[2]),
    "wrong-events": lambda d, i: plain(d, i)[2].count(False),
    "p-mean": lambda d, i: -statistics.fmean(plain(d, i)[0]),
    "p-last": lambda d, i: -plain(d, i)[0][-1],
    "variability": lambda d, i: statistics.pstdev(plain(d, i)[0]),
    "loss-mean": lambda d, i: statistics.fmean(float(v) for v in d.loss[i]),  # type: ignore[index]
    "loss-last": lambda d, i: float(d.loss[i, -1]),  # type: ignore[index]
    "el2n": lambda d, i: el2n_written_out(d.td[i]),
    "el2n-early": lambda d, i: el2n_written_out(d.td[i], 10),
    "entropy": lambda d, i: entropy_written_out(d.td[i]),
    "signed-entropy": lambda d, i: math.fsum(
        (-1 if is_right else 1) * entropy_written_out(d.td[i, t : t + 1])
        for t, is_right in enumerate(plain(d, i)[2])
    ),
}


def test_every_row_score_is_written_out() -> None:
    assert set(WRITTEN_OUT) == set(BY_ROWS)


@pytest.mark.parametrize("name", WRITTEN_OUT)
@given(dynamics=some_dynamics())
@settings(max_examples=25, deadline=None)
def test_a_score_is_its_formula_written_out(name: str, dynamics: TrainingDynamics) -> None:
    expected = [WRITTEN_OUT[name](dynamics, row) for row in range(len(dynamics))]
    found = score(dynamics, name)
    assert found.dtype == np.float64 and found.shape == (len(dynamics),)
    assert np.allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingDynamics, Labels]:
    run = make_run(tmp_path_factory.mktemp("planted") / "r", n=200)
    return read_run(run)[:2]


@pytest.mark.parametrize("name", BY_ROWS)
def test_planted_flips_rank_high(planted: tuple[TrainingDynamics, Labels], name: str) -> None:
    dynamics, labels = planted
    auc = roc_auc_score(labels.flipped, score(dynamics, name))
    # This network never fits a wrong label: there the direction of variability turns.
    assert auc < 0.4 if name == "variability" else auc > 0.6


def test_variability_ranks_labels_high_that_are_fitted_late() -> None:
    curve = np.ones((4, 10))
    curve[1, :6] = 0.05
    probs = np.stack([curve, 1 - curve], axis=2)
    assert score(made(probs, np.zeros(4, np.int64)), "variability").argmax() == 1


@pytest.mark.parametrize("name", BY_ROWS)
def test_the_order_of_rows_does_not_matter(
    planted: tuple[TrainingDynamics, Labels], name: str
) -> None:
    dynamics, _ = planted
    order = np.random.default_rng(1).permutation(len(dynamics))
    assert (score(dynamics.take(order), name) == score(dynamics, name)[order]).all()


def test_slabs_change_nothing(
    planted: tuple[TrainingDynamics, Labels], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = scores_of(planted[0], [SCORES[name] for name in BY_ROWS])
    monkeypatch.setattr("tdctl.scores.curve_values.SLAB", 8 * 12 * 5 * 7)  # seven rows
    parts = scores_of(planted[0], [SCORES[name] for name in BY_ROWS])
    for name in BY_ROWS:
        assert (whole[name] == parts[name]).all(), name
        assert (SCORES[name](planted[0]) == whole[name]).all(), "alone as together"


def test_memory_does_not_grow_with_what_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tdctl.slabs.SLAB", 1 << 16)
    monkeypatch.setattr("tdctl.scores.curve_values.SLAB", 1 << 16)
    peaks = []
    for n in (1000, 4000):
        run = make_run(tmp_path / str(n), n=n, classes=10, epochs=20)
        dynamics, _, _ = read_run(run)
        tracemalloc.start()
        scores_of(dynamics, [SCORES[name] for name in BY_ROWS])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    results = 3000 * 8 * len(BY_ROWS)
    assert peaks[1] - peaks[0] < 1.5 * results, "td alone has 3000 * 20 * 10 * 2 bytes more"


def recorded(folder: Path, store: str) -> TrainingDynamics:
    generator, n, k, epochs = torch.Generator().manual_seed(0), 40, 6, 5
    labels = planted_labels(n, k)
    recorder = RunRecorder.create(folder, labels, k, epochs, store=store)
    for epoch in range(epochs):
        logits = 2 * torch.randn(n, k, generator=generator)
        recorder.record(torch.from_numpy(labels.index), logits)
        recorder.commit(epoch)
    recorder.finish()
    return read_run(folder)[0]


def test_all_stores_give_the_same_scores_or_say_what_is_missing(tmp_path: Path) -> None:
    full = recorded(tmp_path / "full", "full")
    for store in ("given", "topk:3"):
        kept = recorded(tmp_path / store, store)
        for name in SEEN:
            if name in KEPT:
                # The entropy that is kept was computed before the softmax was rounded.
                gap = 2e-3 if "entropy" in name else 0.0
                assert np.allclose(score(kept, name), score(full, name), 0, gap), (store, name)
            else:
                with pytest.raises(DynamicsError, match=rf"score {name}: .*--store full"):
                    score(kept, name)
    assert len(KEPT) == 15


@pytest.mark.parametrize("class_axis_last", [True, False])
def test_a_run_of_the_published_code_serves_what_needs_no_logits(
    tmp_path: Path, class_axis_last: bool
) -> None:
    labels = planted_labels(60, 5)
    theirs = make_published_run(tmp_path / "theirs", labels, class_axis_last=class_axis_last)
    probs, margins = softmax_history(labels, 5, 12)
    (tmp_path / "ours").mkdir()
    write_td(tmp_path / "ours" / "training_dynamics.npz", probs, margins, labels)
    write_metadata(tmp_path / "ours" / "metadata.pth", labels, np.zeros(0, np.int64))
    ours = read_run(tmp_path / "ours")[0]
    for name in PUBLISHED:
        assert np.allclose(score(read_run(theirs)[0], name), score(ours, name), atol=1e-6), name
    with pytest.raises(DynamicsError, match=r"no margin .* use aum-softmax"):
        score(read_run(theirs)[0], "aum")
    for name in ("loss-mean", "loss-last", "loss-cumulative"):
        with pytest.raises(DynamicsError, match=r"no loss .* use p-mean"):
            score(read_run(theirs)[0], name)


@pytest.mark.parametrize("where", ["td", "margin", "loss"])
def test_nan_is_refused_with_its_index_and_epoch(
    planted: tuple[TrainingDynamics, Labels], where: str
) -> None:
    dynamics = planted[0]
    array = np.array(getattr(dynamics, where))
    array[3, 7] = np.nan
    broken = replace(dynamics, **{where: array})
    for name in BY_ROWS:
        other = {"aum": "margin", "loss-mean": "loss", "loss-last": "loss"}
        uses = other.get(name, "td")
        if uses != where:
            assert np.isfinite(score(broken, name)).all()
            continue
        if name in {"p-last", "el2n-early"}:
            continue  # they may look at other epochs only; see below
        with pytest.raises(DynamicsError, match=f"{where} holds NaN .* {dynamics.index[3]}, .* 7"):
            score(broken, name)


def test_nan_among_the_other_classes_is_seen(planted: tuple[TrainingDynamics, Labels]) -> None:
    td = np.array(planted[0].td)
    td[3, 7, 2] = np.inf
    with pytest.raises(DynamicsError, match="td holds NaN or infinity"):
        score(replace(planted[0], td=td), "forgetting")


def test_constant_curves_have_constant_scores() -> None:
    dynamics = made(np.full((5, 4, 3), 1 / 3), np.array([0, 1, 2, 0, 1]))
    found = scores_of(dynamics, [SCORES[name] for name in BY_ROWS])
    assert all(np.ptp(values) == 0 for values in found.values())
    assert found["wrong-events"][0] == 0, "a tie counts as right"
    assert found["variability"][0] == 0
    assert found["entropy"][0] == pytest.approx(math.log(3), abs=1e-3)


def test_a_single_epoch_has_no_forgetting_and_no_variability() -> None:
    dynamics = made(np.random.default_rng(0).dirichlet(np.ones(4), (6, 1)), np.arange(6) % 4)
    for name in BY_ROWS:
        if name in {"forgetting", "variability"}:
            with pytest.raises(DynamicsError, match="one epoch; expected two"):
                score(dynamics, name)
        else:
            assert np.isfinite(score(dynamics, name)).all()


def test_a_single_class_has_a_probability_and_no_rival() -> None:
    dynamics = made(np.ones((3, 4, 1)), np.zeros(3, np.int64))
    assert (score(dynamics, "p-mean") == -1).all()
    for name, found in SEEN.items():
        if "two classes" in found.needs:
            with pytest.raises(DynamicsError, match="single class"):
                score(dynamics, name)


@given(st.lists(st.integers(0, 600), min_size=1, max_size=200), st.floats(0.5, 6))
def test_the_cut_flags_no_more_than_cantelli_allows(values: list[int], deviations: float) -> None:
    epochs = 20
    mean_epoch = np.minimum(np.array(values) / 21, epochs)
    flagged = late_learned(mean_epoch, epochs, deviations)
    learned = mean_epoch < epochs
    assert flagged.sum() <= learned.sum() / (1 + deviations**2) + 1e-9
    assert not (flagged & ~learned).any()


def test_the_cut_is_interpretdls() -> None:
    mean_epoch = np.array([*np.linspace(4, 5, 60), 19.0, 20.0])
    flagged = late_learned(mean_epoch, epochs=20)
    assert list(np.flatnonzero(flagged)) == [60], "never learned (20.0) is not flagged"
    learned = mean_epoch[:-1]
    assert learned[-1] > learned.mean() + 5 * learned.std() > learned[-2]
    assert not late_learned(np.full(3, 20.0), 20).any()
    assert not late_learned(np.full(7, 0.1), 20).any()


def test_no_score_repeats_another_and_aliases_say_which_they_are(
    planted: tuple[TrainingDynamics, Labels],
) -> None:
    dynamics, _ = planted
    found = {name: np.argsort(score(dynamics, name), kind="stable") for name in BY_ROWS}
    same = {pair for pair in combinations(found, 2) if (found[pair[0]] == found[pair[1]]).all()}
    assert same == {("p-last", "loss-last")}, "which differ in what p rounds away"
    right = Rows(dynamics, 0, len(dynamics)).right
    correctness = score(dynamics, "correctness")
    assert np.allclose(1 - correctness / dynamics.epochs, right.mean(axis=1))
    assert find_score("confidence").name == "p-mean"
    assert find_score("loss-cumulative").name == "loss-mean"
    names = [*SCORES, *(alias for found in SCORES.values() for alias in found.aliases)]
    assert len(set(names)) == len(names) and score_names() == list(SCORES)


def test_an_unknown_score_is_one_line_with_the_names() -> None:
    with pytest.raises(ConfigError, match="'aumm' is unknown; use one of aum, aum-softmax"):
        find_score("aumm")


def test_the_library_gives_scores_at_the_top(planted: tuple[TrainingDynamics, Labels]) -> None:
    assert (tdctl.score(planted[0], "aum") == score(planted[0], "aum")).all()


def test_a_slab_holds_what_was_kept_of_the_other_classes() -> None:
    n, epochs, kept = 4, 50, 1000
    td = np.zeros((n, epochs, 1), np.float16)
    other = np.broadcast_to(np.float16(0), (n, epochs, kept))
    dynamics = TrainingDynamics(td, np.zeros((n, 1), np.int64), np.arange(n), other=other)
    assert 8 * rows_at_once(dynamics) * epochs * kept <= SLAB
