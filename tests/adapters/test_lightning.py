"""Lightning: the callback against the real package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from noisy_digits import CLASSES, N, check_found, check_once_an_epoch, noisy_digits, run_example
from processes import in_world
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tdctl import Recorder, read_run
from tdctl.errors import DynamicsError

pytest.importorskip("lightning", reason="needs pip install tdctl[lightning]")

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from tdctl.adapters.lightning import RecorderCallback

pytestmark = [
    # Lightning's own advice: more workers, a logger, a folder that is not empty, its pytree.
    pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*:lightning.fabric.utilities.warnings.PossibleUserWarning"),
]


class Net(LightningModule):
    """``returns``: the loss alone, or with the logits; ``calls``: forward, or the net in it."""

    def __init__(self, returns: str = "loss", calls: str = "forward") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Linear(64, CLASSES)
        self.returns, self.calls = returns, calls
        self.validated = 0

    def forward(self, x: torch.Tensor) -> Any:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = (batch["x"], batch["y"]) if isinstance(batch, dict) else batch[1:]
        logits = self(x) if self.calls == "forward" else self.net(x)
        loss = nn.functional.cross_entropy(logits, y)
        return loss if self.returns == "loss" else {"loss": loss, "logits": logits}

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.validated += len(self(batch[1]))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.5)


class StatefulLoader(DataLoader[Any]):
    """Goes on within an epoch: Lightning asks the loader, and begins the epoch anew without."""

    done = start = 0

    def __iter__(self) -> Any:
        batches, self.start, self.done = super().__iter__(), self.start, self.start
        for _ in range(self.start):
            next(batches)
        self.start = 0
        for batch in batches:
            self.done += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"done": self.done % len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.start = state["done"]


def loader(n: int = N, shuffle: bool = True, batch: int = 64) -> Any:
    x, given, _ = noisy_digits(n)
    return DataLoader(TensorDataset(torch.arange(n), x, given), batch, shuffle=shuffle)


def trainer(folder: Path, callbacks: list[Any], epochs: int, **more: Any) -> Trainer:
    return Trainer(
        default_root_dir=folder,
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **({"enable_checkpointing": False} | more),
    )


def recorded(folder: Path, net: Net, epochs: int = 2, **more: Any) -> Recorder:
    recorder = Recorder(folder, N, CLASSES)
    trainer(folder, [RecorderCallback(recorder, **more)], epochs).fit(net, loader())
    return recorder


def test_the_example_finds_planted_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = run_example("Lightning", tmp_path, monkeypatch)
    check_once_an_epoch(names["recorder"], 12)
    check_found(tmp_path / "runs/own")


def test_returned_logits_and_the_hook_record_the_same(tmp_path: Path) -> None:
    kinds = {"hook": Net(), "dict": Net("logits"), "module": Net(calls="net")}
    runs = []
    for name, net in kinds.items():
        torch.manual_seed(1)
        more = {"module": "net"} if name == "module" else {}
        recorded(tmp_path / name, net, **more).finish()
        runs.append(read_run(tmp_path / name)[0].td[:])
        hooks = [*net._forward_hooks, *net.net._forward_hooks]
        assert not hooks, "the hook stays after the training"
    assert np.array_equal(runs[0], runs[1]) and np.array_equal(runs[0], runs[2])


def test_validation_and_accumulated_gradients_do_not_disturb(tmp_path: Path) -> None:
    recorder, net = Recorder(tmp_path, N, CLASSES), Net()
    more: dict[str, Any] = {"accumulate_grad_batches": 4, "val_check_interval": 5}
    fitting = trainer(tmp_path, [RecorderCallback(recorder)], 3, **more)
    fitting.fit(net, loader(), loader(200, shuffle=False))
    assert net.validated > 3 * 200
    check_once_an_epoch(recorder, 3)


def test_ids_and_labels_by_key_and_by_function(tmp_path: Path) -> None:
    x, given, _ = noisy_digits()
    rows = [{"key": f"{i}.png", "x": x[i], "y": int(given[i])} for i in range(N)]
    recorder = Recorder(tmp_path / "run")
    take = RecorderCallback(recorder, ids="key", targets=lambda batch: batch["y"])
    trainer(tmp_path, [take], 1).fit(Net(), DataLoader(rows, 128, shuffle=True))  # type: ignore[arg-type]
    check_once_an_epoch(recorder, 1)


@pytest.mark.parametrize(
    ("net", "more", "says"),
    [
        (Net(calls="net"), {}, "training_step returns no 'logits', and does not call Net.forward"),
        (Net(), {"module": "head"}, "Net has no submodule 'head'"),
        (Net(), {"ids": "index"}, "the batch has no ids at 'index' \\(it has 3 parts\\)"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, net: Net, more: Any, says: str) -> None:
    with pytest.raises(DynamicsError, match=says):
        recorded(tmp_path, net, **more)


@pytest.mark.parametrize("every", [None, 5])
def test_a_stopped_training_goes_on_from_its_checkpoint(tmp_path: Path, every: int | None) -> None:
    """At the end of an epoch, or after 5 of the 15 batches of one."""
    for epochs, checkpoint in ((2, None), (4, "stop.ckpt")):
        torch.manual_seed(0)
        recorder = Recorder(tmp_path / "run", N, CLASSES)
        saved = ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, every_n_train_steps=every)
        fitting = trainer(
            tmp_path, [RecorderCallback(recorder), saved], epochs, enable_checkpointing=True
        )
        data = StatefulLoader(loader().dataset, 64)
        fitting.fit(Net(), data, ckpt_path=checkpoint and tmp_path / checkpoint)
        if checkpoint is None:
            step = 20 if every else 30
            next(tmp_path.glob(f"step={step}.ckpt")).rename(tmp_path / "stop.ckpt")
    check_once_an_epoch(recorder, 4)
    recorder.finish()
    assert read_run(tmp_path / "run")[0].epochs == 4


def test_two_processes_drop_what_the_sampler_repeats(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    n = 151

    def act() -> Any:
        recorder = Recorder(tmp_path / "run", n, CLASSES)
        more = {"devices": 2, "strategy": "ddp"}
        fitting = trainer(tmp_path, [RecorderCallback(recorder)], 2, **more)
        fitting.fit(Net(), loader(n, batch=32))
        recorder.finish()
        return recorder.reports

    reports = in_world(2, act)
    assert reports[0] == reports[1]
    assert [(one.samples, one.missed, one.repeated) for one in reports[0]] == [(n, 0, 1)] * 2
    assert read_run(tmp_path / "run")[0].index.tolist() == list(range(n))
