"""A recording that is not finished is read as one of so many epochs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import planted_labels

from tdctl.dynamics import read_run
from tdctl.errors import DynamicsError
from tdctl.recorder import RunRecorder, goes_on, read_so_far

N, K = 40, 6


def begun(folder: Path, epochs: int, planned: int, store: str) -> RunRecorder:
    labels = planted_labels(N, K)
    recorder = RunRecorder.create(folder, labels, K, planned, store=store)
    generator = torch.Generator().manual_seed(0)
    for epoch in range(epochs):
        recorder.record(labels.index, torch.randn(N, K, generator=generator) * 3)
        recorder.commit(epoch)
    return recorder


@pytest.mark.parametrize("store", ["full", "given", "topk:3"])
def test_the_epochs_so_far_are_those_of_a_shorter_recording(tmp_path: Path, store: str) -> None:
    recorder = begun(tmp_path / "long", 3, 9, store)
    # What was recorded of the fourth epoch, which is not over, counts for nothing.
    recorder.record(planted_labels(N, K).index[:7], torch.zeros(7, K))
    begun(tmp_path / "short", 3, 3, store).finish()
    assert goes_on(tmp_path / "long") and not goes_on(tmp_path / "short")
    found = read_so_far(tmp_path / "long")
    dynamics, labels, _ = read_run(tmp_path / "short")
    assert found.planned == 9 and found.dynamics.epochs == 3
    assert found.dynamics.digest() == dynamics.digest()
    assert np.array_equal(found.labels.true, labels.true)
    assert np.array_equal(found.dynamics.suggested(), dynamics.suggested())


@pytest.mark.parametrize("store", ["full", "given"])
def test_reading_leaves_the_recording_as_it_was(tmp_path: Path, store: str) -> None:
    read, alone = begun(tmp_path / "a", 2, 3, store), begun(tmp_path / "b", 2, 3, store)
    read_so_far(tmp_path / "a")
    for recorder in (read, alone):
        recorder.record(planted_labels(N, K).index, torch.ones(N, K).tril() * 3)
        recorder.commit(2)
        recorder.finish()
    files = [(tmp_path / name / "training_dynamics.npz").read_bytes() for name in "ab"]
    assert files[0] == files[1] and not goes_on(tmp_path / "a")


def test_without_an_epoch_or_labels_it_says_so(tmp_path: Path) -> None:
    begun(tmp_path / "none", 0, 3, "full")
    with pytest.raises(DynamicsError, match="no epoch is over yet"):
        read_so_far(tmp_path / "none")
    begun(tmp_path / "old", 2, 3, "full")
    (tmp_path / "old" / "capture" / "metadata.pth").unlink()
    with pytest.raises(DynamicsError, match="earlier tdctl began the recording"):
        read_so_far(tmp_path / "old")
    # Going on with it brings the labels.
    RunRecorder.resume(tmp_path / "old", planted_labels(N, K), K, 3)
    assert read_so_far(tmp_path / "old").dynamics.epochs == 2
    (tmp_path / "old" / "capture" / "stats.npy").write_bytes(b"cut off")
    with pytest.raises(DynamicsError, match="does not read"):
        read_so_far(tmp_path / "old")
