"""InterpretDL's interpreters: its notebooks line by line on digits, and what each step gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from noisy_digits import CLASSES, check_found, noisy_digits, run_example
from torch import nn
from torch.utils.data import DataLoader

import tdctl.adapters.interpretdl as it
from tdctl import IndexedDataset, load_detector, read_run
from tdctl.errors import ConfigError, DynamicsError, RunError, TrainingError
from tdctl.figures.canvas import new_figure, save_figure
from tdctl.figures.pictures import draw_samples, sized_for_samples
from tdctl.figures.ranking import draw_histogram
from tdctl.metrics import detection_metrics
from tdctl.nets.cifar import CifarResNet


def samples(n: int, ratio: float = 0.2) -> tuple[list[Any], np.ndarray[Any, Any]]:
    """Pairs (image float32 [1, 8, 8], label), and which labels are wrong."""
    x, given, wrong = noisy_digits(n, ratio)
    return list(zip(x.reshape(n, 1, 8, 8), given.tolist(), strict=True)), wrong


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES))


def test_the_example_finds_planted_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_example("InterpretDL", tmp_path, monkeypatch)
    assert "the 50 worst:" in capsys.readouterr().out
    check_found(tmp_path / "runs/own")


def test_the_notebook_of_training_dynamics(tmp_path: Path) -> None:
    """Record with a ResNet, rank, draw the histogram and the 50 worst."""
    data, wrong = samples(400)
    org_digits = IndexedDataset(data)
    torch.manual_seed(0)
    model = CifarResNet(8, CLASSES, channels=1)
    train_loader = DataLoader(org_digits, batch_size=64, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    TDI = it.TrainingDynamics(model, device="cpu")
    said: list[tuple[int, float, float]] = []
    training_dynamics = TDI.generator(
        train_loader=train_loader,
        optimizer=optimizer,
        epochs=8,
        progress=lambda *row: said.append(row),
    )
    assigned_targets = [org_digits[i][2] for i in range(len(org_digits))]
    TDI.save(training_dynamics, assigned_targets, label_flip=None, save_path=tmp_path / "assets")

    BHDF = it.BHDFInterpreter(device="cpu")
    order, predictions = BHDF.interpret(
        training_dynamics_path=tmp_path / "assets/training_dynamics.npz"
    )
    figure = new_figure()
    draw_histogram(figure.add_subplot(), np.array(predictions))
    save_figure(figure, tmp_path / "histogram.png")
    top = np.flip(order[-50:])
    figure = sized_for_samples(50)
    pictures = [(data[i][0][0] * 255).numpy().astype(np.uint8) for i in top]
    draw_samples(figure, pictures, [[str(data[i][1])] for i in top])
    save_figure(figure, tmp_path / "worst.png")

    assert said[0][1] > said[-1][1] and [row[0] for row in said] == list(range(8))
    assert (tmp_path / "histogram.png").stat().st_size > 5000
    assert (tmp_path / "worst.png").stat().st_size > 20000
    found = detection_metrics(predictions, wrong)
    assert found.auc is not None and found.auc > 0.9
    assert wrong[top].mean() > 0.8


def test_the_notebook_of_forgetting_events(tmp_path: Path) -> None:
    """Find 1 % mislabeled digits, and print recall, precision and F1."""
    x, given, _ = noisy_digits(1700, ratio=0)
    labels = given.numpy().copy()
    rng = np.random.default_rng(0)
    for i in range(0, 1700, 100):
        labels[i] = rng.choice(np.delete(np.arange(10), labels[i]))

    def reader_prepare() -> Any:
        for idx, (image, label) in enumerate(zip(x.numpy(), labels, strict=True)):
            yield idx, image.reshape(1, 8, 8), int(label)

    def train_reader() -> Any:
        batch = []
        for sample in reader_prepare():
            batch.append(sample)
            if len(batch) == BATCH_SIZE:
                yield batch
                batch = []
        yield batch

    BATCH_SIZE = 128
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 10))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)

    fe = it.ForgettingEventsInterpreter(net, "cpu")
    stats, noisy_samples = fe.interpret(
        train_reader,
        optimizer,
        batch_size=BATCH_SIZE,
        epochs=60,
        noisy_labels=True,
        save_path=tmp_path / "assets",
    )
    recall = np.sum([id_ % 100 == 0 for id_ in noisy_samples]) / (1700 / 100)
    precision = np.sum([id_ % 100 == 0 for id_ in noisy_samples]) / len(noisy_samples)
    print("Recall: ", recall)
    print("Precision: ", precision)
    print("F1 Score: ", 2 * (recall * precision) / (recall + precision))

    assert recall > 0.75 and precision > 0.75
    assert sorted(stats) == list(range(1700))
    with np.load(tmp_path / "assets/stats.npz", allow_pickle=False) as written:
        assert written["right"].shape == written["predicted"].shape == (1700, 60)
        assert np.array_equal(written["right"][7], stats[int(written["index"][7])][0])


def test_the_last_smaller_batch_is_recorded_and_gaps_are_bridged(tmp_path: Path) -> None:
    """InterpretDL records NaN for a last, smaller batch."""
    data = [(i, *pair) for i, pair in enumerate(samples(70)[0])]
    shown = [data, data[:40], data[10:]]  # sample 65 is not in epoch 1, sample 5 not in epoch 2
    net = linear()

    class Loader:
        epoch = -1

        def __iter__(self) -> Any:
            self.epoch += 1
            return iter(DataLoader(shown[self.epoch], 32))

    TDI = it.TrainingDynamics(net)
    kept = TDI.generator(Loader(), torch.optim.SGD(net.parameters(), 0.1), 3)
    assert sorted(kept) == list(range(70)) and kept[0].shape == (3, CLASSES)
    empty = {i: np.flatnonzero(np.isnan(kept[i]).any(axis=1)).tolist() for i in kept}
    assert all(empty[i] == [2] for i in range(10)) and all(empty[i] == [1] for i in range(40, 70))
    assert all(empty[i] == [] for i in range(10, 40))
    given = [label for _, _, label in data]
    flip = np.arange(70) % 7 == 0
    assert TDI.save(kept, given, flip, tmp_path) is TDI
    dynamics, labels, _ = read_run(tmp_path)
    assert np.array_equal(labels.assigned, given) and np.array_equal(labels.flipped, flip)
    td = dynamics.td[:]
    assert np.array_equal(td[65, 1], td[65, 0]) and np.array_equal(td[5, 2], td[5, 1])
    assert np.array_equal(td[20, :, 0], kept[20][:, given[20]])


def test_a_sample_that_is_shown_late_gets_its_first_values(tmp_path: Path) -> None:
    late = np.full((3, 2), np.nan)
    late[1:] = [[0.25, 0.75], [0.5, 0.5]]
    it.TrainingDynamics(linear()).save({4: late, 2: np.full((3, 2), 0.5)}, [0, 1], None, tmp_path)
    dynamics, labels, _ = read_run(tmp_path)
    assert dynamics.index.tolist() == [2, 4] and labels.assigned.tolist() == [0, 1]
    assert dynamics.td[1, :, 0].tolist() == [0.75, 0.75, 0.5]


def test_what_is_not_fit_to_be_saved_is_refused(tmp_path: Path) -> None:
    saves = it.TrainingDynamics(linear()).save
    kept = {0: np.full((2, 2), 0.5), 1: np.full((2, 2), 0.5)}
    with pytest.raises(DynamicsError, match="assigned_targets: 3 values for 2 recorded samples"):
        saves(kept, [0, 1, 0], None, tmp_path)
    with pytest.raises(DynamicsError, match="label_flip: 1 values for 2 recorded samples"):
        saves(kept, [0, 1], [True], tmp_path)
    saves(kept, [0, 1], None, tmp_path)
    with pytest.raises(RunError, match="exists; give another save_path"):
        saves(kept, [0, 1], None, tmp_path)
    saves(kept, [1, 0], None, tmp_path, overwrite=True)
    assert read_run(tmp_path)[1].assigned.tolist() == [1, 0]


def test_arrays_files_and_any_detector_rank_alike(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(4), (50, 6))
    kept = {i: probs[i] for i in range(50)}
    it.TrainingDynamics(linear()).save(kept, [i % 4 for i in range(50)], None, tmp_path)
    path = tmp_path / "training_dynamics.npz"
    BHDF = it.BHDFInterpreter()
    order, predictions = BHDF.interpret(training_dynamics_path=path)
    with np.load(path, allow_pickle=False) as arrays:
        again = BHDF.interpret(training_dynamics={name: arrays[name] for name in arrays})
    assert np.array_equal(order, again[0]) and predictions == again[1]
    assert np.array_equal(np.array(predictions)[order], np.sort(predictions))
    dynamics = read_run(tmp_path)[0]
    builtin = load_detector(Path("builtin"))
    assert predictions == builtin.score(dynamics).tolist()

    class Theirs(nn.Module):
        """As InterpretDL's detectors: curves [B, E] to probabilities [B, 2]."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            wrong = 1 - x.mean(dim=1)
            return torch.stack([1 - wrong, wrong], dim=1)

    _, said = it.BHDFInterpreter(Theirs()).interpret(training_dynamics_path=path)
    assert np.allclose(said, 1 - dynamics.td[:, :, 0].astype(np.float32).mean(axis=1))


def test_what_cannot_be_ranked_is_refused(tmp_path: Path) -> None:
    BHDF = it.BHDFInterpreter()
    with pytest.raises(RunError, match="no such file"):
        BHDF.interpret(training_dynamics_path=tmp_path / "training_dynamics.npz")
    with pytest.raises(DynamicsError, match="has no labels"):
        BHDF.interpret(training_dynamics={"td": np.zeros((2, 3, 4))})
    with pytest.raises(DynamicsError, match=r"td is \(2, 3, 4\) and labels \(2, 3\)"):
        BHDF.interpret({"td": np.zeros((2, 3, 4)), "labels": np.zeros((2, 3), np.int64)})


def test_forgetting_events_are_counted_as_interpretdl_counts_them(tmp_path: Path) -> None:
    fe = it.ForgettingEventsInterpreter(linear())
    right = {3: [0, 1, 0, 1, 0], 5: [0, 0, 0, 0, 0], 8: [0, 0, 1, 1, 1]}
    said = [9, 1, 2, 1, 4]
    stats = {i: (np.array(row), np.array(said)) for i, row in right.items()}
    counts, forgotten = fe.compute_and_order_forgetting_stats(stats)
    assert counts == {2: [3], -1: [5], 0: [8]}
    assert {i: row.tolist() for i, row in forgotten.items()} == {3: [2, 4], 5: said, 8: []}
    # 60 samples that are right from the beginning, one that is learned last, one never.
    early = {i: (np.ones(9, int), np.zeros(9, int)) for i in range(60)}
    late = {70: (np.array([0] * 8 + [1]), np.zeros(9, int)), 71: (np.zeros(9, int),) * 2}
    assert fe.find_noisy_labels(early | late) == [70]
    assert fe.find_noisy_labels({}) == []


def test_readers_loaders_and_data_sets_train_alike(tmp_path: Path) -> None:
    data = IndexedDataset(samples(100)[0])
    found = []
    for reader in (data, DataLoader(data, 32), lambda: iter(DataLoader(data, 32))):
        net = linear()
        optimizer = torch.optim.SGD(net.parameters(), 0.5)
        stats, (counts, forgotten) = it.ForgettingEventsInterpreter(net).interpret(
            reader, optimizer, 32, 4
        )
        assert sorted(index for some in counts.values() for index in some) == list(range(100))
        assert sorted(forgotten) == list(range(100))
        found.append({i: (a.tolist(), b.tolist()) for i, (a, b) in stats.items()})
    assert found[0] == found[1] == found[2]


def test_mistakes_are_said(tmp_path: Path) -> None:
    data = IndexedDataset(samples(100)[0])
    net = linear()
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    fe = it.ForgettingEventsInterpreter(net)
    with pytest.raises(ConfigError, match="a batch has 64 samples; expected at most batch_size, 3"):
        fe.interpret(DataLoader(data, 64), optimizer, 32, 1)
    with pytest.raises(DynamicsError, match="a batch has 2 parts"):
        fe.interpret(samples(10)[0], optimizer, 32, 1)  # type: ignore[arg-type]
    with pytest.raises(DynamicsError, match="the loader gave no batch"):
        fe.interpret(lambda: [], optimizer, 32, 1)
    (tmp_path / "stats.npz").touch()
    with pytest.raises(RunError, match="exists"):
        fe.interpret(data, optimizer, 32, 1, save_path=tmp_path)
    torch.nn.init.constant_(net[1].weight, np.inf)  # type: ignore[index]
    with pytest.raises(TrainingError, match="epoch 0, batch 0: the loss is not finite"):
        fe.interpret(data, optimizer, 32, 1)
