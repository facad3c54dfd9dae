from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import planted_labels
from hypothesis import given, settings
from hypothesis import strategies as st

from tdctl.dynamics import read_run
from tdctl.errors import DynamicsError, RunError
from tdctl.recorder import Recorder


@settings(max_examples=20, deadline=None)
@given(
    n=st.integers(1, 40), k=st.integers(2, 5), batch=st.integers(1, 15), seed=st.integers(0, 999)
)
def test_rows_follow_the_index_whatever_the_order_of_batches(
    tmp_path_factory: pytest.TempPathFactory, n: int, k: int, batch: int, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("run")
    labels = planted_labels(n, k, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    recorder = Recorder.create(folder, labels, k, epochs=2)
    logits = torch.randn(2, n, k, generator=generator) * 5
    for epoch in range(2):
        for rows in torch.randperm(n, generator=generator).split(batch):
            recorder.record(torch.from_numpy(labels.index)[rows], logits[epoch, rows])
        recorder.commit(epoch)
    recorder.finish()
    dynamics, read_labels, _ = read_run(folder)
    assert (read_labels.assigned == labels.assigned).all()
    own = logits.softmax(dim=2)[:, np.arange(n), labels.assigned].T.numpy()
    assert np.allclose(dynamics.given_curve(), own, atol=1e-3)
    rest = logits.clone()
    rest[:, np.arange(n), labels.assigned] = -torch.inf
    margin = logits[:, np.arange(n), labels.assigned] - rest.amax(dim=2)
    assert dynamics.margin is not None
    assert np.allclose(dynamics.margin, margin.T.numpy(), atol=1e-5)
    assert not (folder / "capture").exists()


def test_margins_tell_apart_what_float16_rounds_to_one(tmp_path: Path) -> None:
    labels = planted_labels(2, 2, ratio=0.0)
    labels.assigned[:] = labels.true[:] = 0
    recorder = Recorder.create(tmp_path, labels, 2, epochs=1)
    recorder.record(torch.from_numpy(labels.index), torch.tensor([[20.0, 0.0], [30.0, 0.0]]))
    recorder.commit(0)
    recorder.finish()
    with np.load(tmp_path / "training_dynamics.npz") as archive:
        assert (archive["td"][:, 0, 0] == 1).all()
        assert archive["margin"][:, 0].tolist() == [20.0, 30.0]


def recorder_of(tmp_path: Path, n: int = 6) -> tuple[Recorder, torch.Tensor]:
    labels = planted_labels(n, 3)
    return Recorder.create(tmp_path, labels, 3, epochs=3), torch.from_numpy(labels.index)


def test_a_missing_sample_is_named(tmp_path: Path) -> None:
    recorder, index = recorder_of(tmp_path)
    recorder.record(index[1:], torch.zeros(5, 3))
    with pytest.raises(DynamicsError, match=f"epoch 0: index {index[0]} was recorded 0 times"):
        recorder.commit(0)


def test_a_sample_recorded_twice_is_named(tmp_path: Path) -> None:
    recorder, index = recorder_of(tmp_path)
    recorder.record(index, torch.zeros(6, 3))
    recorder.record(index[2:3], torch.zeros(1, 3))
    with pytest.raises(DynamicsError, match=f"index {index[2]} was recorded 2 times"):
        recorder.commit(0)


@pytest.mark.parametrize("stranger", [-1, 1, 10_000])
def test_an_unknown_index_is_refused(tmp_path: Path, stranger: int) -> None:
    recorder, index = recorder_of(tmp_path)
    assert stranger not in index.tolist()
    recorder.record(torch.cat([index, torch.tensor([stranger])]), torch.zeros(7, 3))
    with pytest.raises(DynamicsError, match="1 recorded samples have an index that is not"):
        recorder.commit(0)


def test_logits_of_another_shape_are_refused(tmp_path: Path) -> None:
    recorder, index = recorder_of(tmp_path)
    with pytest.raises(DynamicsError, match=r"expected \[6, 3\]"):
        recorder.record(index, torch.zeros(6, 4))


def test_a_committed_epoch_survives_the_process(tmp_path: Path) -> None:
    labels = planted_labels(6, 3)
    recorder, index = recorder_of(tmp_path)
    for epoch in range(2):
        recorder.record(index, torch.full((6, 3), float(epoch)))
        recorder.commit(epoch)
    del recorder
    again = Recorder.resume(tmp_path, labels, 3, epochs=3)
    again.record(index, torch.eye(3).repeat(2, 1))
    again.commit(2)
    again.finish()
    with np.load(tmp_path / "training_dynamics.npz") as archive:
        assert np.allclose(archive["td"][:, :2].astype(np.float32), 1 / 3, atol=1e-3)
        assert archive["td"][:, 2].max() > 0.5


def test_resuming_another_length_is_refused(tmp_path: Path) -> None:
    recorder_of(tmp_path)
    with pytest.raises(RunError, match="--overwrite"):
        Recorder.resume(tmp_path, planted_labels(6, 3), 3, epochs=4)


def test_what_does_not_fit_on_the_disk_is_refused_before_the_first_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = lambda path: type("Usage", (), {"free": 1000})  # noqa: E731
    monkeypatch.setattr("tdctl.recorder.capture.shutil.disk_usage", usage)
    with pytest.raises(RunError, match=r"needs .* MB of disk and 0.0 MB are free.* --store given"):
        recorder_of(tmp_path, n=60)


def test_an_epoch_that_was_never_committed_is_not_made_up(tmp_path: Path) -> None:
    recorder, index = recorder_of(tmp_path)
    for epoch in (0, 2):
        recorder.record(index, torch.zeros(6, 3))
        recorder.commit(epoch)
    with pytest.raises(DynamicsError, match="epoch 1 was never committed"):
        recorder.finish()
    assert not (tmp_path / "training_dynamics.npz").exists()


@pytest.mark.parametrize("epoch", [-1, 3])
def test_an_epoch_outside_the_run_is_refused(tmp_path: Path, epoch: int) -> None:
    recorder, index = recorder_of(tmp_path)
    recorder.record(index, torch.zeros(6, 3))
    with pytest.raises(DynamicsError, match="of 3"):
        recorder.commit(epoch)


def test_logits_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    recorder, index = recorder_of(tmp_path)
    logits = torch.zeros(6, 3)
    logits[4] = torch.nan
    recorder.record(index, logits)
    with pytest.raises(DynamicsError, match=f"index {index[4]} are not finite"):
        recorder.commit(0)


def test_labels_beyond_the_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DynamicsError, match="2 classes"):
        Recorder.create(tmp_path, planted_labels(20, 5), 2, epochs=1)


@pytest.mark.parametrize("name", ["probs.npy", "stats.npy", "state.npy"])
def test_a_capture_that_was_cut_off_is_not_filled_up(tmp_path: Path, name: str) -> None:
    recorder_of(tmp_path)
    path = tmp_path / "capture" / name
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(RunError, match="cannot be continued"):
        Recorder.resume(tmp_path, planted_labels(6, 3), 3, epochs=3)
