"""Accelerate: the recorder against the real package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from noisy_digits import CLASSES, N, check_found, check_once_an_epoch, noisy_digits, run_example
from processes import in_world
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from tdctl import Recorder, read_run

pytest.importorskip("accelerate", reason="needs pip install tdctl[accelerate]")

from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.state import AcceleratorState, GradientState, PartialState
from accelerate.utils import set_seed

from tdctl.adapters.accelerate import AcceleratedRecorder

ODD = 151


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Accelerate keeps its state in classes, and warns if it chooses the number of threads."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    for kept in (AcceleratorState, GradientState, PartialState):
        kept._reset_state()


class Loop:
    """A user's loop, which can stop within an epoch."""

    def __init__(self, folder: Path, n: int, gather: bool = False, **data: Any) -> None:
        set_seed(0)
        self.folder = folder
        self.accelerator = Accelerator(
            cpu=True,
            gradient_accumulation_steps=2,
            dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, **data),
        )
        x, given, _ = noisy_digits(n)
        net = nn.Linear(64, CLASSES)
        loader = DataLoader(TensorDataset(torch.arange(n), x, given), 16, shuffle=True)
        optimizer = torch.optim.SGD(net.parameters(), 0.5)
        self.net, self.optimizer, self.loader = self.accelerator.prepare(net, optimizer, loader)
        self.recorder = Recorder(folder / "run", n, CLASSES)
        self.recording = AcceleratedRecorder(self.accelerator, self.recorder, gather)
        self.seen: list[list[int]] = []

    def epoch(
        self, number: int, begin: int = 0, save: int | None = None, stops: bool = False
    ) -> None:
        self.loader.set_epoch(number)
        loader = self.accelerator.skip_first_batches(self.loader, begin) if begin else self.loader
        for step, (ids, x, given) in enumerate(loader, begin):
            if step == save:
                self.accelerator.save_state(str(self.folder / "state"))
                if stops:
                    return
            with self.accelerator.accumulate(self.net):
                logits = self.net(x)
                self.accelerator.backward(nn.functional.cross_entropy(logits, given))
                self.optimizer.step()
                self.optimizer.zero_grad()
            self.recording.record(ids, logits, given)
            self.seen.append(ids.tolist())
        self.recording.end_epoch()

    def goes_on(self) -> None:
        self.accelerator.load_state(str(self.folder / "state"))


def counts(recorder: Recorder) -> list[tuple[int, int, int]]:
    return [(one.samples, one.missed, one.repeated) for one in recorder.reports]


def test_the_example_finds_planted_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = run_example("Accelerate", tmp_path, monkeypatch)
    check_once_an_epoch(names["recorder"], 12)
    check_found(tmp_path / "runs/own")


@pytest.mark.parametrize("gather", [False, True], ids=["each records", "the first records"])
@pytest.mark.parametrize("data", [{}, {"split_batches": True}, {"even_batches": False}], ids=str)
def test_two_processes_record_each_sample_once(
    tmp_path: Path, gather: bool, data: dict[str, bool]
) -> None:
    def act() -> Any:
        loop = Loop(tmp_path, ODD, gather, **data)
        for number in range(2):
            loop.epoch(number)
        loop.recorder.finish()
        return counts(loop.recorder), loop.seen

    (reports, first), (others, second) = in_world(2, act)
    repeated = sum(map(len, first + second)) // 2 - ODD
    assert reports == others == [(ODD, 0, repeated)] * 2
    assert (repeated > 0) == data.get("even_batches", True)
    dynamics, labels, _ = read_run(tmp_path / "run")
    assert dynamics.index.tolist() == list(range(ODD))
    assert np.array_equal(labels.assigned, noisy_digits(ODD)[1])


def test_of_a_repeated_sample_the_first_recording_counts(tmp_path: Path) -> None:
    """It is recorded with the network of its own step, not with that of the end of the epoch."""

    def act() -> Any:
        loop = Loop(tmp_path, ODD)
        first: dict[int, float] = {}
        record = loop.recording.record

        def noting(ids: torch.Tensor, logits: torch.Tensor, given: torch.Tensor) -> None:
            probs = logits.detach().softmax(dim=1)[range(len(ids)), given]
            for sample, prob in zip(ids.tolist(), probs.tolist(), strict=True):
                first.setdefault(sample, prob)
            record(ids, logits, given)

        loop.recording.record = noting  # type: ignore[method-assign]
        loop.epoch(0)
        loop.recorder.finish()
        return first

    first, second = in_world(2, act)
    twice = sorted(first.keys() & second.keys())
    assert twice, "no sample went to both processes"
    written = read_run(tmp_path / "run")[0].td[:, 0, 0]
    alike = [abs(float(written[i]) - first[i]) < 1e-3 for i in twice]
    assert all(alike) and any(abs(first[i] - second[i]) > 1e-2 for i in twice)


@pytest.mark.parametrize(
    ("size", "save", "stops"),
    [
        (1, 0, False),
        (1, 3, True),
        (1, 3, False),
        (2, 0, False),
        (2, 3, True),
        (2, 3, False),
    ],
)
def test_a_training_goes_on_from_a_checkpoint(
    tmp_path: Path, size: int, save: int, stops: bool
) -> None:
    """What was recorded after the checkpoint is forgotten and recorded again."""

    def act() -> None:
        loop = Loop(tmp_path, ODD)
        loop.epoch(0)
        loop.epoch(1, save=save, stops=stops)

    def goes_on() -> Any:
        loop = Loop(tmp_path, ODD)
        loop.goes_on()
        loop.epoch(1, begin=save)
        loop.epoch(2)
        loop.recorder.finish()
        return counts(loop.recorder)

    in_world(size, act)
    found = in_world(size, goes_on)
    repeated = 0 if size == 1 else 9  # 160 = 5 steps of 2 x 16
    assert found == [[(ODD, 0, repeated)] * 3] * size
    assert read_run(tmp_path / "run")[0].epochs == 3


def test_a_weighted_sampler_is_legal(tmp_path: Path) -> None:
    accelerator, recorder = Accelerator(cpu=True), Recorder(tmp_path / "run", N, CLASSES)
    recording = AcceleratedRecorder(accelerator, recorder)
    x, given, _ = noisy_digits()
    sampler = WeightedRandomSampler(torch.ones(N), 2 * N, generator=torch.manual_seed(0))
    data = TensorDataset(torch.arange(N), x, given)
    for ids, images, targets in accelerator.prepare(DataLoader(data, 64, sampler=sampler)):
        recording.record(ids, images[:, :CLASSES] + 0.01, targets)
    report = recording.end_epoch()
    assert report.samples + report.missed == N and report.repeated == 2 * N - report.samples
    assert report.missed > 0
