"""The estimate by networks that have not seen the label: on planted errors and predictions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import make_run, refused, softmax_history, tdctl
from numpy.typing import NDArray

from tdctl.cuts import FEW_IMAGES, heldout_range, judged_by_heldout
from tdctl.dynamics import HELDOUT_FILE, TrainingDynamics, read_run, write_td
from tdctl.errors import DynamicsError
from tdctl.labels import Labels
from tdctl.metrics import detection_metrics
from tdctl.scores import find_score
from tdctl.scores.noise_model import NoiseModel

EPOCHS = 6


def planted(
    n: int, classes: int, share: float, accuracy: float, seed: int, sharper: float = 1.0
) -> tuple[TrainingDynamics, NDArray[np.bool_]]:
    """Held-out dynamics of images that are hard and easy, and which labels are wrong.

    Args:
        n: images.
        classes: k.
        share: of wrong labels, each another class at random.
        accuracy: the mean probability of the true class, about.
        seed: of all draws.
        sharper: an exponent above 1 makes the predictions too sure of themselves, below 1 too
            unsure.
    """
    rng = np.random.default_rng(seed)
    # Of each image, how sure its prediction is; its true class is drawn from the prediction.
    sure = rng.beta(4 * accuracy, 4 * (1 - accuracy), n)
    probs = rng.dirichlet(np.full(classes, 0.3), n) * (1 - sure[:, None])
    probs[np.arange(n), rng.integers(0, classes, n)] += sure
    true = (probs.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    wrong = np.zeros(n, dtype=np.bool_)
    wrong[rng.permutation(n)[: round(share * n)]] = True
    given = np.where(wrong, (true + rng.integers(1, classes, n)) % classes, true)
    shown = probs**sharper / (probs**sharper).sum(axis=1, keepdims=True)
    # The first half of the epochs, in which nothing is learned yet, must not count.
    early = np.full((n, EPOCHS // 2, classes), 1 / classes)
    late = np.repeat(shown[:, None], EPOCHS - EPOCHS // 2, axis=1)
    return TrainingDynamics.of(np.concatenate([early, late], axis=1), given), wrong


@pytest.mark.parametrize("sharper", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("accuracy", [0.5, 0.9])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.2])
def test_the_interval_contains_the_planted_share(
    share: float, accuracy: float, sharper: float
) -> None:
    found = [heldout_range(planted(400, 6, share, accuracy, s, sharper)[0]) for s in range(12)]
    assert all(one.low <= one.rate <= one.high for one in found)
    assert sum(one.low <= share <= one.high for one in found) >= 10
    if accuracy == 0.9:
        assert np.mean([one.rate for one in found]) == pytest.approx(share, abs=0.045)
        assert max(one.high - one.low for one in found) < 0.25


def test_hard_images_are_not_counted_as_wrong_labels() -> None:
    found = [heldout_range(planted(400, 6, 0.0, 0.5, seed)[0]) for seed in range(8)]
    assert np.mean([one.rate for one in found]) < 0.03
    assert all(one.low == 0 for one in found)


def test_networks_that_know_nothing_give_a_wide_interval() -> None:
    n, classes = 240, 4
    dynamics = TrainingDynamics.of(
        np.full((n, EPOCHS, classes), 1 / classes), np.arange(n) % classes
    )
    found = heldout_range(dynamics)
    assert found.low < 0.01 and found.high > 0.3, "nothing is known, and that must be said"


def test_the_score_ranks_wrong_labels_first_and_adds_up_to_the_estimate() -> None:
    held, wrong = planted(400, 6, 0.1, 0.9, 0)
    dynamics, _ = planted(400, 6, 0.1, 0.9, 1)
    run = TrainingDynamics(dynamics.td, held.labels, held.index, heldout=held)
    score = find_score("oof-posterior")
    suspicion = score(run)
    assert suspicion.min() >= 0 and suspicion.max() <= 1
    order = np.argsort(-suspicion, kind="stable")
    assert detection_metrics(suspicion, wrong, order).ap > 0.8
    assert suspicion.mean() == pytest.approx(heldout_range(held).rate, abs=0.02)
    assert score.why_not(held) is not None, "it has no held-out curves of its own"


def test_only_few_images_with_heldout_curves_are_judged_by_them() -> None:
    held, _ = planted(300, 4, 0.1, 0.9, 0)
    run = TrainingDynamics(held.td, held.labels, held.index, heldout=held)
    assert judged_by_heldout(run) and not judged_by_heldout(held)
    many, _ = planted(FEW_IMAGES + 1, 4, 0.1, 0.9, 0)
    assert not judged_by_heldout(TrainingDynamics(many.td, many.labels, many.index, heldout=many))


def test_detect_estimates_and_ranks_a_run_with_folds_by_its_heldout_curves(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", n=300)
    refused(
        tdctl("detect", "--td", run, "--cut", "auto:heldout"), "no held-out curves", "--folds K"
    )
    # Networks that have not seen the wrong labels predict the true ones.
    _, labels, _ = read_run(run)
    unseen = Labels(labels.index, labels.true, labels.true)
    write_td(run / HELDOUT_FILE, *softmax_history(unseen, 5, 12), labels)
    result = tdctl("detect", "--td", run, "--cut", "auto", "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    estimate = content["estimates"]["combined"]
    assert estimate["method"] == "heldout" and content["cut"]["method"] == "heldout"
    assert estimate["low"] <= estimate["realised"] <= estimate["high"]
    assert "is ranked by builtin and oof-posterior: it has few images" in result.stderr
    named = tdctl("detect", "--td", run, "--score", "aum", "--cut", "auto:heldout", "--json")
    assert json.loads(named.stdout)["estimates"]["heldout"]["rate"] == estimate["rate"]
    page = tmp_path / "page.html"
    assert tdctl("report", "--td", run, "--out", page).exit_code == 0
    # The cards say how sure the networks are that suggest a class.
    text = page.read_text(encoding="utf-8")
    cards = json.loads(text.split('id="data">', 1)[1].split("</script>", 1)[0])["cards"]
    held = read_run(run)[0].heldout
    assert held is not None
    row_of = {index: row for row, index in enumerate(held.index.tolist())}
    rows = [row_of[index] for index in cards["index"]]
    means = np.asarray(held.td)[rows].mean(axis=1, dtype=np.float64)
    assert np.allclose(cards["pGiven"], 1000 * means[:, 0], atol=0.51)
    assert np.allclose(cards["pSuggested"], 1000 * means.max(axis=1), atol=0.51)


def test_what_the_model_cannot_use_is_refused() -> None:
    held, _ = planted(40, 4, 0.1, 0.9, 0)
    first = TrainingDynamics(held.td[:, :, :1], held.labels[:, :1], held.index)
    with pytest.raises(DynamicsError, match="two classes"):
        NoiseModel.of(first)
    broken = np.array(held.td)
    broken[3, -1, 0] = np.nan
    with pytest.raises(DynamicsError, match="NaN"):
        NoiseModel.of(TrainingDynamics(broken, held.labels, held.index))
