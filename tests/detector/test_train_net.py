from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Bomb, hand_made_detector, make_run
from torch import nn

from tdctl import runner
from tdctl.config import DetectorConfig
from tdctl.detector import (
    Card,
    Curves,
    Detector,
    LstmDetector,
    load_detector,
    save_detector,
    score_run,
    suspicion,
    train_net,
)
from tdctl.detector.preset import DetectorPreset
from tdctl.detector.train_net import split_runs
from tdctl.dynamics import read_run
from tdctl.errors import DetectorError, DynamicsError
from tdctl.metrics import detection_metrics
from tdctl.settings import load_config
from tdctl.training.progress import Clock, Progress

CPU = torch.device("cpu")
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "run_folder.json").read_text())
FAST = DetectorConfig(epochs=6, restarts=1)


def curves_of(folder: Path, **more: int) -> Curves:
    dynamics, labels, _ = read_run(make_run(folder, **more))
    return Curves(dynamics.given_curve(), labels.flipped)


def test_planted_errors_of_another_run_are_found(tmp_path: Path) -> None:
    trained = train_net([curves_of(tmp_path / "a", n=300)], FAST, 0, CPU)
    other = curves_of(tmp_path / "b", n=300, seed=1)
    scores = suspicion(trained.net, other.values)
    metrics = detection_metrics(scores, other.flipped, np.argsort(-scores))
    assert metrics.auc is not None and metrics.auc > 0.97
    assert ((scores >= 0) & (scores <= 1)).all()


def test_runs_of_different_length_train_one_detector_held_out_by_run(tmp_path: Path) -> None:
    runs = [
        curves_of(tmp_path / "a", n=200, epochs=8),
        curves_of(tmp_path / "b", n=200, epochs=20, seed=1),
        curves_of(tmp_path / "c", n=90, epochs=14, seed=2),
    ]
    trained = train_net(runs, FAST, 0, CPU)
    assert trained.held_out == 90
    assert trained.ap > 0.9


def test_the_same_seed_trains_the_same_detector(tmp_path: Path) -> None:
    run = curves_of(tmp_path / "a")
    first, second = (train_net([run], DetectorConfig(epochs=2, restarts=2), 3, CPU) for _ in "ab")
    for a, b in zip(first.net.parameters(), second.net.parameters(), strict=True):
        assert (a == b).all()


def test_held_out_rows_hold_both_kinds_and_are_not_trained_on(tmp_path: Path) -> None:
    run = curves_of(tmp_path / "a", n=200)
    train, held = split_runs([run], 0.1, 0)
    assert len(held.flipped) == 20 and len(train[0].flipped) == 180
    assert 0 < held.flipped.sum() < 20


@pytest.mark.parametrize("flipped", [True, False])
def test_one_kind_of_label_is_not_enough(flipped: bool) -> None:
    run = Curves(np.zeros((50, 5), np.float32), np.full(50, flipped))
    with pytest.raises(DetectorError, match="--noise-ratio"):
        train_net([run], FAST, 0, CPU)


def test_too_small_a_share_held_out_is_no_matter_of_noise(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="hold out another share with --held-out"):
        split_runs([curves_of(tmp_path / "a", n=100)], 0.001, 0)


def test_a_run_without_flips_among_others_does_not_count_in_the_choice(tmp_path: Path) -> None:
    first = curves_of(tmp_path / "a", n=200)
    right = first.take(~first.flipped)
    last = curves_of(tmp_path / "b", n=200, seed=1)
    assert train_net([first, right, last], FAST, 0, CPU).ap_trained > 0.9  # warnings are errors


def test_curves_that_are_all_the_same_teach_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    arrays = dict(np.load(run / "training_dynamics.npz"))
    arrays["td"][:] = arrays["td"][:1]
    np.savez(run / "training_dynamics.npz", td=arrays["td"], labels=arrays["labels"])
    with pytest.raises(DynamicsError, match="r: all curves are the same; there is nothing to"):
        runner.train_detector(load_config(None, {}), [run], tmp_path / "d")


def test_a_training_that_learns_nothing_is_refused() -> None:
    run = Curves(np.full((200, 5), 0.5, np.float32), np.arange(200) % 4 == 0)
    with pytest.raises(DetectorError, match="collapsed"):
        train_net([run], FAST, 0, CPU)


def test_fine_tuning_starts_from_the_given_weights(tmp_path: Path) -> None:
    run = curves_of(tmp_path / "a")
    start = hand_made_detector()
    config = DetectorConfig(epochs=1, lr=1e-9)
    tuned = train_net([run], config, 0, CPU, init_from=start).net
    for a, b in zip(start.parameters(), tuned.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    assert tuned is not start


def test_the_papers_preset_keeps_the_published_numbers() -> None:
    recipe = DetectorPreset.of(DetectorConfig(preset="paper"), 45_000)
    assert recipe == DetectorPreset(
        epochs=10, batch_size=64, lr=0.1, restarts=1, clip=False, average=False
    )


def test_files_have_the_published_layout_and_round_trip(tmp_path: Path) -> None:
    net = hand_made_detector()
    card = Card([{"fingerprint": "abc"}], {"ap": 0.5}, {"seed": 1}, "0")
    optimizer = torch.optim.AdamW(net.parameters()).state_dict()
    paths = save_detector(tmp_path / "d.pth.tar", Detector(net, card, 7, 0.9, optimizer))
    assert [p.name for p in paths] == ["d.pth.tar", "d.safetensors", "d.json"]
    content = torch.load(paths[0], weights_only=True)
    golden = GOLDEN["detector.pth.tar"]
    assert list(content)[:4] == golden["entries"]
    shapes = {key: list(value.shape) for key, value in content["state_dict"].items()}
    assert shapes == golden["state_dict"]
    curves = np.random.default_rng(0).random((20, 9)).astype(np.float32)
    for path in paths[:2]:
        loaded = load_detector(path)
        assert (suspicion(loaded.net, curves) == suspicion(net, curves)).all()
        assert loaded.card == card
        assert loaded.has_seen("abc") and not loaded.has_seen("xyz")


class TheirLstm(nn.Module):
    """The published detector's modules, to load our state dict into."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(64, 2)
        self.lstm = nn.LSTM(1, 64, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.lstm(x)[0][:, -1, :])  # type: ignore[no-any-return]


def test_their_code_reads_our_file_and_gives_the_same_probabilities(tmp_path: Path) -> None:
    tar, _, _ = save_detector(tmp_path / "d", Detector(hand_made_detector()))
    theirs = TheirLstm()
    theirs.load_state_dict(torch.load(tar, weights_only=True)["state_dict"])
    curves = np.random.default_rng(0).random((5, 11)).astype(np.float32)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(curves)[:, :, None]).softmax(dim=1)[:, 1]
    assert np.allclose(suspicion(load_detector(tar).net, curves), expected, atol=1e-6)


def test_a_published_file_with_its_numpy_scalar_is_read(tmp_path: Path) -> None:
    net = TheirLstm()
    net.load_state_dict(hand_made_detector().state_dict())
    content = {
        "epoch": 10,
        "state_dict": net.state_dict(),
        "best_prec": np.float64(0.987),
        "optimizer": torch.optim.AdamW(net.parameters(), lr=0.1).state_dict(),
    }
    torch.save(content, tmp_path / "theirs.pth.tar")
    loaded = load_detector(tmp_path / "theirs.pth.tar")
    assert (loaded.epoch, loaded.best_prec) == (10, 0.987)
    assert loaded.card is None and loaded.has_seen("abc") is None


def test_a_pickle_bomb_is_refused_and_not_executed(tmp_path: Path) -> None:
    crater = tmp_path / "crater"
    torch.save({"state_dict": {"x": Bomb(crater)}}, tmp_path / "bomb.pth.tar")
    with pytest.raises(DetectorError, match="nothing was executed"):
        load_detector(tmp_path / "bomb.pth.tar")
    assert not crater.exists()


def constant() -> LstmDetector:
    net = LstmDetector()
    nn.init.zeros_(net.classifier.weight)
    return net


def nan_weights() -> LstmDetector:
    net = LstmDetector()
    nn.init.constant_(net.classifier.weight, torch.nan)
    return net


@pytest.mark.parametrize(
    ("net", "says"),
    [
        (constant(), "for every curve"),
        (nan_weights(), "NaN"),
        (LstmDetector(channels=2), "channel"),
    ],
)
@pytest.mark.parametrize("which", [0, 1])
def test_a_detector_that_says_nothing_is_refused(
    tmp_path: Path, net: LstmDetector, says: str, which: int
) -> None:
    path = save_detector(tmp_path / "d", Detector(net))[which]
    with pytest.raises(DetectorError, match=says):
        load_detector(path)


def test_fine_tuning_from_a_file_that_does_not_say_is_unknown(tmp_path: Path) -> None:
    card = Card([{"fingerprint": None}, {"fingerprint": "abc"}], {}, {}, "0")
    detector = Detector(hand_made_detector(), card)
    assert detector.has_seen("abc") is True and detector.has_seen("xyz") is None


def card_text(trained_on: Any) -> str:
    return json.dumps({"trained_on": trained_on, "held_out": {}, "settings": {}, "version": ""})


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": None},
        {"best_prec": "x"},
        {"card": "[1"},
        {"card": 3},
        {"epoch": float("inf")},
        {"optimizer": torch.ones(3)},
        {"card": "[" * 100_000},
        {"card": card_text(3)},
        {"card": card_text([{"fingerprint": [1]}])},
    ],
)
def test_odd_entries_of_a_detector_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = save_detector(tmp_path / "d", Detector(hand_made_detector()))[0]
    torch.save(torch.load(path, weights_only=True) | change, path)
    with pytest.raises(DetectorError):
        load_detector(path)


def test_a_folder_is_no_detector_file(tmp_path: Path) -> None:
    for path in (tmp_path, Path()):
        with pytest.raises(DetectorError, match="folder"):
            save_detector(path, Detector(hand_made_detector()))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def other_network(path: Path) -> None:
    torch.save({"state_dict": nn.Linear(2, 2).state_dict()}, path)


def no_state(path: Path) -> None:
    torch.save({"epoch": 3}, path)


def gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (truncate, "nothing was executed"),
        (other_network, "not an LSTM detector"),
        (no_state, "no state_dict"),
        (gone, "no such detector"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, damage: Any, says: str) -> None:
    path = save_detector(tmp_path / "d", Detector(hand_made_detector()))[0]
    damage(path)
    with pytest.raises(DetectorError, match=says):
        load_detector(path)


def test_damaged_safetensors_are_refused(tmp_path: Path) -> None:
    path = save_detector(tmp_path / "d", Detector(hand_made_detector()))[1]
    truncate(path)
    with pytest.raises(DetectorError, match="safetensors"):
        load_detector(path)


def test_scores_do_not_depend_on_the_size_of_batches() -> None:
    net = hand_made_detector()
    curves = np.random.default_rng(0).random((50, 7)).astype(np.float32)
    whole, parts = suspicion(net, curves), suspicion(net, curves, batch_size=16)
    assert np.allclose(whole, parts, atol=1e-6)


def test_a_run_is_scored_slab_by_slab_and_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = hand_made_detector()
    dynamics, _, _ = read_run(make_run(tmp_path, n=700, epochs=9))
    whole = suspicion(net, dynamics.given_curve())
    assert (score_run(dynamics, net) == whole).all()
    monkeypatch.setattr("tdctl.detector.scoring.SLAB", 5000)
    assert (score_run(dynamics, net) == whole).all(), "slabs hold whole batches"
    parts = [score_run(dynamics, net, a, b) for a, b in ((0, 250), (250, 333), (333, None))]
    assert [len(part) for part in parts] == [250, 83, 367]
    assert np.allclose(np.concatenate(parts), whole, atol=1e-6)
    assert not len(score_run(dynamics, net, 700, 700))


def test_a_ranking_that_takes_longer_says_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = hand_made_detector()
    dynamics, _, _ = read_run(make_run(tmp_path, n=700, epochs=9))
    told: list[Progress] = []
    score_run(dynamics, net, report=told.append)
    assert not told, "a moment is not reported"
    monkeypatch.setattr("tdctl.detector.scoring.SLAB", 5000)
    monkeypatch.setattr("tdctl.training.progress.Clock.step", counted_as_due)
    score_run(dynamics, net, report=told.append, stage="ranking r")
    assert [(one.epoch, one.epochs) for one in told] == [(256, 700), (512, 700), (700, 700)]
    assert {(one.stage, one.counted) for one in told} == {("ranking r", "sample")}
    assert told[-1].seconds_left == 0
    told.clear()
    score_run(dynamics, net, 600, None, report=told.append)
    assert not told, "a part of one slab"


def counted_as_due(clock: Clock, images: int) -> bool:
    """In place of ``Clock.step``, as if each step took long."""
    clock._steps += 1
    clock._images += images
    return True


def test_curves_are_scored_and_learned_alike_in_either_type(tmp_path: Path) -> None:
    run = curves_of(tmp_path / "a", n=200)
    assert run.values.dtype == np.float16
    wide = Curves(run.values.astype(np.float32), run.flipped)
    net = hand_made_detector()
    assert (suspicion(net, run.values) == suspicion(net, wide.values)).all()
    config = DetectorConfig(epochs=2, restarts=1)
    first, second = (train_net([curves], config, 0, CPU).net for curves in (run, wide))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert (a == b).all()
