"""The estimate by default, and the choice of what ranks: on planted curves of known kinds."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import make_published_run, make_run, planted_labels, tdctl
from numpy.typing import NDArray

from tdctl import runner
from tdctl.cuts import (
    Early,
    Estimate,
    Evidence,
    early_part,
    separation,
    surest_disagreement,
)  # fmt: skip
from tdctl.dynamics import TrainingDynamics, read_run
from tdctl.errors import DynamicsError
from tdctl.rankers import RecordedRuns, ranked
from tdctl.rankers.automatic import stands_out, weights
from tdctl.scores import find_score
from tdctl.settings import load_config


def dynamics_of(
    given: NDArray[np.float64], other: NDArray[np.float64], classes: int = 4
) -> TrainingDynamics:
    """Curves [n, E] of the given label and of one other class; the rest is spread evenly."""
    n, epochs = given.shape
    td = np.empty((n, epochs, classes), dtype=np.float16)
    td[:, :, 0], td[:, :, 1] = given, other
    td[:, :, 2:] = ((1 - given - other) / (classes - 2))[:, :, None]
    label = np.arange(n) % classes
    labels = (label[:, None] + np.arange(classes)) % classes
    margin = np.log(np.maximum(given, 1e-6)) - np.log(np.maximum(other, 1e-6))
    loss = -np.log(np.maximum(given, 1e-6))
    return TrainingDynamics(
        td, labels.astype(np.int16), np.arange(n), margin.astype(np.float32),
        loss.astype(np.float32),
    )  # fmt: skip


def curves(kind: str, n: int, epochs: int = 20, seed: int = 0) -> NDArray[np.float64]:
    """Given and other probability [2, n, E] of easy, hard or wrong labels."""
    rng = np.random.default_rng(seed)
    levels = {"easy": (0.85, 0.05), "hard": (0.48, 0.28), "wrong": (0.06, 0.82)}[kind]
    rise = np.linspace(0.6, 1, epochs)
    noise = rng.normal(0, 0.05, (2, n, 1))
    level = np.clip(np.array(levels)[:, None, None] + noise, 0.01, None)
    return np.clip(level / float(level.sum(axis=0).max(initial=1.0)), 0, 0.97) * rise


def mixed(easy: int, hard: int, wrong: int) -> tuple[TrainingDynamics, NDArray[np.bool_]]:
    parts = [curves("easy", easy), curves("hard", hard, seed=1), curves("wrong", wrong, seed=2)]
    given, other = np.concatenate(parts, axis=1)
    truth = np.r_[np.zeros(easy + hard, np.bool_), np.ones(wrong, np.bool_)]
    # Rows are dealt to the classes in turn: no class is of one kind.
    order = np.random.default_rng(3).permutation(len(truth))
    return dynamics_of(given[order], other[order]), truth[order]


def test_hard_pictures_are_not_taken_for_wrong_labels() -> None:
    dynamics, _ = mixed(easy=1600, hard=400, wrong=0)
    evidence = Evidence.of(dynamics, np.full(2000, 0.2))
    assert evidence.mixture > 0.1, "the mixture alone takes them for wrong"
    found = evidence.range()
    assert found.rate < 0.01 and found.low < 1e-3 and found.high <= 0.03


def test_with_few_images_the_interval_covers_what_a_network_has_memorised() -> None:
    rng = np.random.default_rng(0)
    # All labels are predicted, the wrong ones a little later; nothing contradicts them with
    # certainty, as in a training of 60 epochs on 240 photographs.
    truth = np.arange(240) < 24
    late = np.where(truth, 9, 4) + rng.normal(0, 1, 240)
    given = 0.97 / (1 + np.exp(late[:, None] - np.arange(20)))
    dynamics = dynamics_of(given, (0.98 - given) / 2)
    evidence = Evidence.of(dynamics, np.full(240, 0.1))
    assert evidence.few and evidence.contradicted < 0.02
    found = evidence.range()
    assert found.rate < 0.02 and found.low == 0, "the curves alone say none"
    assert found.high > truth.mean(), "and that cannot be relied on"
    many = replace(evidence, few=False).range()
    assert many.high < truth.mean() and (many.rate, many.low) == (found.rate, found.low)


def test_a_note_says_what_to_do_where_few_images_are_memorised() -> None:
    for high, told in ((0.3, True), (0.08, False)):
        estimate = Estimate("combined", 0.02, None, None, low=0.0, high=high)
        notes = ranked._memorised({"combined": estimate}, 300, "do this")
        assert bool(notes) == told
        assert not told or ("up to 30%" in notes[0] and notes[0].endswith("; do this"))
        assert not ranked._memorised({"combined": estimate}, 1001, "do this")


@pytest.mark.parametrize("wrong", [50, 200, 400])
def test_wrong_labels_are_counted_where_sure_predictions_contradict_them(wrong: int) -> None:
    dynamics, truth = mixed(easy=1000 - wrong - 100, hard=100, wrong=wrong)
    probability = np.where(truth, 0.9, 0.1)
    found = Evidence.of(dynamics, probability).range()
    assert found.rate == pytest.approx(truth.mean(), rel=0.5)
    assert found.low <= truth.mean() <= found.high


def test_the_surest_of_every_class_are_looked_at() -> None:
    dynamics, truth = mixed(easy=900, hard=0, wrong=100)
    assert 0 < surest_disagreement(dynamics) < 0.5
    right, _ = mixed(easy=500, hard=0, wrong=0)
    assert surest_disagreement(right) == 0
    # All wrong: every sure prediction contradicts its label.
    wrong, _ = mixed(easy=0, hard=0, wrong=300)
    assert surest_disagreement(wrong) == 1
    assert truth.any()


def test_one_epoch_and_one_sample_a_class_are_enough() -> None:
    given, other = curves("easy", 4, epochs=1)
    assert surest_disagreement(dynamics_of(given, other)) == 0


def test_a_single_class_has_nothing_to_disagree_with() -> None:
    dynamics = TrainingDynamics(
        np.ones((5, 3, 1), np.float16), np.zeros((5, 1), np.int16), np.arange(5)
    )
    with pytest.raises(DynamicsError, match="single class"):
        surest_disagreement(dynamics)


@pytest.mark.parametrize("distance", [4.0, 10.0])
def test_separation_is_the_distance_of_two_normals(distance: float) -> None:
    rng = np.random.default_rng(0)
    values = np.r_[rng.normal(0, 1, 4000), rng.normal(distance, 1, 500)]
    assert separation(values) == pytest.approx(distance, rel=0.1)
    assert separation(np.ones(50)) == 0 == separation(np.zeros(0))


def test_a_slow_network_that_contradicts_many_right_labels_is_not_believed() -> None:
    dynamics, truth = mixed(easy=900, hard=0, wrong=100)
    measured = Evidence.of(dynamics, np.where(truth, 0.9, 0.1))
    of = replace(measured, mixture=0.02, separation=0.0, contradicted=0.7)
    found = [replace(of, surest=0.4, suspected=0.4, one_way=way).range().rate for way in (0.6, 1.0)]
    assert found[0] == pytest.approx(0.025)
    assert found[1] == pytest.approx((0.4 * 0.02) ** 0.5), "the mixture misses such noise"


@pytest.mark.parametrize(
    ("distance", "surest", "counted"),
    [(4.3, 0.2, 1.0), (4.3, 0.0, 0.3), (4.15, 0.2, 0.5), (5.0, 0.0, 1.0), (3.9, 0.2, 0.0)],
)
def test_supported_components_count_from_a_smaller_distance_on(
    distance: float, surest: float, counted: float
) -> None:
    dynamics, truth = mixed(easy=900, hard=0, wrong=100)
    measured = Evidence.of(dynamics, np.where(truth, 0.9, 0.1))
    of = replace(
        measured, mixture=0.12, surest=surest, suspected=surest / 4, contradicted=0.2, one_way=0.0
    )
    alone, found = replace(of, separation=0.0).range(), replace(of, separation=distance).range()
    assert found.rate == pytest.approx(alone.rate + counted * (0.12 - alone.rate))


def test_the_interval_is_told_in_words(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", n=300)
    shown = tdctl("detect", "--td", run, "--cut", "auto", "--top", 0).stdout
    assert " wrong labels, between " in shown and " by combined" in shown
    found = json.loads(tdctl("detect", "--td", run, "--cut", "auto", "--json").stdout)
    estimate = found["estimates"]["combined"]
    assert estimate["low"] <= estimate["rate"] <= estimate["high"]


def test_perhaps_none_where_the_interval_begins_at_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "r", n=300)
    monkeypatch.setattr("tdctl.cuts.evidence.NONE", 2.0)
    monkeypatch.setattr("tdctl.cuts.evidence.SOME", 3.0)
    monkeypatch.setattr("tdctl.cuts.evidence.NEAR", 1e6)
    monkeypatch.setattr("tdctl.cuts.evidence.FAR", 2e6)
    monkeypatch.setattr("tdctl.cuts.evidence.LESS_FAR", 2e6)
    shown = tdctl("detect", "--td", run, "--cut", "auto", "--top", 0).stdout
    assert ", at most " in shown and ", perhaps none, by combined" in shown


def test_a_run_that_the_detector_cannot_read_is_estimated_by_the_mixture(tmp_path: Path) -> None:
    run = make_published_run(tmp_path / "r", planted_labels(200, 5), epochs=1)
    result = tdctl("detect", "--td", run, "--score", "p-mean", "--cut", "auto", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["estimates"]["combined"]
    assert found["method"] in {"mixture", "combined"} and 0 < found["rate"] < 1


def test_where_wrong_labels_stand_out_the_run_is_ranked_by_aum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "r", n=400, epochs=30)
    dynamics, _, _ = read_run(run)
    aum = find_score("aum")
    # They are so far apart that the estimated share decides, and it is large.
    by_share = json.loads(tdctl("detect", "--td", run, "--json").stdout)
    assert by_share["ranked_by"] == {str(run): "builtin and aum"}
    monkeypatch.setattr("tdctl.rankers.automatic.FAR_APART", 1e9)
    if not stands_out(aum(dynamics)):
        pytest.fail("the planted flips are meant to stand out")
    out = tmp_path / "ranking.csv"
    result = tdctl("detect", "--td", run, "--out", out)
    assert f"note: the run {run} is ranked by aum, as wrong labels stand out: " in result.stderr
    table = pd.read_csv(out).set_index("index").sort_index()
    assert table["suspicion"].to_numpy() == pytest.approx(aum(dynamics), abs=1e-9)
    content = json.loads(tdctl("detect", "--td", run, "--json").stdout)
    assert (
        content["ranked_by"] == {str(run): "aum, as wrong labels stand out"}
        and content["metrics"]["at_half"] is None
    )
    told = tdctl("detect", "--td", run, "--detector", "builtin", "--top", 0).stderr
    assert f"wrong labels stand out in {run}" in told and "without --detector" in told


def test_aum_counts_more_where_few_labels_look_wrong(tmp_path: Path) -> None:
    dynamics, _, _ = read_run(make_run(tmp_path / "r", n=300))
    shares = (0.5, 0.2, 0.08, 0.04, 0.01, 0.0)
    of_aum = [weights(dynamics, share)[0] for share in shares]
    assert of_aum[0] == of_aum[1] == 0.5 and of_aum == sorted(of_aum)
    assert of_aum[-1] > 1e4, "where none looks wrong, the order is that of AUM"


def test_the_last_predictions_count_less_the_more_the_network_has_memorised(tmp_path: Path) -> None:
    dynamics, _, _ = read_run(make_run(tmp_path / "r", n=300))
    found = []
    for contradicted in (0, 15, 30, 60, 90, 200):
        margin = np.where(np.arange(300) < contradicted, -1.0, 1.0)
        found.append(weights(replace(dynamics, final_margin=margin), 0.1)[1])
    assert found == pytest.approx([0.0, 0.0, 0.6, 2.0, 2.0, 2.0])
    assert weights(replace(dynamics, final_margin=None), 0.1)[1] == 0.0


def with_last_predictions(run: Path, margin: NDArray[Any]) -> None:
    """Writes the margins of the last predictions, [n], into a run's file of dynamics."""
    file = run / "training_dynamics.npz"
    with np.load(file) as found:
        arrays = dict(found)
    np.savez(file, **{**arrays, "final_margin": margin})


def test_curves_of_a_strange_loss_are_ranked_by_the_mean_loss(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    settings = {"train.loss": "gce", "train.label_smoothing": 0.0}
    (run / "config.yaml").write_text(load_config(None, settings).to_yaml())
    result = runner.detect(run, Path("auto"))
    assert result.ranked_by == {str(run): "loss-mean"}
    expected = find_score("loss-mean")(read_run(run)[0])
    assert result.ranking.suspicion == pytest.approx(expected)


@pytest.mark.parametrize(("loss", "counts"), [("gce", True), ("sce", True), ("elr", False)])
def test_the_last_predictions_help_the_mean_loss_of_some_losses(
    tmp_path: Path, loss: str, counts: bool
) -> None:
    run = make_run(tmp_path / "r", n=300)
    settings = {"train.loss": loss, "train.label_smoothing": 0.0}
    (run / "config.yaml").write_text(load_config(None, settings).to_yaml())
    margin = np.random.default_rng(0).normal(0, 3, 300).astype(np.float32)
    with_last_predictions(run, margin)
    result = runner.detect(run, Path("auto"))
    by = "loss-mean and final-margin" if counts else "loss-mean"
    assert result.ranked_by == {str(run): by}
    losses = find_score("loss-mean")(read_run(run)[0])
    if counts:
        losses = (losses - losses.mean()) / losses.std()
        losses -= (margin - margin.mean()) / margin.std()
    assert result.ranking.suspicion == pytest.approx(losses, abs=1e-4)


def test_several_runs_are_chosen_for_one_by_one(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "a", seed=0), make_run(tmp_path / "b", seed=0, epochs=20)]
    result = runner.detect(runs, Path("auto"), cut="auto")
    assert set(result.ranked_by) == {str(run) for run in runs}
    assert result.flagged is not None and result.estimates["combined"].low is not None
    assert result.metrics.ap is not None and result.metrics.ap > 0.9


def test_the_loop_of_a_user_is_not_told_to_use_folds(digits_run: Path, tmp_path: Path) -> None:
    for name in ("metadata.pth", "training_dynamics.npz"):
        shutil.copy(digits_run / name, tmp_path)
    found = [ranked._advice(RecordedRuns.read([run])) for run in (digits_run, tmp_path)]
    assert "--folds 10" in found[0] and "folds" not in found[1]


def test_last_predictions_help_to_rank_unless_the_network_has_memorised(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", n=400)
    _, labels, _ = read_run(run)
    doubted = np.where(labels.flipped, -2.0, 3.0).astype(np.float32)
    doubted += np.random.default_rng(0).normal(0, 1, len(labels)).astype(np.float32)
    told = tdctl("detect", "--td", run, "--detector", "builtin", "--out", tmp_path / "alone.csv")
    assert told.exit_code == 0, told.output
    alone = pd.read_csv(tmp_path / "alone.csv").set_index("index").sort_index()
    inside = np.clip(alone["suspicion"].to_numpy(), 1e-6, 1 - 1e-6)
    odds = np.log(inside / (1 - inside))
    out = tmp_path / "ranking.csv"
    both = ((doubted, "builtin, aum and final-margin"), (abs(doubted), "builtin and aum"))
    for margin, by in both:
        with_last_predictions(run, margin)
        result = tdctl("detect", "--td", run, "--json", "--out", out, "--overwrite")
        assert json.loads(result.stdout)["ranked_by"] == {str(run): by}
        assert ("not memorised all" in result.stderr) == ("final" in by)
        dynamics, _, _ = read_run(run)
        rate = Evidence.of(dynamics, alone["suspicion"].to_numpy()).range().rate
        of_aum, of_final = weights(dynamics, rate)
        assert of_aum == 0.5 and (of_final > 0) == ("final" in by)
        table = pd.read_csv(out).set_index("index").sort_index()
        expected = odds + 0.5 * find_score("aum")(dynamics) - of_final * margin
        assert table["suspicion"].to_numpy() == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("margin", "says"),
    [(np.full(40, np.nan), "final_margin holds NaN"), (np.ones(39), r"final_margin is .* \(40,\)")],
)
def test_last_predictions_that_do_not_fit_are_refused(
    tmp_path: Path, margin: NDArray[np.float64], says: str
) -> None:
    run = make_run(tmp_path / "r", n=40)
    with_last_predictions(run, margin)
    with pytest.raises(DynamicsError, match=says):
        read_run(run)


def test_noise_in_one_direction_is_at_least_what_the_detector_expects() -> None:
    dynamics, truth = mixed(easy=300, hard=0, wrong=100)
    probability = np.where(truth, 0.9, 0.2)
    found = Evidence.of(dynamics, probability)
    assert found.one_way == 1.0 and found.expected == pytest.approx(probability.mean())
    elsewhere = replace(found, one_way=0.5).range().rate
    assert 0.15 < elsewhere < 0.35
    assert replace(found, expected=elsewhere + 0.05).range().rate == elsewhere + 0.05
    assert replace(found, expected=0.9).range().rate == pytest.approx(1.6 * elsewhere)
    assert replace(found, expected=0.0).range().rate == elsewhere
    # A run in which nothing is contradicted stays at none.
    quiet = replace(found, surest=0.0, suspected=0.0, separation=0.0, expected=0.7)
    assert quiet.range().low == 0.0 and quiet.range().rate < 0.1


def test_noise_in_all_directions_is_not_taken_for_one(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", n=600)
    dynamics, labels, _ = read_run(run)
    found = Evidence.of(dynamics, np.where(labels.flipped, 0.9, 0.1))
    assert 0.2 < found.one_way < 0.6
    few = np.zeros(len(labels))
    few[np.flatnonzero(labels.flipped)[:20]] = 0.9
    assert Evidence.of(dynamics, few).one_way == 0.0


def test_the_last_predictions_help_aum_where_wrong_labels_stand_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "r", n=400, epochs=30)
    monkeypatch.setattr("tdctl.rankers.automatic.FAR_APART", 1e9)
    margin = np.random.default_rng(0).normal(0, 1, 400).astype(np.float32)
    with_last_predictions(run, margin)
    result = runner.detect(run, Path("auto"))
    assert result.ranked_by == {str(run): "aum and final-margin, as wrong labels stand out"}
    aum = find_score("aum")(read_run(run)[0])
    added = (result.ranking.suspicion - aum) / -margin
    assert 0 < added[0] <= 2.0 and added == pytest.approx(added[0], rel=1e-4)


@pytest.mark.parametrize(("one_way", "by"), [(1.0, "builtin"), (0.5, "builtin and aum")])
def test_few_labels_that_go_one_way_are_ranked_by_the_detector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_way: float, by: str
) -> None:
    run = make_run(tmp_path / "r", n=300)
    monkeypatch.setattr("tdctl.rankers.automatic.STAND_OUT", 1e9)
    measured = Evidence.of(read_run(run)[0], np.full(300, 0.1))
    few = replace(
        measured, mixture=0.06, surest=0.06, suspected=0.06, separation=0.0, one_way=one_way,
        expected=0.06,
    )  # fmt: skip
    assert few.range().rate == pytest.approx(0.06)
    monkeypatch.setattr(Evidence, "of", lambda *_: few)
    result = tdctl("detect", "--td", run, "--json")
    assert json.loads(result.stdout)["ranked_by"] == {str(run): by}
    # Where even fewer look wrong, two classes that look alike are the likelier reason.
    monkeypatch.setattr("tdctl.rankers.automatic.FEW_PAIRS", 0.07)
    result = tdctl("detect", "--td", run, "--json")
    assert json.loads(result.stdout)["ranked_by"] == {str(run): "builtin and aum"}


def late_learned(
    epochs: int = 40, wrong: int = 80, until: float = 0.7
) -> tuple[TrainingDynamics, NDArray[np.bool_]]:
    """Curves of 400 samples; wrong labels are contradicted surely, then learned after a while."""
    rng = np.random.default_rng(0)
    n = 400
    truth = np.arange(n) < wrong
    given = np.clip(rng.normal(0.9, 0.03, (n, epochs)), 0.01, 0.97)
    other = (1 - given) / 2
    contradicted = np.ix_(truth, np.arange(epochs) < until * epochs)
    given[contradicted], other[contradicted] = 0.01, 0.98
    order = rng.permutation(n)
    return dynamics_of(given[order], other[order]), truth[order]


def test_a_run_that_has_memorised_its_labels_has_an_early_part() -> None:
    dynamics, wrong = late_learned()
    part = early_part(dynamics)
    assert part is not None and part.epochs == 24
    assert Evidence.of(part, np.where(wrong, 0.9, 0.1)).contradicted == pytest.approx(0.2)


@pytest.mark.parametrize(("epochs", "until"), [(29, 0.7), (40, 1.0)])
def test_short_runs_and_runs_that_contradict_to_the_end_have_none(
    epochs: int, until: float
) -> None:
    dynamics, _ = late_learned(epochs, until=until)
    assert early_part(dynamics) is None


@pytest.mark.parametrize(
    ("surest", "weight"), [(0.02, 0.0), (0.06, 0.0), (0.08, 0.5), (0.1, 1.0), (0.3, 1.0)]
)
def test_the_early_part_raises_the_estimate_where_sure_predictions_differ(
    surest: float, weight: float
) -> None:
    dynamics, wrong = late_learned()
    part = early_part(dynamics)
    assert part is not None
    early = Early(part, np.where(wrong, 0.95, 0.05))
    measured = Evidence.of(dynamics, np.full(len(dynamics), 0.2))
    whole = replace(measured, mixture=0.05, surest=surest, suspected=0.02, separation=0.0)
    before, most = whole.range(), Evidence.of(*early).range()
    assert before.rate < 0.1 < most.rate
    assert whole.range_with(None) == before
    for found, a, b in zip(whole.range_with(early), before, most, strict=True):
        assert found == pytest.approx(a + weight * (b - a))
    large = replace(measured, mixture=0.4, surest=0.4, suspected=0.4, separation=0.0)
    assert large.range_with(early) == large.range(), "the larger one is taken"


def test_the_cut_counts_labels_that_were_learned_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "r", n=400, epochs=40)
    dynamics, labels, _ = read_run(run)
    flipped = labels.flipped

    def told() -> float:
        found = runner.detect(run, Path("builtin"), cut="auto").estimates["combined"]
        return found.rate

    monkeypatch.setattr("tdctl.cuts.evidence.FORGIVEN", -1.0)
    whole = told()
    monkeypatch.setattr("tdctl.cuts.evidence.FORGIVEN", 1e9)
    monkeypatch.setattr("tdctl.cuts.evidence.PART", 0.5)
    parts: list[int] = []
    of = Evidence.of.__func__  # type: ignore[attr-defined]

    def seen(cls: type[Evidence], found: TrainingDynamics, by: NDArray[np.float64]) -> Evidence:
        parts.append(found.epochs)
        raised = {"mixture": 0.5, "surest": 0.5, "suspected": 0.5, "separation": 0.0}
        measured = of(cls, found, by)
        return replace(measured, **raised) if found.epochs == 20 else replace(measured, surest=0.2)

    monkeypatch.setattr(Evidence, "of", classmethod(seen))
    assert told() == pytest.approx(0.5) and parts == [40, 20]
    assert whole < 0.4 and flipped.any() and len(dynamics) == 400
