from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import planted_labels
from hypothesis import given, settings
from hypothesis import strategies as st

from tdctl.dynamics import Store, TrainingDynamics, read_run
from tdctl.errors import ConfigError, DynamicsError, RunError
from tdctl.labels import Labels
from tdctl.recorder import EpochRows, RunRecorder, forecast
from tdctl.slabs import ArrayFile


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
    recorder = RunRecorder.create(folder, labels, k, epochs=2)
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
    recorder = RunRecorder.create(tmp_path, labels, 2, epochs=1)
    recorder.record(torch.from_numpy(labels.index), torch.tensor([[20.0, 0.0], [30.0, 0.0]]))
    recorder.commit(0)
    recorder.finish()
    with np.load(tmp_path / "training_dynamics.npz") as archive:
        assert (archive["td"][:, 0, 0] == 1).all()
        assert archive["margin"][:, 0].tolist() == [20.0, 30.0]


def recorder_of(tmp_path: Path, n: int = 6) -> tuple[RunRecorder, torch.Tensor]:
    labels = planted_labels(n, 3)
    return RunRecorder.create(tmp_path, labels, 3, epochs=3), torch.from_numpy(labels.index)


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
    again = RunRecorder.resume(tmp_path, labels, 3, epochs=3)
    again.record(index, torch.eye(3).repeat(2, 1))
    again.commit(2)
    again.finish()
    with np.load(tmp_path / "training_dynamics.npz") as archive:
        assert np.allclose(archive["td"][:, :2].astype(np.float32), 1 / 3, atol=1e-3)
        assert archive["td"][:, 2].max() > 0.5


def test_resuming_another_length_is_refused(tmp_path: Path) -> None:
    recorder_of(tmp_path)
    with pytest.raises(RunError, match="--overwrite"):
        RunRecorder.resume(tmp_path, planted_labels(6, 3), 3, epochs=4)


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
        RunRecorder.create(tmp_path, planted_labels(20, 5), 2, epochs=1)


@pytest.mark.parametrize("name", ["probs.npy", "stats.npy", "state.npy"])
def test_a_capture_that_was_cut_off_is_not_filled_up(tmp_path: Path, name: str) -> None:
    recorder_of(tmp_path)
    path = tmp_path / "capture" / name
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(RunError, match="cannot be continued"):
        RunRecorder.resume(tmp_path, planted_labels(6, 3), 3, epochs=3)


def one_epoch(recorder: RunRecorder, labels: Labels, logits: torch.Tensor, epoch: int) -> None:
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(epoch))
    for rows in order.split(7):
        recorder.record(torch.from_numpy(labels.index)[rows], logits[epoch, rows])
    recorder.commit(epoch)


def recorded(folder: Path, labels: Labels, logits: torch.Tensor, store: str) -> TrainingDynamics:
    epochs, _, k = logits.shape
    recorder = RunRecorder.create(folder, labels, k, epochs, store=store)
    for epoch in range(epochs):
        one_epoch(recorder, labels, logits, epoch)
    recorder.finish()
    return read_run(folder)[0]


@settings(max_examples=8, deadline=None)
@given(
    n=st.integers(1, 30),
    k=st.integers(4, 9),
    epochs=st.integers(1, 4),
    spread=st.sampled_from([0.3, 3.0, 12.0]),
    seed=st.integers(0, 999),
)
def test_all_stores_agree_on_what_they_keep(
    tmp_path_factory: pytest.TempPathFactory, n: int, k: int, epochs: int, spread: float, seed: int
) -> None:
    root, labels = tmp_path_factory.mktemp("runs"), planted_labels(n, k, seed=seed)
    logits = torch.randn(epochs, n, k, generator=torch.Generator().manual_seed(seed)) * spread
    full = recorded(root / "full", labels, logits, "full")
    td = np.asarray(full.td)
    rows = np.arange(n)[:, None]
    by_class = np.empty_like(td)
    by_class[rows, :, np.asarray(full.labels)] = td.transpose(0, 2, 1)
    means = np.sort(td.mean(axis=1, dtype=np.float64), axis=1)
    clear = means[:, -1] - means[:, -2] > 1e-6
    for store, others in (("given", 1), ("topk:3", 3)):
        kept = recorded(root / store, labels, logits, store)
        assert kept.td.shape == (n, epochs, 1)
        assert (kept.given_curve() == full.given_curve()).all()
        for name in ("margin", "loss"):
            assert np.array_equal(getattr(kept, name)[:], getattr(full, name)[:])
        assert kept.other is not None and kept.other_class is not None
        largest = -np.sort(-td[:, :, 1:], axis=2)[:, :, :others]
        assert (kept.other[:] == largest).all()
        classes = kept.other_class[:]
        assert (classes != labels.assigned[:, None, None]).all()
        for epoch in range(epochs):
            assert (by_class[rows, epoch, classes[:, epoch]] == largest[:, epoch]).all()
        assert (kept.suggested() == full.suggested())[clear].all()
        assert kept.mean is not None and kept.mean_class is not None
        ours = by_class.mean(axis=1, dtype=np.float64)[rows, kept.mean_class[:]]
        assert np.allclose(kept.mean[:], ours, atol=1e-3)
        assert kept.fingerprint() == full.fingerprint()


def test_loss_is_the_cross_entropy_of_the_given_label(tmp_path: Path) -> None:
    labels, logits = planted_labels(20, 4), torch.randn(2, 20, 4) * 30
    loss = recorded(tmp_path, labels, logits, "full").loss
    given = torch.from_numpy(labels.assigned)
    for epoch in range(2):
        expected = torch.nn.functional.cross_entropy(logits[epoch], given, reduction="none")
        assert loss is not None and np.allclose(loss[:, epoch], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("store", ["full", "given", "topk:2"])
@pytest.mark.parametrize("killed", ["after the commit", "within the commit"])
def test_an_epoch_that_is_recorded_again_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str, killed: str
) -> None:
    labels, logits = planted_labels(20, 4), torch.randn(4, 20, 4)
    recorded(tmp_path / "whole", labels, logits, store)
    recorder = RunRecorder.create(tmp_path / "r", labels, 4, 4, store=store)
    for epoch in range(2):
        one_epoch(recorder, labels, logits, epoch)
    with monkeypatch.context() as patch:
        if killed == "within the commit":

            def die(self: ArrayFile) -> None:
                raise KeyboardInterrupt

            patch.setattr(ArrayFile, "sync", die)
            with pytest.raises(KeyboardInterrupt):
                one_epoch(recorder, labels, logits, 2)
            with pytest.raises(DynamicsError, match="epoch 2 was never committed"):
                recorder.write()
        else:
            one_epoch(recorder, labels, logits, 2)
    again = RunRecorder.resume(tmp_path / "r", labels, 4, 4, store=store)
    for epoch in (2, 3):
        one_epoch(again, labels, logits, epoch)
    again.finish()
    name = "training_dynamics.npz"
    assert (tmp_path / "r" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_running_means_refuse_epochs_out_of_turn(tmp_path: Path) -> None:
    labels, logits = planted_labels(20, 4), torch.randn(4, 20, 4)
    recorder = RunRecorder.create(tmp_path, labels, 4, 4, store="given")
    one_epoch(recorder, labels, logits, 0)
    with pytest.raises(RunError, match="in turn"):
        one_epoch(recorder, labels, logits, 2)
    for epoch in (1, 2):
        one_epoch(recorder, labels, logits, epoch)
    with pytest.raises(RunError, match="in turn"):
        one_epoch(recorder, labels, logits, 1)


@pytest.mark.parametrize("store", ["full", "given"])
def test_epochs_that_are_counted_from_1_are_refused_at_the_first(
    tmp_path: Path, store: str
) -> None:
    labels, logits = planted_labels(20, 4), torch.randn(4, 20, 4)
    recorder = RunRecorder.create(tmp_path, labels, 4, 4, store=store)
    with pytest.raises(RunError, match=r"epoch 1 is the first .* epochs count from 0"):
        one_epoch(recorder, labels, logits, 1)
    one_epoch(recorder, labels, logits, 0)


def test_a_label_that_stands_for_none_is_refused_before_the_training(tmp_path: Path) -> None:
    labels = Labels(np.arange(4), np.array([0, 1, -1, 1]), np.array([0, 1, 1, 1]))
    with pytest.raises(DynamicsError, match=r"labels -1 to 1, .*leave out samples without a label"):
        RunRecorder.create(tmp_path, labels, 2, 3)


def test_imagenet_is_forecast() -> None:
    n, k, epochs = 1_281_167, 1000, 90
    full, given = (forecast(n, k, epochs, store) for store in ("full", "given"))
    assert full.td_bytes == pytest.approx(231e9, rel=0.002)
    assert given.td_bytes == pytest.approx(0.231e9, rel=0.002)
    assert given.file_bytes < 3e9 and full.file_bytes > full.td_bytes
    assert full.needed_bytes > full.capture_bytes + full.file_bytes


@pytest.mark.parametrize("store", ["full", "given", "topk:2"])
def test_the_forecast_is_what_is_written(tmp_path: Path, store: str) -> None:
    labels, logits = planted_labels(3000, 5), torch.randn(3, 3000, 5)
    recorder = RunRecorder.create(tmp_path, labels, 5, 3, store=store)
    expected = forecast(3000, 5, 3, store)
    capture = sum(path.stat().st_size for path in (tmp_path / "capture").iterdir())
    assert capture == pytest.approx(expected.capture_bytes, rel=0.02)
    for epoch in range(3):
        one_epoch(recorder, labels, logits, epoch)
    recorder.finish()
    size = (tmp_path / "training_dynamics.npz").stat().st_size
    assert size == pytest.approx(expected.file_bytes, rel=0.02)


@pytest.mark.parametrize(
    ("store", "says"),
    [("given", "2 classes"), ("topk:2", "use full"), ("topk:0", "unknown"), ("half", "unknown")],
)
def test_a_store_that_does_not_fit_the_classes_is_refused(
    tmp_path: Path, store: str, says: str
) -> None:
    classes = 1 if store == "given" else 2
    labels = planted_labels(4, 1 if classes == 1 else 2, ratio=0.0)
    with pytest.raises(ConfigError, match=says.replace("2 c", f"{classes} c")):
        RunRecorder.create(tmp_path, labels, classes, 2, store=store)


def test_a_disk_that_fills_up_at_the_start_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tdctl.slabs.os.posix_fallocate", full)
    with pytest.raises(RunError, match=r"npy: the disk has no room .*--store given") as caught:
        recorder_of(tmp_path)
    assert "\n" not in str(caught.value) and not (tmp_path / "capture").exists()


def test_a_disk_that_fills_up_at_the_end_keeps_all_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    labels, logits = planted_labels(20, 4), torch.randn(1, 20, 4)
    recorder = RunRecorder.create(tmp_path, labels, 4, 1)
    one_epoch(recorder, labels, logits, 0)
    with monkeypatch.context() as patch:
        patch.setattr("tdctl.recorder.finishing.write_td", full)
        with pytest.raises(RunError, match="make room and go on with --resume"):
            recorder.write()
    RunRecorder.resume(tmp_path, labels, 4, 1).finish()
    assert len(read_run(tmp_path)[0]) == 20


@pytest.mark.parametrize("store", ["full", "given"])
def test_rows_of_several_processes_make_one_epoch(tmp_path: Path, store: str) -> None:
    labels, logits = planted_labels(23, 4), torch.randn(1, 23, 4)
    alone = recorded(tmp_path / "alone", labels, logits, store)
    recorder = RunRecorder.create(tmp_path / "r", labels, 4, 1, store=store)
    others = [EpochRows(labels, 4, "cpu", Store.of(store, 4)) for _ in range(2)]
    index = torch.from_numpy(labels.index)
    for rank, rows in enumerate((recorder.rows, *others)):
        rows.record(index[rank::3], logits[0, rank::3])
    packed = [rows.packed() for rows in others]
    assert [len(part["rows"]) for part in packed] == [8, 7]
    recorder.rows.absorb(packed)
    recorder.commit(0)
    recorder.finish()
    together = read_run(tmp_path / "r")[0]
    assert together.fingerprint() == alone.fingerprint()
    assert np.array_equal(np.asarray(together.td), np.asarray(alone.td))
    assert together.margin is not None and alone.margin is not None
    assert np.array_equal(together.margin[:], alone.margin[:])


@pytest.mark.parametrize(
    ("theirs", "says"), [(0, "was recorded 2 times"), (None, "index that is not")]
)
def test_what_another_process_saw_wrongly_is_refused(
    tmp_path: Path, theirs: int | None, says: str
) -> None:
    labels, logits = planted_labels(8, 4), torch.randn(8, 4)
    recorder, other = RunRecorder.create(tmp_path, labels, 4, 1), EpochRows(labels, 4, "cpu")
    recorder.record(torch.from_numpy(labels.index), logits)
    index = 10_000 if theirs is None else labels.index[theirs]
    other.record(torch.tensor([int(index)]), logits[:1])
    recorder.rows.absorb([other.packed()])
    with pytest.raises(DynamicsError, match=says):
        recorder.commit(0)
    other.reset()
    assert not len(other.packed()["rows"])


@pytest.mark.parametrize("size", [3, 200_000])
def test_what_was_recorded_does_not_follow_the_callers_tensors(size: int) -> None:
    labels = planted_labels(size, 2, ratio=0.0)
    rows, index = EpochRows(labels, 2, "cpu"), torch.from_numpy(labels.index)
    logits = torch.ones(size, 2, dtype=torch.bfloat16).requires_grad_()
    rows.record(index, logits)
    with torch.no_grad():
        logits.fill_(torch.nan)
        index.fill_(-1)
    packed = rows.packed()
    assert len(packed["rows"]) == size and (packed["probs"] == 0.5).all()
    assert not packed["probs"].requires_grad


MEMORY = """
import sys, threading
from pathlib import Path
import numpy as np
import torch
from tdctl.labels import Labels
from tdctl.recorder import RunRecorder
torch.set_num_threads(1)
n, k = 5_000, 100

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(x.split()[1]) for x in lines if x.startswith(("RssAnon", "RssFile")))

def run(folder, epochs, store):
    given = np.arange(n) % k
    labels = Labels(np.arange(n), given, given)
    recorder = RunRecorder.create(folder, labels, k, epochs, store=store)
    logits, peak = torch.randn(n, k), 0
    for epoch in range(epochs):
        for rows in torch.arange(n).split(1000):
            recorder.record(rows, logits[rows])
        recorder.commit(epoch)
        peak = max(peak, resident())
    watched, done = [], threading.Event()
    watch = threading.Thread(target=lambda: [watched.append(resident())
                             for _ in iter(lambda: done.wait(0.002), True)])
    watch.start()
    recorder.finish()
    done.set()
    watch.join()
    return max([peak, *watched])

for store in ("full", "given"):
    folder = Path(sys.argv[1]) / store
    run(folder / "warm", 2, store)
    few = run(folder / "few", 5, store)
    print(few, run(folder / "many", 60, store))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_resident_memory_does_not_grow_with_epochs(tmp_path: Path) -> None:
    # 60 epochs of all classes are 60 MB of softmax, which stayed mapped once.
    command = [sys.executable, "-c", MEMORY, str(tmp_path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
    out = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert out.returncode == 0, out.stderr
    assert len(out.stdout.splitlines()) == 2
    for line in out.stdout.splitlines():
        few, many = (int(kilobytes) for kilobytes in line.split())
        assert many - few < 20_000, f"{few} kB for 5 epochs, {many} kB for 60"


def test_half_an_epoch_can_be_begun_again(tmp_path: Path) -> None:
    recorder, index = recorder_of(tmp_path)
    recorder.record(index[:3], torch.ones(3, 3))
    recorder.reset()
    for epoch in range(3):
        recorder.record(index, torch.zeros(6, 3))
        recorder.commit(epoch)
    recorder.finish()
    with pytest.raises(DynamicsError, match="is finished"):
        recorder.commit(2)


def test_a_recording_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    labels, logits = planted_labels(20, 4), torch.randn(1, 20, 4)
    recorder = RunRecorder.create(tmp_path, labels, 4, 1)
    with pytest.raises(RunError, match="capture: holds a recording; give another folder"):
        RunRecorder.create(tmp_path, labels, 4, 1)
    one_epoch(recorder, labels, logits, 0)
    recorder.finish()
    before = read_run(tmp_path)[0].digest()
    with pytest.raises(RunError, match=r"training_dynamics.npz: holds a recording.*overwrite=True"):
        RunRecorder.create(tmp_path, labels, 4, 1)
    again = RunRecorder.create(tmp_path, labels, 4, 1, overwrite=True)
    one_epoch(again, labels, -logits, 0)
    again.finish()
    assert read_run(tmp_path)[0].digest() != before


def test_arrays_lists_and_paths_as_text_serve_as_well(tmp_path: Path) -> None:
    labels = Labels([3, 5], [0, 1], [0, 0])  # type: ignore[arg-type]
    recorder = RunRecorder.create(str(tmp_path / "r"), labels, 2, 2)  # type: ignore[arg-type]
    logits = [[2.0, 0.0], [0.0, 2.0]]
    recorder.record(np.array([3, 5]), np.array(logits))  # type: ignore[arg-type]
    recorder.commit(0)
    recorder.record([3, 5], logits)  # type: ignore[arg-type]
    recorder.commit(1)
    with pytest.raises(DynamicsError, match=r"index is torch.float64 .*expected whole numbers"):
        recorder.record(torch.tensor([3.0], dtype=torch.float64), torch.zeros(1, 2))
    recorder.finish()
    dynamics, read, _ = read_run(str(tmp_path / "r"))  # type: ignore[arg-type]
    assert read.flipped.tolist() == [False, True]
    assert (dynamics.td[:, 0] == dynamics.td[:, 1]).all()


def of_one_epoch(
    folder: Path, values: torch.Tensor, store: str = "full", **more: bool
) -> RunRecorder:
    n, k = values.shape
    labels = planted_labels(n, k, ratio=0.25 if k > 1 else 0.0)
    recorder = RunRecorder.create(folder, labels, k, 1, store=store)
    index = torch.from_numpy(labels.index)
    for rows in torch.arange(n).split(7):
        recorder.record(index[rows], values[rows], **more)
    return recorder


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("store", "k"), [("full", 2), ("full", 10), ("given", 10), ("topk:2", 80)])
def test_probabilities_in_place_of_logits_are_refused(
    tmp_path: Path, store: str, k: int, dtype: torch.dtype
) -> None:
    logits = torch.randn(40, k, generator=torch.Generator().manual_seed(k)) * 4
    for name, probs in (("sure", (logits * 50).softmax(1)), ("unsure", logits.softmax(1))):
        recorder = of_one_epoch(tmp_path / name, probs.to(dtype), store)
        with pytest.raises(
            DynamicsError, match="epoch 0: these are probabilities, not logits"
        ) as e:
            recorder.commit(0)
        assert "probabilities=True" in str(e.value) and "\n" not in str(e.value)
        # The epoch is forgotten, and can be recorded as it should be.
        index = torch.from_numpy(planted_labels(40, k).index)
        recorder.record(index, logits)
        recorder.commit(0)
        recorder.finish()


def test_probabilities_of_several_processes_are_refused(tmp_path: Path) -> None:
    labels, probs = planted_labels(40, 4), torch.randn(40, 4).softmax(1)
    recorder, other = RunRecorder.create(tmp_path, labels, 4, 1), EpochRows(labels, 4, "cpu")
    index = torch.from_numpy(labels.index)
    recorder.record(index[:20], probs[:20])
    other.record(index[20:], probs[20:])
    recorder.rows.absorb([other.packed()])
    with pytest.raises(DynamicsError, match="all 40 rows"):
        recorder.commit(0)


@pytest.mark.parametrize(
    "values",
    [
        torch.zeros(40, 4),
        torch.full((40, 1), 1.0),  # of one class
        torch.randn(40, 4).softmax(1).log(),
        torch.randn(40, 4).sigmoid(),
        torch.randn(40, 4).relu(),
        torch.cat([torch.randn(39, 4).softmax(1), torch.tensor([[0.5, 0.5, -0.5, 0.5]])]),
        torch.randn(40, 4) * 1e-3 + 0.5,
    ],
    ids=["zeros", "one class", "log-softmax", "sigmoid", "relu", "one other", "constant"],
)
def test_other_outputs_of_a_network_are_logits(tmp_path: Path, values: torch.Tensor) -> None:
    recorder = of_one_epoch(tmp_path, values)
    recorder.commit(0)
    recorder.finish()
    k = values.shape[1]
    given = planted_labels(40, k, ratio=0.25 if k > 1 else 0.0).assigned
    expected = values.float().softmax(1).numpy()[np.arange(40), given]
    found = np.asarray(read_run(tmp_path)[0].td)[:, 0, 0]
    assert np.allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_probabilities_that_are_said_to_be_some_give_the_same_curves(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    logits = torch.randn(40, 5, generator=torch.Generator().manual_seed(1)).double() * 4
    logits[0] = torch.tensor([900.0, 0, 0, 0, 0])  # rounded to 1 and 0
    found = []
    for name, values, more in (
        ("logits", logits, {}),
        ("log", logits.log_softmax(1), {}),
        ("probs", logits.softmax(1).to(dtype), {"probabilities": True}),
    ):
        recorder = of_one_epoch(tmp_path / name, values, **more)
        recorder.commit(0)
        recorder.finish()
        found.append(read_run(tmp_path / name)[0])
    for other in found[1:]:
        assert np.allclose(np.asarray(other.td), np.asarray(found[0].td), atol=2e-3)
        assert other.margin is not None and np.isfinite(other.margin[:]).all()
    assert found[0].margin is not None and found[1].margin is not None
    assert np.allclose(found[1].margin[:], found[0].margin[:], atol=1e-4)


def test_what_is_said_to_be_probabilities_has_to_be_some(tmp_path: Path) -> None:
    recorder, index = recorder_of(tmp_path)
    probs = torch.full((6, 3), 1 / 3)
    for wrong in ([0.9, 0.9, 0.9], [1.5, -0.5, 0.0], [torch.nan, 0.5, 0.5]):
        probs[4] = torch.tensor(wrong)
        with pytest.raises(
            DynamicsError, match=rf"the row of index {index[4]} that .*>= 0 with sum 1 .*1 of 6"
        ):
            recorder.record(index, probs, probabilities=True)
    with pytest.raises(DynamicsError, match=r"expected \[6, 3\]"):
        recorder.record(index, probs[:, :2], probabilities=True)
