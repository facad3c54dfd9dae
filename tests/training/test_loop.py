from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from conftest import pixels_of
from torch import nn

from tdctl.config import DataConfig, NetConfig, TrainConfig
from tdctl.data import Images, open_dataset
from tdctl.errors import ConfigError, RunError, TrainingError
from tdctl.labels import Labels
from tdctl.nets import build_net
from tdctl.recorder import RunRecorder
from tdctl.training import (
    Pipeline,
    Progress,
    compile_pays,
    evaluate,
    fit,
    pick_device,
    pick_precision,
)
from tdctl.training.batches import batch_bounds
from tdctl.training.checkpoint import Checkpoint

CPU = torch.device("cpu")


class Setup:
    def __init__(self, n: int = 150, **train: Any) -> None:
        self.data = open_dataset(DataConfig(limit=n))
        self.config = TrainConfig(**({"epochs": 2, "amp": False, "batch_size": 64} | train))
        self.pipeline = Pipeline.of(self.config, self.data, CPU)
        self.images = self.data.train

    def net(self, seed: int = 0, net_type: Literal["resnet", "wide"] = "resnet") -> nn.Module:
        return build_net(NetConfig(net_type=net_type, depth=8), 10, (1, 8, 8), seed)

    def fit(self, net: nn.Module, seed: int = 0, images: Images | None = None, **more: Any) -> Any:
        return fit(net, images or self.images, self.config, self.pipeline, seed, **more)

    def recorded(self, folder: Path, seed: int = 0) -> tuple[np.ndarray[Any, Any], nn.Module]:
        labels = Labels(self.images.index, self.images.targets, self.images.targets)
        recorder = RunRecorder.create(folder, labels, 10, self.config.epochs)
        net = self.net()
        self.fit(net, seed, recorder=recorder, capture=self.config.capture)
        recorder.finish()
        with np.load(folder / "training_dynamics.npz") as archive:
            return archive["td"], net


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"net_type": "wide", "schedule": "one-cycle", "weight_decay": 5e-4},
        {"loss": "elr", "average": "ema", "average_decay": 0.9},
        {"loss": "gce"},
        {"loss": "sce"},
        {"loss": "bootstrap-soft", "schedule": "cosine"},
        {"loss": "bootstrap-hard", "schedule": "constant"},
        {"mixup": 0.2, "capture": "eval-pass"},
    ],
    ids=lambda settings: " ".join(str(value) for value in settings.values()),
)
def test_it_learns(settings: dict[str, Any]) -> None:
    train = dict(settings)
    net_type = train.pop("net_type", "resnet")
    setup = Setup(n=600, epochs=8, lr=0.1, **train)
    net = setup.net(net_type=net_type)
    result = setup.fit(net, watched=setup.data.test)
    assert setup.data.test is not None
    outcome = evaluate(net, setup.data.test, setup.pipeline)
    assert outcome.error < 0.2
    assert result.log[-1]["valid_error"] == outcome.error
    assert outcome.top5_error < outcome.error
    assert (outcome.confidence > 0.1).all() and (outcome.confidence <= 1).all()


def test_the_same_seed_gives_the_same_bits(tmp_path: Path) -> None:
    first, net = Setup().recorded(tmp_path / "a")
    second, again = Setup().recorded(tmp_path / "b")
    assert (first == second).all()
    assert all((a == b).all() for a, b in zip(net.parameters(), again.parameters(), strict=True))
    other, _ = Setup().recorded(tmp_path / "c", seed=1)
    assert (other != first).any()


def test_eval_pass_records_another_view_of_the_same_training(tmp_path: Path) -> None:
    in_loop, net = Setup().recorded(tmp_path / "a")
    eval_pass, same = Setup(capture="eval-pass").recorded(tmp_path / "b")
    assert all((a == b).all() for a, b in zip(net.parameters(), same.parameters(), strict=True))
    assert (in_loop != eval_pass).any()
    assert np.allclose(eval_pass.astype(np.float32).sum(axis=2), 1, atol=0.01)


def test_without_augmentation_an_eval_pass_is_the_network_itself(tmp_path: Path) -> None:
    setup = Setup(capture="eval-pass", augment=False)
    td, net = setup.recorded(tmp_path)
    with torch.no_grad():
        probs = setup.pipeline.logits(net.eval(), pixels_of(setup.images)).softmax(dim=1)
    own = probs[np.arange(len(setup.images)), setup.images.targets].numpy()
    assert np.allclose(td[:, -1, 0].astype(np.float32), own, atol=2e-3)


class Stop(Exception):
    """Stands for a kill right after an epoch was committed."""


@pytest.mark.parametrize(
    ("at", "settings"), [(1, {}), (2, {}), (3, {}), (2, {"augment_policy": "rand", "cutout": 3})]
)
def test_going_on_from_a_checkpoint_is_never_having_stopped(
    tmp_path: Path, at: int, settings: dict[str, Any]
) -> None:
    setup = Setup(epochs=4, lr_drops=(0.5,), **settings)
    whole = setup.net()
    log = setup.fit(whole, watched=setup.data.test).log

    def stop(progress: Progress) -> None:
        if progress.epoch == at and progress.step == progress.steps:
            raise Stop

    checkpoint = tmp_path / "checkpoint.pth"
    with pytest.raises(Stop):
        setup.fit(setup.net(), checkpoint=checkpoint, report=stop, watched=setup.data.test)
    resumed = setup.net(seed=9)
    result = setup.fit(resumed, checkpoint=checkpoint, watched=setup.data.test)
    assert result.log == log
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert (a == b).all()


def test_the_best_epoch_is_chosen_on_held_out_images_only() -> None:
    setup = Setup(n=300, epochs=4)
    held = setup.data.train.take(np.arange(100))
    result = setup.fit(setup.net(), watched=held, select=True)
    errors = [row["valid_error"] for row in result.log]
    assert errors[result.best_epoch] == min(errors)
    untouched = setup.fit(setup.net(), watched=setup.data.test, select=False)
    assert untouched.best_epoch == 3


def test_a_diverging_loss_names_epoch_and_batch() -> None:
    setup = Setup(lr=1e30, epochs=3)
    with pytest.raises(TrainingError, match=r"epoch \d+, batch \d+: the loss is not finite"):
        setup.fit(setup.net())


def test_evaluation_can_be_sparse_but_never_misses_the_last_epoch() -> None:
    setup = Setup(epochs=5, eval_every=2)
    log = setup.fit(setup.net(), watched=setup.data.test).log
    assert [row["valid_error"] is not None for row in log] == [False, True, False, True, True]


def test_progress_tells_loss_errors_speed_and_time_left() -> None:
    seen: list[Progress] = []
    Setup(epochs=3).fit(Setup().net(), report=seen.append, stage="here")
    assert [p.epoch for p in seen if p.step == p.steps] == [1, 2, 3]
    last = seen[-1]
    assert last.stage == "here" and last.loss is not None and last.train_error is not None
    assert last.images_per_second is not None and last.images_per_second > 0
    assert last.seconds_left == 0


@pytest.mark.parametrize(
    ("n", "size", "sizes"), [(7, 3, [3, 4]), (6, 3, [3, 3]), (8, 3, [3, 3, 2]), (2, 128, [2])]
)
def test_no_batch_holds_a_single_image(n: int, size: int, sizes: list[int]) -> None:
    assert [stop - start for start, stop in batch_bounds(n, size, 2)] == sizes


def test_one_image_is_no_training_set() -> None:
    setup = Setup()
    with pytest.raises(ConfigError, match="1 images are left"):
        setup.fit(setup.net(), images=setup.images.take(np.arange(1)))


def test_bfloat16_trains_too() -> None:
    setup = Setup(n=600, epochs=8, amp=True)
    net = setup.net()
    setup.fit(net)
    assert setup.data.test is not None
    assert evaluate(net, setup.data.test, setup.pipeline).error < 0.3


def test_label_smoothing_keeps_the_network_less_sure() -> None:
    plain, smooth = Setup(n=400, epochs=6), Setup(n=400, epochs=6, label_smoothing=0.5)
    confidence = []
    for setup in (plain, smooth):
        net = setup.net()
        setup.fit(net)
        confidence.append(evaluate(net, setup.images, setup.pipeline).confidence.mean())
    assert confidence[1] < confidence[0]


@pytest.mark.parametrize("content", [b"", b"not torch", None])
def test_a_foreign_checkpoint_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "checkpoint.pth"
    assert Checkpoint.read(path) is None
    if content is None:
        torch.save({"epoch": 1}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(RunError, match="--overwrite"):
        Checkpoint.read(path)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    setup = Setup()
    path = tmp_path / "checkpoint.pth"
    setup.fit(setup.net(), checkpoint=path)
    other = build_net(NetConfig(depth=14), 10, (1, 8, 8), 0)
    with pytest.raises(RunError, match="not of this network"):
        setup.fit(other, checkpoint=path)


@pytest.mark.parametrize("name", ["gpu", "tpu", "cuda:99", "cpu:x"])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="device"):
        pick_device(name)


def test_precision_is_as_asked() -> None:
    assert pick_device("cpu") == CPU
    asked = {
        (True, "bfloat16"): "bfloat16",
        (True, "float16"): "float16",
        (False, "bfloat16"): "float32",
    }
    for (amp, dtype), precision in asked.items():
        assert pick_precision(TrainConfig(amp=amp, amp_dtype=dtype), CPU) == precision


@pytest.mark.parametrize("native", [True, False])
def test_a_cpu_gets_bfloat16_only_where_it_computes_it(
    monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native, raising=False)
    assert pick_precision(TrainConfig(), CPU) == ("bfloat16" if native else "float32")
    assert pick_precision(TrainConfig(amp_dtype="float16"), CPU) == "float32"
    # Small depthwise convolutions are slower in bfloat16, unless the user asks for it.
    for net_type, slow in {"mobilenet_v3_small": True, "timm:test_convnext": False}.items():
        net = build_net(NetConfig(net_type=net_type), 3, (3, 32, 32), 0)
        fast = "bfloat16" if native and not slow else "float32"
        assert pick_precision(TrainConfig(), CPU, net) == fast
        assert pick_precision(TrainConfig(amp=True), CPU, net) == "bfloat16"


def test_compiling_is_chosen_by_the_length_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/c++")
    flops = 1e8
    assert not compile_pays(TrainConfig(epochs=2), flops, 5000, CPU)[0]
    assert compile_pays(TrainConfig(epochs=300), flops, 50000, CPU)[0]
    assert compile_pays(TrainConfig(epochs=2, compile=True), flops, 50, CPU) == (True, "as asked")
    monkeypatch.setattr("shutil.which", lambda name: None)
    chosen, why = compile_pays(TrainConfig(epochs=300), flops, 50000, CPU)
    assert not chosen and "no compiler" in why


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="compiling needs a C++ compiler")
@pytest.mark.parametrize("net_type", ["wide"])
def test_a_compiled_network_learns_the_same(net_type: Literal["resnet", "wide"]) -> None:
    setup = Setup(n=300, epochs=3, lr=0.02 if net_type == "wide" else 0.1)
    plain, compiled = setup.net(net_type=net_type), setup.net(net_type=net_type)
    setup.fit(plain)
    setup.fit(compiled, compiled=True)
    for name, value in plain.state_dict().items():
        assert torch.allclose(value.float(), compiled.state_dict()[name].float(), atol=0.02), name


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_learns_and_records(tmp_path: Path) -> None:
    data = open_dataset(DataConfig(limit=600))
    config = TrainConfig(epochs=8, batch_size=64)
    device = torch.device("cuda")
    labels = Labels(data.train.index, data.train.targets, data.train.targets)
    recorder = RunRecorder.create(tmp_path, labels, 10, 8, device)
    net = build_net(NetConfig(depth=8), 10, (1, 8, 8), 0)
    pipeline = Pipeline.of(config, data, device)
    fit(net, data.train, config, pipeline, 0, recorder=recorder)
    assert data.test is not None
    assert evaluate(net, data.test, pipeline).error < 0.3
