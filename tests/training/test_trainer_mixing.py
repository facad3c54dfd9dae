"""Mixed images and averaged weights: in one go, resumed, and in several processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Stop, tiny_config
from processes import in_world
from small_training import Plain, in_worlds
from torch import nn
from torchvision.transforms import v2

from tdctl import runner
from tdctl.config import DataConfig, TrainConfig
from tdctl.data import open_dataset
from tdctl.errors import ConfigError
from tdctl.files import read_json
from tdctl.nets import build_net
from tdctl.training import Pipeline, Progress, World, evaluate, fit
from tdctl.training.average import Average
from tdctl.training.batches import own_places
from tdctl.training.trainer import Trainer

CPU = torch.device("cpu")
OPTIONS: dict[str, dict[str, Any]] = {
    "mixup": {"mixup": 0.4, "capture": "eval-pass"},
    "average": {"average": "ema", "average_decay": 0.9},
    "averaged pass": {"average": "ema", "average_decay": 0.9, "capture": "eval-pass"},
    "elr": {"loss": "elr"},
    "one-cycle": {"schedule": "one-cycle"},
    "cosine": {"schedule": "cosine"},
    "gce": {"loss": "gce"},
    "policy": {"augment_policy": "rand", "cutout": 3},
}


def trainer_of(images: int = 150, **settings: Any) -> Trainer:
    data = open_dataset(DataConfig(limit=images))
    config = TrainConfig.model_validate({"epochs": 3, "batch_size": 64, "amp": False} | settings)
    pipeline = Pipeline.of(config, data, CPU)
    return Trainer(Plain(), data.train, config, pipeline, 0, World(), False)


def test_mixed_images_are_those_of_torchvision() -> None:
    data = open_dataset(DataConfig(limit=20))
    config = TrainConfig(augment=False, amp=False)
    pipeline, same = Pipeline.of(config, data, CPU), nn.Identity()
    pixels = next(data.train.batches([np.arange(20)]))
    share = 0.3
    found = pipeline.logits(same, pixels[[-1, *range(20)]], share=share)
    labels = torch.from_numpy(data.train.targets)
    mixing = v2.MixUp(alpha=1.0, num_classes=10)
    images = pipeline.logits(same, pixels)
    expected = mixing.transform(images, {"lam": share, "labels": labels, "batch_size": 20})
    assert torch.allclose(found, expected, atol=1e-6)


def test_the_loss_of_mixed_images_is_that_of_torchvisions_labels() -> None:
    trainer = trainer_of(mixup=1.0, capture="eval-pass")
    stream, order = torch.Generator().manual_seed(0), torch.arange(150)
    rows, pixels, draw = next(trainer._batches(order, [(0, 64)], stream, mixed=True))
    logits = trainer.pipeline.logits(trainer.net, pixels, draw, 0.3)
    _, loss = trainer._step((rows, pixels, draw), 64, 0.3)
    labels = trainer._targets[:64]
    mixed = v2.MixUp(alpha=1.0, num_classes=10).transform(labels, {"lam": 0.3, "labels": labels})
    assert torch.allclose(loss, nn.functional.cross_entropy(logits, mixed))


def test_a_batchs_first_image_is_mixed_with_its_last() -> None:
    assert own_places(slice(64, 128), (64, 128), True).tolist()[:3] == [63, 0, 1]  # type: ignore[union-attr]
    assert own_places(slice(96, 128), (64, 128), True).tolist()[:2] == [31, 32]  # type: ignore[union-attr]
    assert own_places(slice(96, 128), (64, 128), False) == slice(32, 64)


def test_the_shares_of_a_mixture_are_drawn_anew_in_each_epoch_and_follow_beta() -> None:
    trainer = trainer_of(mixup=0.3, capture="eval-pass", batch_size=2)
    first, again, second = (trainer._shares(epoch) for epoch in (0, 0, 1))
    assert first is not None and again is not None and second is not None
    assert (first == again).all() and (first != second).all()
    every = np.concatenate([trainer._shares(epoch) for epoch in range(40)])  # type: ignore[arg-type]
    assert every.mean() == pytest.approx(0.5, abs=0.03)
    assert every.var() == pytest.approx(1 / (4 * (2 * 0.3 + 1)), abs=0.01)  # of Beta(0.3, 0.3)
    assert trainer_of()._shares(0) is None


def test_mixed_images_cannot_be_captured_in_the_loop() -> None:
    with pytest.raises(ConfigError, match="give --capture eval-pass"):
        tiny_config(train__mixup=0.2)
    assert tiny_config(retrain__mixup=0.2).retrain.mixup == 0.2


@pytest.mark.parametrize("option", OPTIONS)
def test_a_resumed_run_has_the_bits_of_one_go(tmp_path: Path, option: str) -> None:
    config = tiny_config(
        **{f"train__{key}": value for key, value in OPTIONS[option].items()},
        train__epochs=3,
        data__num_valid=30,
    )

    def stop(progress: Progress) -> None:
        if progress.epoch == 2 and progress.step == progress.steps:
            raise Stop

    with pytest.raises(Stop):
        runner.generate_td(config, tmp_path / "a", report=stop)
    runner.generate_td(config, tmp_path / "a", resume=True)
    runner.generate_td(config, tmp_path / "b")
    names = ("training_dynamics.npz", "train_log.csv", "model.pth", "model.pth.last")
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


@pytest.mark.parametrize("option", OPTIONS)
def test_any_number_of_processes_trains_the_same(tmp_path: Path, option: str) -> None:
    (alone_log, alone), *_ = in_worlds(1, tmp_path / "1", **OPTIONS[option])
    # Three divide neither the images nor a batch; test_world_trainings has two as well.
    for log, weights in in_worlds(3, tmp_path / "3", **OPTIONS[option]):
        assert len(log) == len(alone_log)
        for row, expected in zip(log, alone_log, strict=True):
            assert row["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-4)
            assert row["train_error"] == pytest.approx(expected["train_error"], abs=0.02)
        for found, expected in zip(weights, alone, strict=True):
            assert np.allclose(found, expected, atol=1e-4)
    one, three = (np.load(tmp_path / size / "training_dynamics.npz") for size in ("1", "3"))
    assert np.allclose(three["td"], one["td"], atol=2e-3)


def test_an_averaged_network_is_what_is_judged_recorded_and_saved(tmp_path: Path) -> None:
    def run(name: str, **settings: Any) -> Any:
        config = tiny_config(train__capture="eval-pass", train__augment=False, **settings)
        runner.generate_td(config, tmp_path / name)
        return torch.load(tmp_path / name / "model.pth.last", weights_only=True)

    plain = run("plain")
    averaged = run("averaged", train__average="ema", train__average_decay=0.9)
    assert any((plain[key] != averaged[key]).any() for key in plain)
    facts = {name: read_json(tmp_path / name / "manifest.json") for name in ("plain", "averaged")}
    assert [facts[name]["weights"] for name in facts] == ["last step", "running average"]
    # The last epoch's dynamics are the saved network's own answers.
    data = open_dataset(DataConfig(limit=150))
    config = tiny_config()
    net = build_net(config.net, 10, (1, 8, 8), 0)
    net.load_state_dict(averaged)
    given = torch.load(tmp_path / "averaged" / "metadata.pth", weights_only=True)
    images = data.train.take(np.arange(150), given["assigned_targets"].numpy())
    outcome = evaluate(net, images, Pipeline.of(config.train, data, CPU))
    last = np.load(tmp_path / "averaged" / "training_dynamics.npz")["td"][:, -1, 0]
    assert np.allclose(last.astype(np.float32), np.exp(-outcome.loss), atol=2e-3)


def test_an_average_follows_its_formula() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average, expected = Average(net, 0.5), net[0].weight.detach().clone()
    for step in range(20):
        with torch.no_grad():
            net[0].weight.add_(torch.randn(2, 2, generator=torch.Generator().manual_seed(step)))
            net[1].num_batches_tracked.add_(1)
        keep = min(0.5, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * net[0].weight.detach()
        average.update(net, step)
    assert torch.allclose(average.net[0].weight, expected, atol=1e-6)  # type: ignore[index]
    assert average.net[1].num_batches_tracked == 20  # type: ignore[index]
    assert not any(p.requires_grad for p in average.net.parameters())


def test_an_average_of_nothing_but_the_present_is_the_network_itself() -> None:
    data = open_dataset(DataConfig(limit=150))
    states = []
    for average in ("none", "ema"):
        config = TrainConfig.model_validate(
            {"epochs": 2, "amp": False, "average": average, "average_decay": 0.0}
        )
        net = Plain()
        fit(net, data.train, config, Pipeline.of(config, data, CPU), 0)
        states.append(net.state_dict())
    assert all(torch.allclose(states[0][key], states[1][key]) for key in states[0])


def test_a_batch_norms_statistics_are_averaged_over_the_processes() -> None:
    def run() -> Any:
        with World.joined("cpu") as world:
            net = nn.BatchNorm1d(2)
            average = Average(net, 0.5)
            with torch.no_grad():
                net.running_mean.fill_(world.rank)  # type: ignore[union-attr, operator]
            average.update(net, 0)
            average.share(world)
            return average.net.running_mean

    first, second = in_world(2, run)
    assert torch.equal(first, second) and first[0] == pytest.approx(0.9 * 0.5)


@pytest.mark.parametrize("option", ["mixup", "elr", "average"])
def test_a_retraining_has_the_options_too(
    tmp_path: Path, digits_run: Path, detector_file: Path, option: str
) -> None:
    settings = {key: value for key, value in OPTIONS[option].items() if key != "capture"}
    overrides = {f"retrain.{key}": value for key, value in settings.items()}
    resolve: Callable[..., Any] = runner.settings_of_run
    from tdctl.settings import load_config

    plain = {"retrain.epochs": 2, "retrain.amp": False}
    errors = []
    for name, more in (("plain", {}), ("option", overrides)):
        config = load_config(None, plain | more, resolve(digits_run), runner.PINNED)
        result = runner.denoise(config, digits_run, detector_file, [0.2], out=tmp_path / name)
        folder = Path(result.rows[0].folder)
        errors.append(torch.load(folder / "model.pth.last", weights_only=True))
    assert any((errors[0][key] != errors[1][key]).any() for key in errors[0])
