from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_run, planted_labels, tiny_config
from processes import in_world
from sklearn.metrics import roc_auc_score
from torch import nn

from tdctl import runner
from tdctl.config import DataConfig, NetConfig, TrainConfig
from tdctl.data import open_dataset
from tdctl.detector import Reader
from tdctl.detector.channels import SETS
from tdctl.dynamics import read_run
from tdctl.errors import ConfigError, DynamicsError, RunError, TrainingError
from tdctl.labels import Labels
from tdctl.nets import build_net
from tdctl.recorder import EpochRows, Recorder, forecast
from tdctl.recorder.neighbours import REFERENCES, agreement
from tdctl.scores import score
from tdctl.settings import load_config
from tdctl.training import Pipeline, Progress, World, fit
from tdctl.training.tap import Tap

N, CLASSES = 90, 7


def made(n: int = N, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    given = torch.randint(0, CLASSES, (n,), generator=generator)
    centres = torch.randn(CLASSES, 12, generator=generator)
    return centres[given] + torch.randn(n, 12, generator=generator) + 5, given


def written_out(features: torch.Tensor, given: torch.Tensor, k: int, among: Any) -> list[float]:
    vectors = features.double().numpy() - features.double().numpy().mean(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = []
    for i in range(len(vectors)):
        others = [j for j in among if j != i]
        nearest = sorted(others, key=lambda j: -float(vectors[i] @ vectors[j]))[:k]
        shares = np.bincount(given.numpy()[nearest], minlength=CLASSES) / k
        found.append(shares[given[i]] - np.delete(shares, given[i]).max())
    return found


@pytest.mark.parametrize("k", [1, 4, N - 1])
@pytest.mark.parametrize("block", [1, 7 * 4 * N, 1 << 20])
def test_blocks_give_what_brute_force_gives(
    k: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tdctl.recorder.neighbours.BLOCK", {"cpu": block})
    features, given = made()
    found = agreement(features, given, k)
    assert found.dtype == torch.float16 and found.shape == (N,)
    assert found.tolist() == pytest.approx(written_out(features, given, k, range(N)), abs=1e-3)


def test_of_many_samples_the_nearest_among_a_drawn_part_are_asked() -> None:
    features, given = made()
    drawn = torch.randperm(N, generator=torch.Generator().manual_seed(3))[:40].tolist()
    found = agreement(features, given, 5, seed=3, references=40)
    assert found.tolist() == pytest.approx(written_out(features, given, 5, drawn), abs=1e-3)
    assert not torch.equal(found, agreement(features, given, 5, seed=4, references=40))


def test_a_sample_has_no_vote_on_itself() -> None:
    features, _ = made()
    alone = torch.arange(N)  # a label of its own for each
    assert (agreement(features, alone, 1) == -1).all()
    assert (agreement(features, torch.zeros_like(alone), 3) == 1).all()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_neither_scale_nor_a_common_shift_changes_the_vote(scale: float) -> None:
    features, given = made()
    assert torch.equal(agreement(scale * features + 2, given, 5), agreement(features, given, 5))


def recorded(folder: Path, labels: Labels, features: torch.Tensor, **more: Any) -> Any:
    logits = torch.randn(len(labels), CLASSES, generator=torch.Generator().manual_seed(1))
    recorder = Recorder.create(folder, labels, CLASSES, len(features), neighbours=4, **more)
    index = torch.from_numpy(labels.index)
    for epoch in range(len(features)):
        for rows in torch.randperm(len(labels)).split(13):
            recorder.record(index[rows], logits[rows], features[epoch, rows])
        recorder.commit(epoch)
    recorder.finish()
    return read_run(folder)[0]


@pytest.mark.parametrize("store", ["full", "given", "topk:2"])
def test_what_is_recorded_follows_the_index_into_the_file_and_back(
    tmp_path: Path, store: str
) -> None:
    labels = planted_labels(N, CLASSES)
    features = torch.randn(2, N, 12, generator=torch.Generator().manual_seed(0))
    dynamics = recorded(tmp_path, labels, features, store=store)
    given = torch.from_numpy(labels.assigned)
    assert dynamics.neighbours.shape == (N, 2) and dynamics.neighbours.dtype == np.float16
    for epoch in range(2):
        expected = agreement(features[epoch].half(), given, 4).numpy()
        assert (dynamics.neighbours[:, epoch] == expected).all()
    order = np.random.default_rng(0).permutation(N)
    assert (dynamics.take(order).neighbours[:] == dynamics.neighbours[:][order]).all()
    parts = [part.neighbours for part in dynamics.slabs(17)]
    assert (np.concatenate(parts) == dynamics.neighbours[:]).all()
    size = (tmp_path / "training_dynamics.npz").stat().st_size
    expected_bytes = forecast(N, CLASSES, 2, store, 4).file_bytes
    assert size == pytest.approx(expected_bytes, rel=0.35)
    assert expected_bytes - forecast(N, CLASSES, 2, store).file_bytes > 2 * 2 * N


def test_rows_of_several_processes_vote_together(tmp_path: Path) -> None:
    labels = planted_labels(N, CLASSES)
    features = torch.randn(1, N, 12)
    alone = recorded(tmp_path / "alone", labels, features)
    recorder = Recorder.create(tmp_path / "r", labels, CLASSES, 1, neighbours=4)
    others = [EpochRows(labels, CLASSES, "cpu", features=True) for _ in range(3)]
    index, logits = torch.from_numpy(labels.index), torch.zeros(N, CLASSES)
    for rank, rows in enumerate((recorder.rows, *others[:2])):
        rows.record(index[rank::3], logits[rank::3], features[0, rank::3])
    recorder.rows.absorb([rows.packed() for rows in others])  # the last of them saw nothing
    recorder.commit(0)
    recorder.finish()
    assert (read_run(tmp_path / "r")[0].neighbours[:] == alone.neighbours[:]).all()


def trained(folder: Path, world: World | None = None, report: Any = None, **train: Any) -> Any:
    """A small network on digits, with neighbours; goes on where there is a checkpoint."""
    world = World() if world is None else world
    data = open_dataset(DataConfig(limit=151))
    settings = {"epochs": 3, "batch_size": 64, "amp": False, "neighbours": 5} | train
    config = TrainConfig(**settings)
    labels = Labels(data.train.index, data.train.targets, data.train.targets)
    checkpoint = folder / "checkpoint.pth"
    make = Recorder.resume if checkpoint.exists() else Recorder.create
    rows: Recorder | EpochRows = EpochRows(labels, 10, "cpu", features=True)
    if world.is_first:
        rows = make(folder, labels, 10, config.epochs, neighbours=config.neighbours)
    net = build_net(NetConfig(depth=8), 10, (1, 8, 8), 0)
    fit(
        net,
        data.train,
        config,
        Pipeline.of(config, data, torch.device("cpu")),
        0,
        world=world,
        recorder=rows,
        capture=config.capture,
        checkpoint=checkpoint,
        report=report,
    )
    assert not any(module._forward_pre_hooks for module in net.modules())
    if isinstance(rows, Recorder):
        rows.write()
        return np.array(read_run(folder)[0].neighbours)
    return None


@pytest.mark.parametrize(
    "train",
    [{}, {"capture": "eval-pass"}, {"capture": "eval-pass", "average": "ema"}],
    ids=lambda train: " ".join(map(str, train.values())),
)
def test_a_training_that_was_stopped_goes_on_to_the_same_bits(
    tmp_path: Path, train: dict[str, Any]
) -> None:
    class Stop(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.epoch == 2:
            raise Stop

    whole = trained(tmp_path / "a", **train)
    assert len(np.unique(whole)) > 5
    with pytest.raises(Stop):
        trained(tmp_path / "b", report=stop, **train)
    trained(tmp_path / "b", **train)
    a, b = (tmp_path / name / "training_dynamics.npz" for name in ("a", "b"))
    assert a.read_bytes() == b.read_bytes()


def test_processes_collect_the_features_of_every_sample(tmp_path: Path) -> None:
    def run() -> Any:
        with World.joined("cpu") as world:
            return trained(tmp_path / "two", world, capture="eval-pass", epochs=1)

    found = in_world(2, run)[0]
    alone = trained(tmp_path / "one", capture="eval-pass", epochs=1)
    assert found.shape == alone.shape
    # The weights differ by the statistics of half a batch: nearly the same neighbours.
    assert np.corrcoef(found[:, 0], alone[:, 0])[0, 1] > 0.5


def test_the_features_are_what_the_last_layer_is_given() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    tap, images = Tap(net), torch.randn(5, 3)
    net(images)
    assert torch.equal(tap.taken(), net[:2](images))
    with pytest.raises(TrainingError, match="was not called"):
        tap.taken()
    tap.close()
    net(images)
    with pytest.raises(TrainingError, match="was not called"):
        tap.taken()
    with pytest.raises(TrainingError, match="no linear layer"):
        Tap(nn.Conv2d(1, 1, 1))


def test_a_compiled_pass_gives_the_same_features() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    tap, compiled = Tap(net), torch.compile(net, dynamic=False, backend="aot_eager")
    for _ in range(2):
        images = torch.randn(5, 3)
        compiled(images).sum().backward()
        assert torch.allclose(tap.taken(), net[:2](images))


def test_wrong_labels_of_digits_rank_high(tmp_path: Path) -> None:
    settings = {
        "recipe": "neighbours", "train.epochs": 3, "train.amp": False, "train.compile": False,
        "data.limit": 500, "noise.noise_ratio": 0.2, "noise.noise_type": "flip",
    }  # fmt: skip
    run = tmp_path / "run"
    result = runner.generate_td(load_config(None, settings), run)
    assert result.manifest["neighbours"] == 20
    dynamics, labels, _ = read_run(run)
    assert roc_auc_score(labels.flipped, score(dynamics, "neighbours")) > 0.9
    seen = Reader("gru", SETS["near"], 10).open(dynamics).rows()
    assert seen.shape == (500, 10, len(SETS["near"])) and np.isfinite(seen).all()


def test_a_run_without_them_is_read_and_says_so(tmp_path: Path, digits_run: Path) -> None:
    dynamics, _, _ = read_run(digits_run)
    assert dynamics.neighbours is None
    with pytest.raises(DynamicsError, match=r"holds no neighbours; record .* --neighbours 20"):
        score(dynamics, "neighbours")
    with pytest.raises(DynamicsError, match=r"channel neighbours needs .* --neighbours 20"):
        Reader("gru", SETS["near"], 10).open(dynamics)


@pytest.mark.parametrize("shape", [(120,), (120, 11), (119, 12), (120, 12, 1)])
def test_votes_of_another_shape_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    file = make_run(tmp_path) / "training_dynamics.npz"
    with np.load(file) as archive:
        arrays = dict(archive)
    np.savez(file, **(arrays | {"neighbours": np.zeros(shape, np.float16)}))
    with pytest.raises(DynamicsError, match=r"neighbours is float16 .*, expected \(120, 12\)"):
        read_run(tmp_path)


def recorder_of(folder: Path, neighbours: int = 2) -> tuple[Recorder, torch.Tensor, torch.Tensor]:
    labels = planted_labels(6, 3)
    recorder = Recorder.create(folder, labels, 3, epochs=2, neighbours=neighbours)
    return recorder, torch.from_numpy(labels.index), torch.zeros(6, 3)


def test_features_are_given_where_they_are_asked_for_and_only_there(tmp_path: Path) -> None:
    recorder, index, logits = recorder_of(tmp_path / "with")
    with pytest.raises(DynamicsError, match="features are missing; give them to record"):
        recorder.record(index, logits)
    recorder, index, logits = recorder_of(tmp_path / "without", neighbours=0)
    with pytest.raises(DynamicsError, match="features are not asked for"):
        recorder.record(index, logits, torch.ones(6, 4))


def test_features_of_another_shape_are_refused(tmp_path: Path) -> None:
    recorder, index, logits = recorder_of(tmp_path)
    for shape in ((6,), (5, 4), (6, 0), (6, 4, 1)):
        with pytest.raises(DynamicsError, match=r"for 6 samples; expected \[6, F\]"):
            recorder.record(index, logits, torch.ones(shape))
    recorder.record(index[:3], logits[:3], torch.ones(3, 4))
    with pytest.raises(DynamicsError, match=r"\(3, 5\) for 3 samples; expected \[3, 4\]"):
        recorder.record(index[3:], logits[3:], torch.ones(3, 5))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e6])
def test_features_that_are_no_half_precision_numbers_are_refused(
    tmp_path: Path, value: float
) -> None:
    recorder, index, logits = recorder_of(tmp_path)
    features = torch.randn(6, 4)
    features[2, 1] = value
    recorder.record(index, logits, features)
    with pytest.raises(DynamicsError, match=f"epoch 0: the features of index {index[2]} are not"):
        recorder.commit(0)
    recorder.record(index, logits, torch.randn(6, 4))
    recorder.commit(0)


def test_a_recording_goes_on_only_with_neighbours_as_it_began(tmp_path: Path) -> None:
    recorder_of(tmp_path, neighbours=0)
    with pytest.raises(RunError, match=r"neighbours.npy: .* start again with --overwrite"):
        Recorder.resume(tmp_path, planted_labels(6, 3), 3, 2, neighbours=2)


@pytest.mark.parametrize("neighbours", [6, -1])
def test_more_neighbours_than_there_are_leave_no_trace(tmp_path: Path, neighbours: int) -> None:
    with pytest.raises(ConfigError, match=r"among 6 samples; expected 0 \(none\) to 5"):
        recorder_of(tmp_path / "r", neighbours)
    assert not (tmp_path / "r").exists()
    with pytest.raises(ConfigError, match=f"to {REFERENCES - 1}"):
        forecast(1_000_000, 10, 5, neighbours=REFERENCES)


def test_a_run_of_too_few_images_is_refused_before_it_starts(tmp_path: Path) -> None:
    config = tiny_config(data__limit=20, train__neighbours=20)
    for start in (runner.generate_td, runner.plan_generate):
        with pytest.raises(ConfigError, match=r"20 neighbours among 20 samples; .* to 19"):
            start(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="neighbours"):
        tiny_config(train__neighbours=-1)


def test_images_that_are_left_out_have_no_neighbours() -> None:
    with pytest.raises(ConfigError, match="give --neighbours 0 or no --leave-out"):
        load_config(None, {"train.neighbours": 5, "train.leave_out": "ranking.csv"})
