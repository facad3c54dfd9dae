"""AUM's threshold samples: drawn, trained, recorded, cut above, and resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_run, tiny_config
from processes import in_world
from torch import nn
from typer.testing import CliRunner

from tdctl import runner
from tdctl.cli.commands import app
from tdctl.config import DataConfig, NetConfig, TrainConfig
from tdctl.cuts import Thresholds, draw_threshold_samples
from tdctl.data import open_dataset
from tdctl.dynamics import read_run
from tdctl.errors import ConfigError, DynamicsError
from tdctl.files import read_json
from tdctl.labels import Labels
from tdctl.nets import TwoNetworks, build_net
from tdctl.recorder import EpochRows, RunRecorder
from tdctl.training import Pipeline, Progress, ThresholdSamples, World, fit
from tdctl.training.modes.threshold import ThresholdTrainer

CPU = torch.device("cpu")


class Stop(Exception):
    """Stands for a kill right after an epoch was committed."""


def pair(k: int = 10) -> nn.Module:
    def build(seed: int, extra_classes: int = 0) -> nn.Module:
        return build_net(NetConfig(depth=8), k + extra_classes, (1, 8, 8), seed)

    return ThresholdSamples(k).build(build, 0)


def trainer_of(n: int = 150, **settings: Any) -> ThresholdTrainer:
    data = open_dataset(DataConfig(limit=n))
    config = TrainConfig.model_validate({"epochs": 3, "batch_size": 64, "amp": False} | settings)
    pipeline = Pipeline.of(config, data, CPU)
    return ThresholdTrainer(pair(), data.train, config, pipeline, 0, World(), False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All digits, a fifth of the labels wrong, long enough to tell."""
    folder = tmp_path_factory.mktemp("threshold") / "run"
    config = tiny_config(
        train__threshold_samples=True, train__epochs=12, train__batch_size=64, data__limit=1000
    )
    runner.generate_td(config, folder)
    return folder


def test_each_network_gets_a_class_worth_and_no_sample_is_drawn_twice() -> None:
    drawn = draw_threshold_samples(1100, 10, seed=0)
    assert drawn.shape == (2, 1100) and drawn.sum(axis=1).tolist() == [100, 100]
    assert drawn.sum(axis=0).max() == 1
    assert (drawn == draw_threshold_samples(1100, 10, seed=0)).all()
    assert (drawn != draw_threshold_samples(1100, 10, seed=1)).any()


@pytest.mark.parametrize(("n", "k"), [(10, 10), (50, 1), (2, 2)])
def test_too_little_to_draw_from_is_refused(n: int, k: int) -> None:
    with pytest.raises(ConfigError, match=r"^train\.threshold_samples: .*or leave it out$"):
        draw_threshold_samples(n, k, 0)


def test_planted_errors_lie_below_the_cut_and_right_labels_above(run: Path) -> None:
    dynamics, labels, _ = read_run(run)
    found = Thresholds.read(run, dynamics.index)
    assert found is not None
    flagged = found.flagged()
    assert flagged[labels.flipped].mean() > 0.9
    assert flagged[~labels.flipped].mean() < 0.05
    # Threshold samples are judged, too: by the network that was shown their given label.
    drawn = found.threshold.any(axis=0)
    assert flagged[drawn & labels.flipped].mean() > 0.8
    assert flagged[drawn & ~labels.flipped].mean() < 0.1


def test_the_labels_of_the_run_stay_those_of_the_user(run: Path, tmp_path: Path) -> None:
    dynamics, labels, _ = read_run(run)
    found = Thresholds.read(run, dynamics.index)
    plain = runner.prepare(tiny_config(data__limit=1000)).labels
    assert np.array_equal(labels.assigned, plain.assigned)
    assert np.array_equal(np.asarray(dynamics.labels)[:, 0], plain.assigned)
    assert dynamics.num_classes == 10 and dynamics.td.shape == (len(labels), 12, 10)
    assert found is not None and found.threshold.sum(axis=1).tolist() == [len(labels) // 11] * 2
    assert read_json(run / "manifest.json")["threshold_samples"] == len(labels) // 11


def test_detect_cuts_where_the_threshold_samples_say(run: Path) -> None:
    arguments = ["detect", "--td", str(run), "--score", "aum", "--cut", "auto:threshold"]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    dynamics, labels, _ = read_run(run)
    found = Thresholds.read(run, dynamics.index)
    assert found is not None
    estimate = content["estimates"]["threshold"]
    assert estimate["rate"] == found.flagged().mean()
    assert estimate["error"] == estimate["rate"] - labels.flipped.mean()
    assert abs(estimate["error"]) < 0.05 and content["cut"]["cut"]["f1"] > 0.9
    assert "wrong labels by threshold, " in CliRunner().invoke(app, arguments).stdout


def test_every_other_command_reads_the_run(run: Path, tmp_path: Path, detector_file: Path) -> None:
    for arguments in (
        ["detect", "--td", run, "--score", "all"],
        ["detect", "--td", run, "--detector", detector_file, "--cut", "auto:threshold"],
        ["compare", "--td", run, "--score", "aum", "--bootstrap", "0", "--out", tmp_path / "c"],
        ["export", "--td", run, "--format", "datamap", "--out", tmp_path / "map.csv"],
        ["denoise", "--td", run, "--score", "aum", "--remove-ratio", "auto:threshold",
         "--epochs", "1", "--out", tmp_path / "d"],
        ["train-detector", "--td", run, "--dry-run", "--out", tmp_path / "x.pth.tar"],
    ):  # fmt: skip
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
    row = read_json(tmp_path / "d" / "score_aum" / "denoise.json")["rows"][0]
    assert row["method"] == "threshold" and row["test_error_last"] is not None


def test_a_run_without_threshold_samples_says_how_to_record_them(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "r")
    arguments = ["detect", "--td", str(folder), "--score", "aum", "--cut", "auto:threshold"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1 and len(result.stderr.splitlines()) == 1
    assert "record it with generate-td --threshold-samples, or use auto" in result.stderr


def recorded(folder: Path, world: World | None = None, report: Any = None, **train: Any) -> Any:
    """A pair on 150 digits: its log and what it found."""
    data = open_dataset(DataConfig(limit=150))
    settings = {"epochs": 3, "batch_size": 64, "amp": False, "lr": 0.05} | train
    config = TrainConfig.model_validate(settings)
    labels = Labels(data.train.index, data.train.targets, data.train.targets)
    make = RunRecorder.resume if (folder / "checkpoint.pth").exists() else RunRecorder.create
    world = world or World()
    mode = ThresholdSamples(10)
    result = fit(
        pair(), data.train, config, Pipeline.of(config, data, CPU), 0, world=world,
        mode=mode, watched=data.test, capture=config.capture, checkpoint=folder / "checkpoint.pth",
        recorder=make(folder, labels, 10, 3) if world.is_first else EpochRows(labels, 10, "cpu"),
        report=report,
    )  # fmt: skip
    return result.log, mode.thresholds(3).aum


@pytest.mark.parametrize(
    "train",
    [{}, {"capture": "eval-pass", "mixup": 0.2}, {"average": "ema", "loss": "elr"}],
    ids=["in-loop", "eval-pass", "elr"],
)
def test_a_resumed_run_finds_the_same_bits(tmp_path: Path, train: dict[str, Any]) -> None:
    def stop(progress: Progress) -> None:
        if progress.epoch == 2:
            raise Stop

    log, aum = recorded(tmp_path / "whole", **train)
    with pytest.raises(Stop):
        recorded(tmp_path / "part", report=stop, **train)
    again, same = recorded(tmp_path / "part", **train)
    assert again == log and (same == aum).all() and (aum != 0).all()


def test_two_processes_find_the_same_in_all(tmp_path: Path) -> None:
    def train() -> Any:
        with World.joined("cpu") as world:
            return recorded(tmp_path, world)

    (log, aum), (other_log, other) = in_world(2, train)
    assert log == other_log and (aum == other).all() and (aum != 0).all()


def test_each_network_learns_as_it_would_alone() -> None:
    """The sum of two losses leaves each network the gradient of its own."""
    both = trainer_of()
    rows = torch.arange(64)
    pixels = next(both._feed.batches([rows]))
    logits = both.pipeline.logits(both.net.train(), pixels)
    both.loss(logits, both._targets[rows], rows).backward()
    assert isinstance(both.net, TwoNetworks)
    for network, shown in zip(both.net.networks, both.samples.targets(rows), strict=True):
        own = [p.grad.clone() for p in network.parameters() if p.grad is not None]
        network.zero_grad()
        alone = both.pipeline.logits(network, pixels)
        nn.functional.cross_entropy(alone, shown, reduction="sum").backward()
        expected = [p.grad for p in network.parameters() if p.grad is not None]
        assert len(own) == len(expected) > 10
        for a, b in zip(own, expected, strict=True):
            assert torch.allclose(a, b, rtol=1e-3, atol=1e-4)


def test_threshold_samples_have_the_extra_class_and_margins_are_those_of_the_shown_label() -> None:
    trainer = trainer_of()
    rows, drawn = torch.arange(150), draw_threshold_samples(150, 10, 0)
    shown = trainer.samples.targets(rows).numpy()
    given = open_dataset(DataConfig(limit=150)).train.targets
    assert (shown == np.where(drawn, 10, given)).all()
    logits = torch.randn(150, 2, 11, generator=torch.Generator().manual_seed(0))
    trainer.samples.record(rows, logits)
    trainer.samples.commit(World())
    found = trainer.samples.found(1).aum
    for network, row in ((0, 3), (1, 7), (0, int(np.flatnonzero(drawn[0])[0]))):
        values, label = logits[row, network].tolist(), shown[network, row]
        others = [value for c, value in enumerate(values) if c != label]
        assert found[network, row] == pytest.approx(values[label] - max(others))
    judged = trainer.samples.judged(rows, logits)
    only_second, both = int(np.flatnonzero(drawn[0])[0]), int(np.flatnonzero(~drawn.any(0))[0])
    assert torch.allclose(judged[only_second], logits[only_second, 1, :10])
    assert torch.allclose(judged[both], logits[both, :, :10].mean(dim=0))


def made(n: int = 300) -> Thresholds:
    rng = np.random.default_rng(0)
    threshold = draw_threshold_samples(n, 5, 0)
    aum = np.where(threshold, rng.normal(-2, 0.5, (2, n)), rng.normal(3, 0.5, (2, n)))
    aum[:, :20] = -4
    return Thresholds(np.arange(n)[::-1] * 2, threshold, aum.astype(np.float32))


def test_a_sample_is_flagged_where_all_networks_that_judge_it_agree() -> None:
    found = made()
    drawn = found.threshold
    assert found.flagged()[:20].all() and not found.flagged()[20:].any()
    alone = int(np.flatnonzero(drawn[0])[-1])
    shared = int(np.flatnonzero(~drawn.any(axis=0))[-1])
    found.aum[1, [alone, shared]] = -4
    assert found.flagged()[alone] and not found.flagged()[shared]


def test_a_file_comes_back_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    found = made()
    found.write(tmp_path)
    index = np.sort(found.index)
    again = Thresholds.read(tmp_path, index)
    assert again is not None and (again.aum == found.aum[:, ::-1]).all()
    assert (again.threshold == found.threshold[:, ::-1]).all()
    first = (tmp_path / "threshold.npz").read_bytes()
    found.write(tmp_path)
    assert (tmp_path / "threshold.npz").read_bytes() == first
    assert Thresholds.read(tmp_path / "none", index) is None


def test_a_file_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    found = made()
    found.write(tmp_path)
    with pytest.raises(DynamicsError, match="different runs"):
        Thresholds.read(tmp_path, np.sort(found.index) + 1)
    with pytest.raises(DynamicsError, match=r"index is int64 \(300,\), expected int64 \(299,\)"):
        Thresholds.read(tmp_path, np.arange(299))
    file = tmp_path / "threshold.npz"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(DynamicsError, match="not a file of threshold samples"):
        Thresholds.read(tmp_path, found.index)
    np.savez(file, index=np.array([object()]), threshold=1, aum=1)
    with pytest.raises(DynamicsError, match="not a file of threshold samples"):
        Thresholds.read(tmp_path, found.index)


def test_a_dry_run_says_two_networks_and_refuses_too_few_images(tmp_path: Path) -> None:
    settings = {"train__threshold_samples": True}
    lines = runner.plan_generate(tiny_config(**settings), tmp_path / "r")
    assert "would train two " in lines[-1]
    with pytest.raises(ConfigError, match="expected two classes or more"):
        runner.plan_generate(tiny_config(**settings, data__limit=10), tmp_path / "r")
    with pytest.raises(ConfigError, match="expected two classes or more"):
        runner.generate_td(tiny_config(**settings, data__limit=10), tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_two_networks_do_not_go_with_a_second_round() -> None:
    with pytest.raises(ConfigError, match="threshold_samples: trains two networks"):
        tiny_config(train__threshold_samples=True, train__leave_out="r.csv")
