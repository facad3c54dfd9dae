from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import dynamics_of, kept, make_published_run, planted_labels
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tdctl.detector import Reader
from tdctl.detector.channels import CHANNELS, SETS, find_channels
from tdctl.detector.probe import probe_run
from tdctl.detector.ranks import mid_ranks, running_mean
from tdctl.detector.resample import resampling
from tdctl.dynamics import TrainingDynamics, read_run
from tdctl.errors import ConfigError, DynamicsError

LENGTH = st.integers(1, 60)
# Values of which neither sums nor functions below make two the same that were not, or nearly so.
COARSE = st.integers(-50, 50).map(float)


@given(LENGTH, LENGTH)
@settings(max_examples=60, deadline=None)
def test_flat_curves_stay_flat_and_others_within_their_range(epochs: int, steps: int) -> None:
    weights = resampling(epochs, steps)
    assert weights.shape == (steps, epochs) and (weights >= 0).all()
    assert np.allclose(weights.sum(axis=1), 1, atol=1e-6)
    rising = weights @ np.linspace(0, 1, epochs)
    assert (np.diff(rising) >= -1e-6).all()


@given(LENGTH, LENGTH, st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_averaging_keeps_the_mean_over_time(epochs: int, steps: int, seed: int) -> None:
    epochs = max(epochs, steps)
    curve = np.random.default_rng(seed).random(epochs)
    assert np.isclose((resampling(epochs, steps) @ curve).mean(), curve.mean(), atol=1e-5)


@given(LENGTH, st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_a_straight_curve_comes_back_from_a_longer_one(epochs: int, times: int) -> None:
    there = resampling(epochs, times * epochs)
    back = resampling(times * epochs, epochs)
    line = np.linspace(0, 1, epochs)
    found = back @ (there @ line)
    inner = slice(1, -1) if epochs > 2 else slice(0, 0)
    assert np.allclose(found[inner], line[inner], atol=1e-5)
    assert np.array_equal(resampling(epochs, epochs), np.eye(epochs, dtype=np.float32))


def test_a_border_within_an_epoch_shares_it() -> None:
    assert np.allclose(resampling(3, 2), [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]])
    assert np.allclose(resampling(2, 4), [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])


@given(hnp.arrays(np.float64, st.integers(1, 40), elements=COARSE), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_ranks_do_not_change_with_a_monotone_transform(values: Any, seed: int) -> None:
    groups = np.random.default_rng(seed).integers(0, 3, len(values))
    for among in (None, groups):
        ranks = mid_ranks(values, among)
        assert ((ranks > 0) & (ranks < 1)).all()
        for changed in (np.exp(values), values**3, np.arctan(values)):
            assert np.array_equal(mid_ranks(changed, among), ranks)
        order = np.random.default_rng(seed).permutation(len(values))
        shuffled = mid_ranks(values[order], None if among is None else among[order])
        assert np.array_equal(shuffled, ranks[order])


@given(hnp.arrays(np.float64, st.integers(1, 30), elements=COARSE), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_ranks_are_those_of_a_written_out_loop(values: Any, seed: int) -> None:
    groups = np.random.default_rng(seed).integers(0, 3, len(values))
    for row, rank in enumerate(mid_ranks(values, groups)):
        own = values[groups == groups[row]]
        lower, equal = (own < values[row]).sum(), (own == values[row]).sum()
        assert rank == pytest.approx((lower + equal / 2) / len(own), abs=1e-6)


# Those of pairs have a test of their own.
OWN = tuple(n for n, channel in CHANNELS.items() if not (channel.heldout or channel.of_pairs))


def written_out(dynamics: TrainingDynamics) -> dict[str, np.ndarray[Any, Any]]:
    """Every channel, sample by sample and epoch by epoch, from the definitions."""
    td = np.asarray(dynamics.td).astype(np.float64)
    margin, loss = np.asarray(dynamics.margin), np.asarray(dynamics.loss)
    given = np.asarray(dynamics.labels[:, 0])
    n, epochs, k = td.shape
    found = {name: np.zeros((n, epochs)) for name in OWN}

    def rank(of: np.ndarray[Any, Any], i: int, rows: np.ndarray[Any, Any]) -> float:
        own = of[rows]
        return float(((own < of[i]).sum() + (own == of[i]).sum() / 2) / len(own))

    every = np.arange(n)
    for t in range(epochs):
        so_far = margin[:, : t + 1].astype(np.float64).sum(axis=1)
        for i in range(n):
            p, others = td[i, t, 0], td[i, t, 1:]
            peers = np.flatnonzero(given == given[i])
            found["given"][i, t] = p
            found["margin"][i, t] = np.arcsinh(margin[i, t]) / 3
            found["other"][i, t] = max(others)
            found["agrees"][i, t] = float(p >= max(others))
            found["loss"][i, t] = np.log(1 + loss[i, t]) / 3
            found["mean-given"][i, t] = sum(td[i, : t + 1, 0]) / (t + 1)
            found["mean-margin"][i, t] = np.arcsinh(so_far[i] / (t + 1)) / 3
            found["given-rank"][i, t] = rank(td[:, t, 0], i, every)
            found["rank"][i, t] = rank(margin[:, t], i, every)
            found["class-rank"][i, t] = rank(margin[:, t], i, peers)
            found["mean-rank"][i, t] = rank(so_far, i, every)
            found["mean-class-rank"][i, t] = rank(so_far, i, peers)
            means = td[i, : t + 1].sum(axis=0)
            found["suggests-other"][i, t] = float(max(means[1:]) > means[0])
            found["entropy"][i, t] = -sum(q * np.log(q) for q in td[i, t] if q > 0) / np.log(k)
    return found


def test_channels_are_those_of_a_written_out_loop(tmp_path: Path) -> None:
    dynamics = dynamics_of(tmp_path, n=40, epochs=7)
    seen = Reader("gru", OWN, 0).open(dynamics).rows()
    assert seen.dtype == np.float32 and seen.shape == (40, 7, len(OWN))
    for channel, (name, values) in enumerate(written_out(dynamics).items()):
        assert np.allclose(seen[:, :, channel], values, atol=1e-5), name


OF_HELDOUT = {
    "held-given": "given",
    "held-margin": "margin",
    "held-rank": "rank",
    "held-class-rank": "class-rank",
    "held-mean-rank": "mean-rank",
}


def test_held_out_channels_are_the_same_of_the_held_out_curves(tmp_path: Path) -> None:
    both = dynamics_of(tmp_path, n=40, epochs=7)
    seen, heldout = replace(both, heldout=None), both.heldout
    assert heldout is not None
    names = (*OF_HELDOUT, "mean-rank", "given")
    found = Reader("gru", names, 5).open(both).rows()
    expected = Reader("gru", tuple(OF_HELDOUT.values()), 5).open(heldout).rows()
    assert np.array_equal(found[:, :, :5], expected)
    own = Reader("gru", names[5:], 5).open(seen).rows()
    assert np.array_equal(found[:, :, 5:], own)
    for name in OF_HELDOUT:
        with pytest.raises(DynamicsError, match=f"channel {name} needs held-out .*--folds K"):
            Reader("gru", (name,), 5).open(seen)


def test_resampled_channels_are_the_channels_resampled(tmp_path: Path) -> None:
    dynamics = dynamics_of(tmp_path, n=50, epochs=9)
    native = Reader("gru", tuple(CHANNELS), 0).open(dynamics).rows()
    for steps in (4, 9, 20):
        seen = Reader("gru", tuple(CHANNELS), steps).open(dynamics).rows()
        expected = np.einsum("te,nec->ntc", resampling(9, steps), native)
        assert np.allclose(seen, expected, atol=1e-5)


def test_slabs_and_parts_see_what_the_whole_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dynamics = dynamics_of(tmp_path, n=60, epochs=6)
    reader = Reader("gru", tuple(CHANNELS), 10)
    whole = reader.open(dynamics).rows()
    monkeypatch.setattr("tdctl.scores.curve_values.SLAB", 2000)
    sight = reader.open(dynamics)
    assert np.allclose(sight.rows(), whole, atol=1e-6)
    assert np.allclose(sight.rows(13, 41), whole[13:41], atol=1e-6)
    assert sight.rows(60).shape == (0, 10, len(CHANNELS))


def test_the_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    dynamics = dynamics_of(tmp_path, n=60, epochs=6)
    order = np.random.default_rng(0).permutation(60)
    reader = Reader("gru", tuple(CHANNELS), 8)
    shuffled = reader.open(dynamics.take(order)).rows()
    assert np.array_equal(shuffled, reader.open(dynamics).rows()[order])


def shortened(dynamics: TrainingDynamics) -> TrainingDynamics:
    names = ("td", "margin", "loss")
    return replace(dynamics, **{name: np.asarray(getattr(dynamics, name))[:, :5] for name in names})


def test_the_beginning_of_a_curve_is_that_of_a_shorter_run(tmp_path: Path) -> None:
    dynamics = dynamics_of(tmp_path, n=60, epochs=12)
    assert dynamics.heldout is not None
    short = replace(shortened(dynamics), heldout=shortened(dynamics.heldout))
    causal = tuple(name for name, channel in CHANNELS.items() if not channel.of_pairs)
    reader = Reader("gru", causal, 0)
    assert np.allclose(reader.open(dynamics).rows()[:, :5], reader.open(short).rows(), atol=1e-6)


def test_without_logits_the_margin_comes_from_the_probabilities(tmp_path: Path) -> None:
    dynamics = dynamics_of(tmp_path, n=60, epochs=6)
    reader = Reader("gru", SETS["most"], 0)
    without = reader.open(replace(dynamics, margin=None, loss=None)).rows()
    gap = np.abs(without - reader.open(dynamics).rows()).max(axis=(0, 1))
    assert dict(zip(SETS["most"], gap < 0.05, strict=True)) == dict.fromkeys(SETS["most"], True)


def test_a_published_run_has_all_channels_of_its_own_curves(tmp_path: Path) -> None:
    dynamics = read_run(make_published_run(tmp_path, planted_labels(40, 5)))[0]
    seen = Reader("gru", SETS["all"], 30).open(dynamics).rows()
    assert np.isfinite(seen).all()


@pytest.mark.parametrize("others", [1, 2])
def test_smaller_stores_serve_most_channels_and_say_what_they_lack(
    tmp_path: Path, others: int
) -> None:
    full = dynamics_of(tmp_path, n=40, epochs=6)
    small = kept(full, others)
    reader = Reader("gru", SETS["most"], 10)
    assert np.array_equal(reader.open(small).rows(), reader.open(full).rows())
    with pytest.raises(DynamicsError, match=r"channel suggests-other needs .*--store full"):
        Reader("gru", SETS["all"], 10).open(small)


def test_a_single_column_has_no_margin(tmp_path: Path) -> None:
    full = dynamics_of(tmp_path, n=40, epochs=6)
    bare = replace(full, td=np.asarray(full.td)[:, :, :1], labels=np.asarray(full.labels)[:, :1])
    with pytest.raises(DynamicsError, match="channel margin needs the probability of another"):
        Reader("gru", SETS["most"], 10).open(bare)
    assert Reader("gru", ("given",), 10).open(bare).rows().shape == (40, 10, 1)


@pytest.mark.parametrize("name", ["margin", "loss"])
def test_nan_in_the_dynamics_is_refused(tmp_path: Path, name: str) -> None:
    dynamics = dynamics_of(tmp_path, n=40, epochs=6)
    values = np.array(getattr(dynamics, name))
    values[3, 2] = np.nan
    with pytest.raises(DynamicsError, match=f"{name} holds NaN"):
        Reader("gru", SETS["most"], 10).open(replace(dynamics, **{name: values})).rows()


def test_running_means_are_of_what_was_so_far() -> None:
    assert running_mean(np.array([[1.0, 3.0, 5.0]]), axis=1).tolist() == [[1.0, 2.0, 3.0]]


def test_a_detector_of_any_channel_can_be_probed() -> None:
    seen = Reader("gru", tuple(CHANNELS), 10).open(probe_run(12)).rows()
    assert np.isfinite(seen).all()
    # Of the probe's classes each is taken for the next alone, and never back.
    alike = [name for name, gap in zip(CHANNELS, np.ptp(seen, axis=(0, 1)), strict=True) if not gap]
    assert alike == ["pair-back", "worst-pair-back", "evenness"]


def test_channels_by_name() -> None:
    assert find_channels("given") == ("given",)
    assert find_channels("ranks, given,rank") == (*SETS["ranks"], "given")
    held = {name for name, channel in CHANNELS.items() if channel.heldout}
    assert held and set(SETS["most"]) < set(SETS["all"]) == set(CHANNELS) - held
    assert set(SETS["cross"]) == set(SETS["most"]) | held
    with pytest.raises(ConfigError, match="'nonsense' is unknown; use given"):
        find_channels("given,nonsense")
