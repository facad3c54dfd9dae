from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_run, planted_labels, softmax_history
from sklearn.metrics import average_precision_score
from torch import nn

from tdctl.config import DetectorConfig
from tdctl.detector import (
    Card,
    Curves,
    Detector,
    Reader,
    load_detector,
    reader_of,
    save_detector,
    suspicion,
    train_net,
)
from tdctl.detector.channels import SETS
from tdctl.detector.distort_curves import augmented
from tdctl.detector.nets import PooledDetector, make_net
from tdctl.detector.preset import DetectorPreset
from tdctl.detector.ranking_loss import detection_loss, ranking_loss
from tdctl.dynamics import TrainingDynamics, read_run, write_td
from tdctl.errors import ConfigError, DetectorError
from tdctl.labels import Labels
from tdctl.metadata import write_metadata
from tdctl.settings import load_config

CPU = torch.device("cpu")
FAST: dict[str, Any] = {"epochs": 4, "restarts": 1, "batch_size": 64}


def config_of(net: str = "gru", **more: Any) -> DetectorConfig:
    return DetectorConfig(**({"detector_net": net} | FAST | more))


def slow_history(
    labels: Labels, classes: int, epochs: int, seed: int, noise: float = 0.6, last: float = 0.85
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Probabilities [E, n, k] and margins [E, n] where samples differ in how late they are learned.

    Wrong labels are learned by heart about the time ``last``: before, hard right ones look like
    them. Above all they differ in that a wrong label's network is sure of another class.
    """
    rng = np.random.default_rng(seed)
    rows, time = np.arange(len(labels)), np.linspace(0, 1, epochs)[:, None]
    hard, heart = rng.beta(1.2, 2, len(labels)), rng.normal(last, 0.1, len(labels))
    logits = rng.normal(0, noise, (epochs, len(labels), classes))
    logits[:, rows, labels.true] += 5 / (1 + np.exp(-14 * (time - hard)))
    wrong = labels.flipped[None, :]
    logits[:, rows, labels.assigned] += 8 * wrong / (1 + np.exp(-20 * (time - heart)))
    own = logits[:, rows, labels.assigned]
    others = logits.copy()
    others[:, rows, labels.assigned] = -np.inf
    probs = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    return probs.astype(np.float16), (own - others.max(axis=2)).astype(np.float32)


def noisy_history(
    labels: Labels, classes: int, epochs: int, seed: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The same with louder noise and wrong labels that are learned earlier."""
    return slow_history(labels, classes, epochs, seed, noise=1.5, last=0.6)


History = Callable[..., tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]


def planted(
    folder: Path, history: History, n: int, classes: int, epochs: int, seed: int, ratio: float
) -> tuple[TrainingDynamics, Labels]:
    folder.mkdir()
    labels = planted_labels(n, classes, ratio, seed)
    probs, margins = history(labels, classes, epochs, seed)
    write_td(folder / "training_dynamics.npz", probs, margins, labels)
    write_metadata(folder / "metadata.pth", labels, np.zeros(0, dtype=np.int64))
    return read_run(folder)[:2]


def trained(runs: list[tuple[TrainingDynamics, Labels]], config: DetectorConfig) -> Detector:
    reader = reader_of(config)
    curves = [Curves(reader.open(td).rows(), labels.flipped) for td, labels in runs]
    return Detector(train_net(curves, config, 0, CPU).net, reader=reader)


def ap_of(detector: Detector, run: tuple[TrainingDynamics, Labels]) -> float:
    return float(average_precision_score(run[1].flipped, detector.score(run[0])))


@pytest.mark.parametrize(("net", "channels"), [("gru", "most"), ("tcn", "all"), ("lstm", "ranks")])
def test_errors_of_another_generator_length_rate_and_class_count_are_found(
    tmp_path: Path, net: str, channels: str
) -> None:
    a = planted(tmp_path / "a", softmax_history, 250, 5, 10, 0, 0.2)
    b = planted(tmp_path / "b", slow_history, 250, 8, 25, 1, 0.3)
    held = planted(tmp_path / "c", slow_history, 300, 8, 18, 2, 0.15)
    easy = planted(tmp_path / "d", softmax_history, 300, 7, 40, 3, 0.1)
    late = planted(tmp_path / "e", slow_history, 400, 6, 100, 4, 0.35)
    detector = trained([a, b, held], config_of(net, channels=channels, epochs=6))
    assert ap_of(detector, easy) > 0.95
    assert ap_of(detector, late) > 0.9


def test_more_channels_read_hard_runs_better_than_one(tmp_path: Path) -> None:
    runs = [planted(tmp_path / f"t{i}", noisy_history, 300, 8, 20, i, 0.25) for i in range(3)]
    other = planted(tmp_path / "o", noisy_history, 400, 8, 20, 9, 0.25)
    many, papers = (trained(runs, config_of(net, epochs=8)) for net in ("tcn", "lstm"))
    assert papers.reader.is_papers
    assert ap_of(many, other) > max(0.9, ap_of(papers, other) + 0.1)


def test_trained_on_ten_epochs_it_scores_a_hundred_in_any_order(tmp_path: Path) -> None:
    short, _ = planted(tmp_path / "a", softmax_history, 300, 5, 10, 0, 0.2), None
    long = planted(tmp_path / "b", softmax_history, 200, 5, 100, 1, 0.2)
    detector = trained([short], config_of("tcn"))
    scores = detector.score(long[0])
    assert scores.shape == (200,) and scores.dtype == np.float64
    assert ((scores >= 0) & (scores <= 1)).all()
    assert average_precision_score(long[1].flipped, scores) > 0.9
    order = np.random.default_rng(0).permutation(200)
    assert np.allclose(detector.score(long[0].take(order)), scores[order], atol=1e-6)
    parts = [detector.score(long[0], a, b) for a, b in ((0, 70), (70, 71), (71, None))]
    assert np.allclose(np.concatenate(parts), scores, atol=1e-6)


@pytest.mark.parametrize("net", ["gru", "tcn", "lstm"])
def test_the_same_seed_trains_the_same_weights(tmp_path: Path, net: str) -> None:
    runs = [read_run(make_run(tmp_path / name, seed=seed))[:2] for seed, name in enumerate("ab")]
    config = config_of(net, channels="most", epochs=2, restarts=2)
    state = torch.random.get_rng_state()
    first, second = (trained(runs, config).fingerprint() for _ in "ab")
    assert first == second
    assert (torch.random.get_rng_state() == state).all(), "the caller's generator is left alone"


@pytest.mark.parametrize("net", ["gru", "tcn", "lstm"])
def test_a_detector_comes_back_from_its_files(tmp_path: Path, net: str) -> None:
    run = read_run(make_run(tmp_path / "r"))[0]
    reader = Reader(net, SETS["most"], 30)
    torch.manual_seed(0)
    card = Card([{"fingerprint": "abc"}], {"ap": 0.5}, {"seed": 1}, "0")
    detector = Detector(make_net(net, len(reader.channels)), card, reader=reader)
    files = save_detector(tmp_path / "d", detector)
    assert [file.name for file in files] == ["d.safetensors", "d.json"]
    assert files[0].stat().st_size < 1_000_000
    loaded = load_detector(files[0])
    assert loaded.reader == reader and loaded.card == card
    assert (loaded.score(run) == detector.score(run)).all()
    assert json.loads(files[1].read_text())["reader"]["steps"] == 30


def test_the_scale_of_the_channels_is_part_of_the_weights(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "r"))[:2]
    net = trained([run], config_of("gru", epochs=1)).net
    values = reader_of(config_of("gru")).open(run[0]).rows()
    assert isinstance(net.centre, torch.Tensor) and isinstance(net.scale, torch.Tensor)
    assert not torch.equal(net.centre, torch.zeros_like(net.centre))
    assert np.allclose(net.centre, values.mean(axis=(0, 1)), atol=0.05)
    assert "centre" in net.state_dict() and "scale" in net.state_dict()


def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    detector = Detector(make_net("gru", 5), reader=Reader("gru", SETS["ranks"], 30))
    return save_detector(tmp_path / "d", detector)[0]


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    card = path.with_suffix(".json")
    content = json.loads(card.read_text())
    change(content)
    card.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda card: card["reader"].update(net="mamba"), "version of tdctl"),
        (lambda card: card["reader"].update(channels=["smell"] * 5), "version of tdctl"),
        (lambda card: card["reader"].update(channels=[]), "version of tdctl"),
        (lambda card: card["reader"].update(channels=5), "version of tdctl"),
        (lambda card: card["reader"].update(channels=[[1]]), "version of tdctl"),
        (lambda card: card["reader"].update(steps="30"), "version of tdctl"),
        (lambda card: card["reader"].update(steps=10**9), "version of tdctl"),
        (lambda card: card["reader"].update(more=1), "version of tdctl"),
        (lambda card: card.update(reader=None), "version of tdctl"),
        (lambda card: card["reader"].update(channels=["given"]), "not those of the gru of 1"),
        (lambda card: card["reader"].update(net="tcn"), "not those of the tcn"),
        (lambda card: card.pop("reader"), "not an LSTM detector"),
        (lambda card: card.update(weights="0"), "not those that its card describes"),
        (lambda card: card.update(trained_on=[]), "not the JSON"),
    ],
)
def test_cards_that_do_not_fit_are_refused(tmp_path: Path, change: Any, says: str) -> None:
    path = saved(tmp_path)
    load_detector(path)
    edit(path, change)
    with pytest.raises(DetectorError, match=says):
        load_detector(path)


def test_without_its_card_a_detector_of_many_channels_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    path.with_suffix(".json").unlink()
    with pytest.raises(DetectorError, match="a card beside it"):
        load_detector(path)


@pytest.mark.parametrize(("value", "says"), [(0.0, "for every curve"), (torch.nan, "NaN")])
@pytest.mark.parametrize("kind", ["gru", "tcn", "lstm"])
def test_one_that_says_nothing_is_refused(
    tmp_path: Path, kind: str, value: float, says: str
) -> None:
    net = make_net(kind, 5)
    last = net.classifier if kind == "lstm" else net.head[2]  # type: ignore[index]
    assert isinstance(last, nn.Linear)
    nn.init.constant_(last.weight, value)
    path = save_detector(tmp_path / "d", Detector(net, reader=Reader(kind, SETS["ranks"], 30)))[0]
    with pytest.raises(DetectorError, match=says):
        load_detector(path)


@pytest.mark.parametrize("kind", ["gru", "tcn", "lstm"])
def test_a_network_of_another_width_comes_back(tmp_path: Path, kind: str) -> None:
    reader = Reader(kind, SETS["ranks"], 12, 20)
    net = make_net(kind, 5, 20)
    files = save_detector(tmp_path / "d", Detector(net, reader=reader))
    loaded = load_detector(files[0])
    curves = torch.rand(7, 12, 5)
    assert loaded.reader == reader
    assert torch.equal(loaded.net(curves), net(curves))
    card = json.loads(files[1].read_text())
    card["reader"]["width"] = 1025
    files[1].write_text(json.dumps(card))
    with pytest.raises(DetectorError, match="does not know"):
        load_detector(files[0])


def test_the_published_layout_is_for_the_papers_network_alone(tmp_path: Path) -> None:
    detector = Detector(make_net("gru", 1), reader=Reader("gru", ("given",), 30))
    with pytest.raises(DetectorError, match=r"name d\.safetensors"):
        save_detector(tmp_path / "d.pth.tar", detector)
    assert not list(tmp_path.iterdir())
    saved(tmp_path)
    with pytest.raises(DetectorError, match=r"no such detector; use .*d\.safetensors"):
        load_detector(tmp_path / "d.pth.tar")


def test_a_training_that_learns_nothing_is_refused() -> None:
    run = Curves(np.full((200, 5, 1), 0.5, np.float32), np.arange(200) % 4 == 0)
    with pytest.raises(DetectorError, match="collapsed"):
        train_net([run], config_of("gru", channels="given"), 0, CPU)


def test_defaults_of_the_networks() -> None:
    papers = DetectorConfig()
    assert reader_of(papers) == Reader("lstm", ("given",), 0) and reader_of(papers).is_papers
    assert reader_of(config_of("gru")) == Reader("gru", SETS["most"], 30)
    assert reader_of(config_of("lstm", channels="ranks")).steps == 30
    assert reader_of(config_of("gru", channels="given")).steps == 30
    assert reader_of(config_of("lstm", width=64)).is_papers, "that is its own width"
    wide = reader_of(config_of("lstm", width=32))
    assert not wide.is_papers and (wide.width, wide.steps) == (32, 30)
    recipe = DetectorPreset.of(DetectorConfig(detector_net="gru"), 10_000)
    assert (recipe.augment, recipe.balanced, recipe.batch_size) == (True, True, 256)
    with pytest.raises(ConfigError, match="paper is the recipe of --detector-net lstm"):
        load_config(None, {"detector.preset": "paper", "detector.detector_net": "gru"})


def test_small_runs_count_as_much_as_large_ones(tmp_path: Path) -> None:
    """A run of other curves, a tenth of the size, is learned too."""
    large = Curves(np.random.default_rng(0).random((1000, 4, 1), np.float32), np.arange(1000) < 300)
    small = Curves(large.values[:100] * 0.5, np.arange(100) < 30)
    from tdctl.detector.train_net import _Job

    recipe = DetectorPreset.of(config_of("gru"), 1100)
    job = _Job([large, small], small, recipe, CPU, None)
    batches = job._batches()
    of_run = [sum(len(rows) for run, rows in batches if run == which) for which in (0, 1)]
    assert of_run == [550, 550]
    assert sum(len(rows) for _, rows in batches) == 1100


def test_the_ranking_loss_is_its_formula() -> None:
    scores = torch.tensor([0.3, -1.0, 2.0, 0.5], dtype=torch.float64, requires_grad=True)
    flipped = torch.tensor([True, False, False, True])
    right, expected = [-1.0, 2.0], 0.0
    for own in (0.3, 0.5):
        expected += np.log(1 + np.mean([np.exp(other - own) for other in right])) / 2
    loss = ranking_loss(scores, flipped)
    assert loss.item() == pytest.approx(expected)
    torch.autograd.backward(loss)
    assert scores.grad is not None
    assert (scores.grad[flipped] < 0).all() and (scores.grad[~flipped] > 0).all()
    for one_kind in (torch.ones(4, dtype=torch.bool), torch.zeros(4, dtype=torch.bool)):
        assert ranking_loss(scores, one_kind).item() == 0


def test_without_a_ranking_loss_cross_entropy_remains() -> None:
    logits, goals = torch.randn(6, 2), torch.tensor([0, 1, 0, 0, 1, 0])
    expected = nn.functional.cross_entropy(logits, goals)
    assert torch.equal(detection_loss(logits, goals, 0.0), expected)
    assert detection_loss(logits, goals, 1.0) > expected


def test_augmented_curves_keep_shape_range_and_the_pairing_of_rows() -> None:
    torch.manual_seed(0)
    curves = torch.rand(16, 30, 3)
    flat = torch.ones(16, 30, 1) * torch.arange(16)[:, None, None]
    assert not torch.equal(augmented(curves), curves)
    for _ in range(20):
        changed = augmented(torch.cat([curves, flat], dim=2))
        assert changed.shape == (16, 30, 4)
        assert changed[:, :, :3].min() > -0.3 and changed[:, :, :3].max() < 1.3
        assert torch.allclose(changed[:, :, 3].mean(dim=1), torch.arange(16.0), atol=0.5)


def test_suspicion_takes_the_channels_of_a_reader(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "r"))[0]
    reader = Reader("tcn", SETS["most"], 12)
    torch.manual_seed(0)
    net = make_net("tcn", len(reader.channels))
    found = suspicion(net, reader.open(run).rows())
    assert np.allclose(found, Detector(net, reader=reader).score(run), atol=1e-6)


def test_what_was_constant_in_training_says_nothing_elsewhere() -> None:
    net = make_net("gru", 2)
    assert isinstance(net, PooledDetector)
    net.fit_scale(torch.tensor([0.5, 0.3]), torch.tensor([1.0, 0.0]))
    curves = torch.rand(4, 10, 2)
    other = curves.clone()
    other[:, :, 1] = 0.9
    assert torch.allclose(net(curves), net(other), atol=1e-4)
    # Nor does a value far beyond all that was seen weigh more than one at the edge.
    curves[:, :, 0], other[:, :, 0] = 50.0, 5000.0
    assert torch.allclose(net(curves), net(other), atol=1e-4)
