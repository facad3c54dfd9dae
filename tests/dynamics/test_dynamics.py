from __future__ import annotations

import errno
import io
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_published_run, make_run, planted_labels, softmax_history
from hypothesis import given, settings
from hypothesis import strategies as st

import tdctl.slabs
from tdctl.dynamics import Store, TrainingDynamics, read_run, write_kept, write_td
from tdctl.errors import DynamicsError
from tdctl.files import write_json
from tdctl.metadata import write_metadata

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "run_folder.json").read_text())


def rewrite(folder: Path, **changes: Any) -> None:
    """Replaces arrays in a run's npz."""
    path = folder / "training_dynamics.npz"
    with np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
    arrays = {k: v for k, v in (arrays | changes).items() if v is not None}
    np.savez(path, **arrays)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 30), epochs=st.integers(1, 6), k=st.integers(2, 6), seed=st.integers(0, 99))
def test_what_is_written_is_read_back_by_index(
    tmp_path_factory: pytest.TempPathFactory, n: int, epochs: int, k: int, seed: int
) -> None:
    folder = make_run(tmp_path_factory.mktemp("run"), n, k, epochs, seed)
    labels = planted_labels(n, k, seed=seed)
    probs, margins = softmax_history(labels, k, epochs, seed)
    dynamics, read_labels, valid = read_run(folder)
    assert (dynamics.index == labels.index).all() and not len(valid)
    assert (read_labels.assigned == labels.assigned).all()
    assert (read_labels.flipped == labels.flipped).all()
    assert dynamics.margin is not None and (dynamics.margin == margins.T).all()
    rows = np.arange(n)
    for column in range(k):
        expected = probs[:, rows, dynamics.labels[:, column]].T
        assert (dynamics.td[:, :, column] == expected).all()
    means = np.asarray(dynamics.td).astype(np.float64).mean(axis=1)
    assert (np.diff(means[:, 1:], axis=1) <= 0).all(), "other columns fall by mean probability"


def test_the_files_have_the_published_layout(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", n=40, classes=5, epochs=7)
    sizes = {"n": 40, "m": 0, "epochs": 7, "k": 5}
    metadata = torch.load(folder / "metadata.pth", weights_only=True)
    assert list(metadata) == list(GOLDEN["metadata.pth"])
    for key, (dtype, shape) in GOLDEN["metadata.pth"].items():
        assert str(metadata[key].dtype) == dtype
        assert list(metadata[key].shape) == [sizes[s] for s in shape]
    with np.load(folder / "training_dynamics.npz", allow_pickle=False) as archive:
        assert archive.files == list(GOLDEN["training_dynamics.npz"])
        for key, (dtype, shape) in GOLDEN["training_dynamics.npz"].items():
            assert archive[key].dtype == dtype
            assert list(archive[key].shape) == [sizes[s] for s in shape]
        assert (archive["labels"][:, 0] == metadata["assigned_targets"].numpy()).all()


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (make_run(tmp_path / name) for name in "ab")
    assert (first / "training_dynamics.npz").read_bytes() == (
        second / "training_dynamics.npz"
    ).read_bytes()


@pytest.mark.parametrize("epochs", [12, 5], ids=["other length", "as many epochs as classes"])
@pytest.mark.parametrize("class_axis_last", [True, False])
def test_a_published_run_is_read_in_either_order_of_axes(
    tmp_path: Path, epochs: int, class_axis_last: bool
) -> None:
    labels = planted_labels(60, 5)
    run = make_published_run(tmp_path, labels, epochs, class_axis_last=class_axis_last)
    dynamics, read_labels, _ = read_run(run)
    probs, _ = softmax_history(labels, 5, epochs)
    assert (read_labels.index == labels.index).all(), "sorted by index"
    expected = probs[:, np.arange(60), labels.assigned].T.astype(np.float32)
    assert (dynamics.given_curve() == expected).all()
    assert dynamics.margin is None


def test_many_classes_get_wider_labels(tmp_path: Path) -> None:
    labels = planted_labels(3, 40_000)
    probs = np.zeros((1, 3, 40_000), dtype=np.float16)
    probs[:, :, 39_999] = 1
    write_td(tmp_path / "t.npz", probs, np.zeros((1, 3), np.float32), labels)
    with np.load(tmp_path / "t.npz") as archive:
        assert archive["labels"].dtype == np.int32
        assert (archive["labels"][:, 1] == 39_999).all()


def test_suggestion_and_fingerprint_do_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    dynamics, labels, _ = read_run(make_run(tmp_path))
    order = np.random.default_rng(0).permutation(len(dynamics))
    shuffled = dynamics.take(order)
    assert shuffled.fingerprint() == dynamics.fingerprint()
    assert (shuffled.suggested() == dynamics.suggested()[order]).all()
    agrees = dynamics.suggested()[labels.flipped] == labels.true[labels.flipped]
    assert agrees.mean() > 0.95, "planted errors are suggested their true label"


def test_another_curve_has_another_fingerprint(tmp_path: Path) -> None:
    dynamics, _, _ = read_run(make_run(tmp_path))
    td = np.asarray(dynamics.td)
    td[0, 0, 0] = 0.123
    assert TrainingDynamics(td, dynamics.labels, dynamics.index).fingerprint() != (
        dynamics.fingerprint()
    )


def nan_in_td(folder: Path) -> None:
    td = np.asarray(read_run(folder)[0].td)
    td[3, 2, 1] = np.nan
    rewrite(folder, td=td)


def truncated(folder: Path) -> None:
    path = folder / "training_dynamics.npz"
    path.write_bytes(path.read_bytes()[:-200])


def truncated_inside(folder: Path) -> None:
    path = folder / "training_dynamics.npz"
    path.write_bytes(path.read_bytes()[:500])


def corrupted_inside(folder: Path) -> None:
    path = folder / "training_dynamics.npz"
    content = bytearray(path.read_bytes())
    content[1000] ^= 0xFF
    path.write_bytes(bytes(content))


def of_another_run(folder: Path) -> None:
    other = make_run(folder.parent / "other", seed=5)
    (other / "metadata.pth").replace(folder / "metadata.pth")


def of_a_shorter_run(folder: Path) -> None:
    other = make_run(folder.parent / "other", n=50)
    (other / "metadata.pth").replace(folder / "metadata.pth")


def without_td(folder: Path) -> None:
    rewrite(folder, td=None)


def pickled(folder: Path) -> None:
    objects = np.array([{"a": 1}] * 120, dtype=object)
    np.savez(folder / "training_dynamics.npz", td=objects, labels=objects)


def outside_probabilities(folder: Path) -> None:
    rewrite(folder, td=np.asarray(read_run(folder)[0].td) * np.float16(3))


def a_class_twice(folder: Path) -> None:
    columns = np.asarray(read_run(folder)[0].labels)
    columns[0, 2] = columns[0, 1]
    rewrite(folder, labels=columns)


def not_an_archive(folder: Path) -> None:
    (folder / "training_dynamics.npz").write_text("hello")


def no_metadata(folder: Path) -> None:
    (folder / "metadata.pth").unlink()


def no_td_file(folder: Path) -> None:
    (folder / "training_dynamics.npz").unlink()


def disagreeing_margin(folder: Path) -> None:
    rewrite(folder, margin=np.zeros((120, 3), np.float32))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (nan_in_td, "NaN or infinity, first at index .* epoch 2"),
        (truncated, "truncated"),
        (truncated_inside, "truncated"),
        (corrupted_inside, "truncated or not an npz"),
        (of_another_run, "different runs"),
        (of_a_shorter_run, "different runs"),
        (without_td, "no array 'td'"),
        (pickled, "not an npz"),
        (outside_probabilities, "outside"),
        (a_class_twice, "twice"),
        (not_an_archive, "not an npz"),
        (no_metadata, "no such file"),
        (no_td_file, "no such file"),
        (disagreeing_margin, "margin"),
    ],
)
def test_a_damaged_run_is_refused_in_one_line(tmp_path: Path, damage: Any, says: str) -> None:
    folder = make_run(tmp_path / "run")
    damage(folder)
    with pytest.raises(DynamicsError, match=says) as caught:
        read_run(folder)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DynamicsError, match="nowhere"):
        read_run(tmp_path / "nowhere")


def test_interpretdls_pickled_label_flip_is_never_read(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    rewrite(folder, label_flip=np.array([{"a": 1}] * 120, dtype=object))
    assert len(read_run(folder)[0]) == 120


def test_td_is_stored_unpacked_so_that_it_can_be_mapped(tmp_path: Path) -> None:
    with zipfile.ZipFile(make_run(tmp_path) / "training_dynamics.npz") as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def in_other_types(folder: Path) -> None:
    archive = np.load(folder / "training_dynamics.npz")
    arrays = {name: archive[name] for name in archive.files}
    archive.close()
    arrays["td"] = np.asfortranarray(arrays["td"].astype(np.float64))
    np.savez(folder / "training_dynamics.npz", **arrays)


def packed(folder: Path) -> None:
    with np.load(folder / "training_dynamics.npz") as archive:
        arrays = dict(archive)
    np.savez_compressed(folder / "training_dynamics.npz", **arrays)


@pytest.mark.parametrize("change", [None, packed, in_other_types])
def test_what_is_mapped_is_what_numpy_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any
) -> None:
    folder = make_run(tmp_path / "run", n=50, classes=4, epochs=7)
    with np.load(folder / "training_dynamics.npz") as archive:
        expected = dict(archive)
    if change is not None:
        change(folder)
    monkeypatch.setattr(tdctl.slabs, "SLAB", 600)
    dynamics, _, _ = read_run(folder)
    for name, array in expected.items():
        assert np.array_equal(np.asarray(getattr(dynamics, name)), array), name
    slabs = list(dynamics.slabs())
    assert len(slabs) > 5
    for name, array in expected.items():
        parts = [getattr(slab, name) for slab in slabs]
        assert all(isinstance(part, np.ndarray) for part in parts)
        assert np.array_equal(np.concatenate(parts), array), name
    assert (dynamics.given_curve(3, 45) == expected["td"][3:45, :, 0]).all()


def test_suggestion_and_fingerprint_do_not_depend_on_the_size_of_slabs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dynamics, _, _ = read_run(make_run(tmp_path))
    suggested, fingerprint, classes = (
        dynamics.suggested(),
        dynamics.fingerprint(),
        dynamics.num_classes,
    )
    monkeypatch.setattr(tdctl.slabs, "SLAB", 500)
    assert (dynamics.suggested() == suggested).all()
    assert dynamics.fingerprint() == fingerprint and dynamics.num_classes == classes == 5


def kept_run(folder: Path) -> Path:
    """A run of the given store, in shuffled order of rows."""
    labels = planted_labels(40, 5)
    labels = labels.take(np.random.default_rng(0).permutation(40))
    probs, margins = softmax_history(labels, 5, 6)
    rows = np.arange(40)
    others = probs.copy()
    others[:, rows, labels.assigned] = -1
    arrays = {
        "given": probs[:, rows, labels.assigned],
        "margin": margins,
        "loss": -np.log(np.maximum(probs[:, rows, labels.assigned].astype(np.float32), 1e-8)),
        "other": others.max(axis=2)[:, :, None],
        "other_class": others.argmax(axis=2)[:, :, None].astype(np.int16),
    }
    folder.mkdir()
    total = probs.sum(axis=0, dtype=np.float32)
    write_kept(folder / "training_dynamics.npz", arrays, total, labels, Store.of("given", 5), 5)
    write_metadata(folder / "metadata.pth", labels, np.zeros(0, np.int64))
    return folder


def test_a_run_that_keeps_only_the_given_label_is_read(tmp_path: Path) -> None:
    kept, labels, _ = read_run(kept_run(tmp_path / "kept"))
    assert (np.diff(kept.index) > 0).all() and kept.td.shape == (40, 6, 1)
    assert kept.num_classes == 5
    agrees = kept.suggested()[labels.flipped] == labels.true[labels.flipped]
    assert agrees.mean() > 0.8, "planted errors are suggested their true label"


@pytest.mark.parametrize(
    "change", [{"mean": None}, {"other": np.zeros((40, 2, 1))}, {"mean_class": np.zeros((40, 2))}]
)
def test_a_run_with_part_of_what_a_store_keeps_is_refused(tmp_path: Path, change: Any) -> None:
    folder = kept_run(tmp_path / "kept")
    rewrite(folder, **change)
    with pytest.raises(DynamicsError, match="expected"):
        read_run(folder)


def test_columns_in_another_order_than_the_labels_are_refused(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "r")
    with np.load(folder / "training_dynamics.npz") as archive:
        td = archive["td"]
    rewrite(folder, td=td[:, :, [1, 0, 2, 3, 4]])
    with pytest.raises(DynamicsError, match=r"td's first column .*record the run again"):
        read_run(folder)
    rewrite(folder, td=td * np.float16(0.3))
    with pytest.raises(DynamicsError, match=r"sums to 0\.30 over the classes at index"):
        read_run(folder)


def test_a_file_of_some_columns_is_read(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "r")
    with np.load(folder / "training_dynamics.npz") as archive:
        td, labels = archive["td"], archive["labels"]
    rewrite(folder, td=td[:, :, :3], labels=labels[:, :3])
    assert read_run(folder)[0].td.shape[2] == 3


def test_what_is_suggested_does_not_depend_on_the_order_of_columns(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "r")
    expected = read_run(folder)[0].suggested()
    with np.load(folder / "training_dynamics.npz") as archive:
        td, labels = archive["td"], archive["labels"]
    other = [0, 4, 2, 3, 1]
    rewrite(folder, td=td[:, :, other], labels=labels[:, other])
    assert np.array_equal(read_run(folder)[0].suggested(), expected)


class FullDisk(io.BytesIO):
    def write(self, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_while_unpacking_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_published_run(tmp_path, planted_labels(60, 5))
    monkeypatch.setattr("tdctl.dynamics.read_files.tempfile.TemporaryFile", FullDisk)
    with pytest.raises(DynamicsError, match=r"No space left on device.* TMPDIR") as caught:
        read_run(run)
    assert "\n" not in str(caught.value)


READING = """
import sys, threading
from pathlib import Path
import numpy as np
from tdctl.dynamics import read_run

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(x.split()[1]) for x in lines if x.startswith(("RssAnon", "RssFile")))

def peak_of(folder):
    peak, done = [resident()], threading.Event()
    def watch():
        while not done.wait(0.001):
            peak.append(resident())
    thread = threading.Thread(target=watch)
    thread.start()
    dynamics, _, _ = read_run(Path(folder))
    dynamics.suggested(), dynamics.fingerprint()
    done.set()
    thread.join()
    return max(peak)

peak_of(sys.argv[1])
print(*map(peak_of, sys.argv[1:]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_reading_a_large_run_holds_a_slab_at_a_time(tmp_path: Path) -> None:
    # The small ones first: they are read by a process that has not read a large one.
    folders = []
    for n in (1000, 5000):
        for write in (np.savez, np.savez_compressed):
            labels = planted_labels(n, 10)
            labels = labels.take(np.random.default_rng(0).permutation(n))
            td = np.full((n, 600, 10), 0.1, np.float16)
            columns = (labels.assigned[:, None] + np.arange(10)) % 10
            folders.append(tmp_path / f"{write.__name__}_{n}")
            folders[-1].mkdir()
            write(folders[-1] / "training_dynamics.npz", td=td, labels=columns)
            write_metadata(folders[-1] / "metadata.pth", labels, np.zeros(0, np.int64))
    command = [sys.executable, "-c", READING, *map(str, folders)]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    peaks = [int(kilobytes) for kilobytes in out.stdout.split()]
    assert len(peaks) == 4
    for small, large in zip(peaks[:2], peaks[2:], strict=True):
        assert large - small < 35_000, f"{small} kB for 12 MB, {large} kB for 60 MB"


def test_an_absurd_class_is_refused_before_anything_is_made_of_it(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "r")
    with np.load(folder / "training_dynamics.npz") as archive:
        labels = archive["labels"].astype(np.int64)
    labels[3, 4] = 2**40
    rewrite(folder, labels=labels)
    with pytest.raises(DynamicsError, match="names the class 1099511627776; expected"):
        read_run(folder)


def test_a_finished_run_that_lost_its_dynamics_is_not_called_unfinished(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    (run / "training_dynamics.npz").unlink()
    for status, says in (("complete", "is missing, though"), ("running", "continue it with")):
        write_json(run / "manifest.json", {"status": status})
        with pytest.raises(DynamicsError, match=says):
            read_run(run)


def test_the_first_epochs_are_those_of_a_run_that_ended_there(tmp_path: Path) -> None:
    dynamics, _, _ = read_run(make_run(tmp_path / "r", n=30))
    part = dynamics.first_epochs(4)
    assert part.epochs == 4 and len(part) == 30 and part.num_classes == dynamics.num_classes
    for name in ("td", "margin", "loss"):
        assert np.array_equal(getattr(part, name)[:], getattr(dynamics, name)[:][:, :4])
    means = dynamics.td[:][:, :4].mean(axis=1, dtype=np.float64)
    assert np.array_equal(part.suggested(), dynamics.labels[:][np.arange(30), means.argmax(axis=1)])
    assert part.heldout is None and part.final_margin is None
    kept = replace(dynamics, td=dynamics.td[:, :, :1])
    with pytest.raises(DynamicsError, match="first epochs"):
        kept.first_epochs(4)
