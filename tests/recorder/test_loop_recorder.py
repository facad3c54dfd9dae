"""The recorder of a training loop of one's own, as its user meets it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import refused, tdctl
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import forked, result_of

from tdctl import Recorder, detection_metrics, read_run, score
from tdctl.dynamics import TrainingDynamics
from tdctl.errors import ConfigError, DataError, DynamicsError, RunError
from tdctl.labels import Labels
from tdctl.recorder import RunRecorder, logit_margin

N, K, EPOCHS = 40, 4, 3
TARGETS = torch.arange(N) % K
ALL = torch.arange(N)


def logits_of(seed: int = 0, epochs: int = EPOCHS, n: int = N, k: int = K) -> torch.Tensor:
    return 3 * torch.randn(epochs, n, k, generator=torch.Generator().manual_seed(seed))


def recorded(folder: Path, logits: torch.Tensor, **more: Any) -> TrainingDynamics:
    with Recorder(folder, **more) as recorder:
        for epoch in range(len(logits)):
            for rows in ALL.split(7):
                recorder.record(rows, logits[epoch, rows], TARGETS[rows])
            recorder.end_epoch()
    return read_run(folder)[0]


@pytest.mark.parametrize("store", ["full", "given", "topk:2"])
def test_it_writes_what_generate_td_writes(tmp_path: Path, store: str) -> None:
    logits = logits_of()
    found = recorded(tmp_path / "loop", logits, store=store)
    labels = Labels(ALL.numpy(), TARGETS.numpy(), TARGETS.numpy())
    planned = RunRecorder.create(tmp_path / "run", labels, K, EPOCHS, store=store)
    for epoch in range(EPOCHS):
        planned.record(ALL, logits[epoch])
        planned.commit(epoch)
    planned.finish()
    expected = read_run(tmp_path / "run")[0]
    for name in ("td", "labels", "margin", "loss", "entropy", "other", "other_class"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert (ours is None) == (theirs is None), name
        if ours is not None:
            assert np.allclose(np.asarray(ours), np.asarray(theirs), atol=1e-3), name
    assert found.recorded is None


@pytest.mark.parametrize("store", ["full", "topk:3"])
def test_many_classes_are_recorded_like_few(tmp_path: Path, store: str) -> None:
    logits = logits_of(k=100)
    found = recorded(tmp_path / "loop", logits, store=store)
    own = logits.softmax(2)[:, ALL, TARGETS].T
    assert np.allclose(found.given_curve(), own, atol=1e-3)
    assert found.loss is not None and np.allclose(found.loss[:], -own.log(), rtol=1e-4, atol=1e-5)
    margin = logit_margin(logits, TARGETS.expand(EPOCHS, N)).T
    assert found.margin is not None and np.allclose(found.margin[:], margin, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), batch=st.integers(1, 50), known=st.booleans(), texts=st.booleans())
def test_any_order_and_any_batches(
    tmp_path_factory: pytest.TempPathFactory, seed: int, batch: int, known: bool, texts: bool
) -> None:
    folder = tmp_path_factory.mktemp("x") / "r"
    generator, logits = torch.Generator().manual_seed(seed), logits_of(seed)
    names = [f"{(7 * i) % N:03d}.png" for i in range(N)]
    recorder = Recorder(folder, num_samples=N if known else None)
    for epoch in range(EPOCHS):
        for rows in torch.randperm(N, generator=generator).split(batch):
            ids = [names[row] for row in rows.tolist()] if texts else rows
            recorder.record(ids, logits[epoch, rows], TARGETS[rows])
        assert recorder.end_epoch().samples == N
    recorder.finish()
    dynamics, labels, _ = read_run(folder)
    # The index of a name is its place among the sorted names, whatever the order of the batches.
    row = np.argsort(names) if texts else np.arange(N)
    assert labels.index.tolist() == list(range(N))
    assert (labels.assigned == TARGETS.numpy()[row]).all()
    margin = logit_margin(logits, TARGETS.expand(EPOCHS, N)).T.numpy()
    assert dynamics.margin is not None and np.allclose(dynamics.margin[:], margin[row], atol=1e-5)


def test_the_first_of_several_recordings_counts(tmp_path: Path) -> None:
    logits = logits_of()
    recorder = Recorder(tmp_path / "r")
    recorder.record(ALL, logits[0], TARGETS)
    recorder.record(ALL[:5], logits[1, :5], TARGETS[:5])
    twice = torch.tensor([3, 3, 3])
    recorder.record(twice, logits[2, :3], TARGETS[twice])
    report = recorder.end_epoch()
    assert (report.samples, report.missed, report.repeated) == (N, 0, 8)
    # Also within a batch.
    recorder.record(twice, logits[2, :3], TARGETS[twice])
    report = recorder.end_epoch()
    assert (report.samples, report.missed, report.repeated) == (1, N - 1, 2)
    recorder.finish()
    margin = np.asarray(read_run(tmp_path / "r")[0].margin)
    assert np.allclose(margin[:, 0], logit_margin(logits[0], TARGETS), atol=1e-5)
    assert np.isclose(margin[3, 1], logit_margin(logits[2, :1], TARGETS[3:4]), atol=1e-5)


@pytest.mark.parametrize("store", ["full", "given"])
def test_a_gap_is_bridged_and_marked(tmp_path: Path, store: str) -> None:
    logits = logits_of(epochs=4)
    left_out = {0: 1, 2: 1, 3: 2}  # epoch: sample
    recorder = Recorder(tmp_path / "r", num_samples=N + 1, store=store)
    for epoch in range(4):
        rows = ALL[left_out.get(epoch, -1) != ALL]
        recorder.record(rows, logits[epoch, rows], TARGETS[rows])
        assert recorder.end_epoch().missed == 1 + (epoch in left_out)
    recorder.finish()
    dynamics, labels, _ = read_run(tmp_path / "r")
    assert len(labels) == N  # the last sample was never recorded, so it has no curve
    assert dynamics.recorded is not None and dynamics.margin is not None
    assert dynamics.recorded[1].tolist() == [0, 1, 0, 1]
    assert dynamics.recorded[2].tolist() == [1, 1, 1, 0]
    assert dynamics.recorded[:].sum() == 4 * N - 3
    of = logit_margin(logits, TARGETS.expand(4, N)).T.numpy()
    assert np.allclose(dynamics.margin[1], of[1, [1, 1, 1, 3]], atol=1e-5)
    assert np.allclose(dynamics.margin[2], of[2, [0, 1, 2, 2]], atol=1e-5)
    result = tdctl("detect", "--td", tmp_path / "r", "--score", "aum", "--out", tmp_path / "o.csv")
    assert result.exit_code == 0 and "1.9% of its values were not recorded" in result.stderr


def test_names_of_samples_and_classes_are_shown(tmp_path: Path) -> None:
    classes = ["owl", "cat, black", "dog", "NA"]
    files = [f"photos/{i}.png" for i in range(N)]
    for name, more in (("met", {}), ("known", {"file_names": files})):
        with Recorder(tmp_path / name, class_names=classes, **more) as recorder:
            for _ in range(2):
                targets = [classes[int(label)] for label in TARGETS]
                recorder.record(files, logits_of()[0], targets)
                recorder.end_epoch()
        out = tmp_path / f"{name}.csv"
        assert (
            tdctl("detect", "--td", tmp_path / name, "--score", "aum", "--out", out).exit_code == 0
        )
        table = pd.read_csv(out, keep_default_na=False)
        own = {file: classes[int(label)] for file, label in zip(files, TARGETS, strict=True)}
        assert dict(zip(table["file_name"], table["given_label"], strict=True)) == own
    # Names that are known keep their places as index.
    by_place = table.set_index("file_name")["index"]
    assert [by_place[file] for file in files] == list(range(N))


def test_the_commands_read_it(tmp_path: Path) -> None:
    logits = logits_of() + 4 * torch.nn.functional.one_hot(TARGETS, K)
    recorded(tmp_path / "r", logits)
    out = {name: tmp_path / name for name in ("o.csv", "page.html", "l.csv")}
    run = ("--td", tmp_path / "r")
    shown = tdctl("show", tmp_path / "r", "--score", "aum")
    assert shown.exit_code == 0 and "40 train, 4 classes" in shown.stdout
    assert "denoise" not in shown.stdout
    clean = ("--score", "aum", "--remove-ratio", "0.1", "--action", "drop", "--out", out["l.csv"])
    for command in (
        ("detect", *run, "--out", out["o.csv"]),
        ("report", *run, "--score", "aum", "--out", out["page.html"]),
        ("clean", *run, *clean),
    ):
        result = tdctl(*command)
        assert result.exit_code == 0, result.output
    assert all(file.stat().st_size > 100 for file in out.values())


def test_true_labels_give_metrics(tmp_path: Path) -> None:
    true = TARGETS.clone()
    true[:6] = (true[:6] + 1) % K
    logits = logits_of() + 9 * torch.nn.functional.one_hot(true, K)
    recorded(tmp_path / "r", logits, true_targets=true)
    assert read_run(tmp_path / "r")[1].flipped.sum() == 6
    dynamics, labels, _ = read_run(tmp_path / "r")
    assert detection_metrics(score(dynamics, "aum"), labels.flipped).auc == 1
    with pytest.raises(DataError, match="true_targets has no label of sample 1"):
        recorded(tmp_path / "s", logits, true_targets={0: 1})
    with pytest.raises(DataError, match=r"true_targets is int64 \(3,\)"):
        recorded(tmp_path / "t", logits, true_targets=[1, 2, 3])


FIRST = logits_of()[0]


def changed(values: torch.Tensor, place: Any, value: Any) -> torch.Tensor:
    values = values.clone()
    values[place] = value
    return values


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        ((ALL, torch.zeros(N, K + 1), TARGETS), "logits have 5 columns; expected 4"),
        ((ALL, torch.zeros(N), TARGETS), r"logits are \[40\]; expected \[batch, classes\]"),
        ((ALL, torch.zeros(N, K, dtype=torch.int64), TARGETS), "logits are torch.int64"),
        ((ALL[1:], FIRST, TARGETS), "39 ids, 40 rows of logits and 40 targets"),
        ((ALL, FIRST, TARGETS[1:]), "40 ids, 40 rows of logits and 39 targets"),
        ((changed(ALL, 3, N), FIRST, TARGETS), "the id 40 is out of range.* 0 to 39"),
        ((changed(ALL, 3, -1), FIRST, TARGETS), "the id -1 is out of range"),
        ((ALL.float(), FIRST, TARGETS), "ids are torch.float32"),
        ((["a", 1], FIRST[:2], TARGETS[:2]), "the id 'a' is str; expected whole numbers"),
        (([f"{i}" for i in ALL], FIRST, TARGETS), "the id '0' is a string"),
        ((ALL, changed(FIRST, (5, 1), torch.nan), TARGETS), "logits of sample 5 are not finite"),
        ((ALL, changed(FIRST, (5, 1), torch.inf), TARGETS), "logits of sample 5 are not finite"),
        ((ALL, FIRST.softmax(1), TARGETS), "probabilities, not logits.* probabilities=True"),
        ((ALL, FIRST, changed(TARGETS, 9, 2)), "label of sample 9 is 2, and was 1 before"),
        ((ALL, FIRST, changed(TARGETS, 9, -100)), "label of sample 9 is -100; .*0 to 3"),
        ((ALL, FIRST, changed(TARGETS, 9, K)), "label of sample 9 is 4; expected a class from 0"),
        ((ALL, FIRST, TARGETS.float()), "targets are float32.*mixup.*record before mixing"),
        ((ALL, FIRST, torch.eye(K)[TARGETS]), r"targets are float32 \[40, 4\].*mixup"),
        ((ALL, FIRST, ["owl"] * N), "target 'owl' is no whole number; give class_names"),
    ],
)
def test_what_cannot_be_recorded_names_the_sample(tmp_path: Path, batch: Any, says: str) -> None:
    recorder = Recorder(tmp_path / "r", num_samples=N, num_classes=K)
    recorder.record(ALL, FIRST, TARGETS)
    recorder.end_epoch()
    with pytest.raises(DynamicsError, match=says) as caught:
        recorder.record(*batch)
        recorder.end_epoch()
    assert "\n" not in str(caught.value)


def test_probabilities_can_be_recorded(tmp_path: Path) -> None:
    with Recorder(tmp_path / "r") as recorder:
        for epoch in range(2):
            probs = logits_of()[epoch].softmax(1)
            recorder.record(ALL.numpy(), probs.numpy(), TARGETS.numpy(), probabilities=True)
            recorder.end_epoch()
    given = read_run(tmp_path / "r")[0].given_curve()
    assert np.allclose(given[:, 1], logits_of()[1].softmax(1)[ALL, TARGETS], atol=1e-3)
    again = Recorder(tmp_path / "s")
    with pytest.raises(DynamicsError, match=r"row of index 7 .*does not hold values >= 0"):
        again.record(ALL, changed(probs, 7, 0.9), TARGETS, probabilities=True)


def test_an_epoch_of_nothing_is_refused(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "r")
    with pytest.raises(DynamicsError, match="epoch 0: nothing was recorded; call record"):
        recorder.end_epoch()
    with pytest.raises(DynamicsError, match="no epoch was recorded"):
        recorder.finish()
    recorder.record(ALL, FIRST, TARGETS)
    recorder.end_epoch()
    recorder.record(ALL, FIRST, TARGETS)
    recorder.reset()
    with pytest.raises(DynamicsError, match="epoch 1: nothing"):
        recorder.end_epoch()
    recorder.record(ALL, FIRST, TARGETS)
    with pytest.raises(DynamicsError, match="40 samples were recorded after the last end_epoch"):
        recorder.finish()
    recorder.reset()
    recorder.finish()
    assert len(read_run(tmp_path / "r")[0].td[0]) == 1
    with pytest.raises(DynamicsError, match="is finished"):
        recorder.record(ALL, FIRST, TARGETS)


def test_what_is_there_is_not_replaced(tmp_path: Path) -> None:
    recorded(tmp_path / "r", logits_of())
    with pytest.raises(RunError, match=r"training_dynamics.npz: holds a recording.*overwrite=True"):
        Recorder(tmp_path / "r")
    assert not np.array_equal(
        recorded(tmp_path / "r", logits_of(1), overwrite=True).margin[:],  # type: ignore[index]
        recorded(tmp_path / "s", logits_of()).margin[:],  # type: ignore[index]
    )
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "manifest.json").write_text('{"command": "generate-td"}')
    with pytest.raises(RunError, match="holds a run of tdctl generate-td"):
        Recorder(tmp_path / "m", overwrite=True)
    with pytest.raises(ConfigError, match="'most' is unknown"):
        Recorder(tmp_path / "n", store="most")
    with pytest.raises(DataError, match="class_names holds 2 names for 3 classes"):
        Recorder(tmp_path / "n", num_classes=3, class_names=["a", "b"])


class Stopped(Exception):
    pass


@settings(max_examples=25, deadline=None)
@given(stop=st.integers(1, 29), saved=st.integers(0, 29), texts=st.booleans(), late=st.booleans())
def test_a_run_that_is_stopped_and_resumed_gives_each_id_once_an_epoch(
    tmp_path_factory: pytest.TempPathFactory, stop: int, saved: int, texts: bool, late: bool
) -> None:
    """The loop goes back to its checkpoint, which is older than what the recorder wrote."""
    folder = tmp_path_factory.mktemp("x") / "r"
    saved = min(saved, stop)
    batches = [(epoch, rows) for epoch in range(5) for rows in ALL.split(7)]

    def train(recorder: Recorder, first: int, last: int, seed: int) -> dict[str, Any]:
        logits, state = logits_of(seed, 5), recorder.state_dict()
        for step in range(first, last):
            if step == saved:
                state = recorder.state_dict()
            epoch, rows = batches[step]
            ids = [f"n{row}" for row in rows.tolist()] if texts else rows
            recorder.record(ids, logits[epoch, rows], TARGETS[rows])
            if step % 6 == 5:
                recorder.end_epoch()
        return recorder.state_dict() if last == saved else state

    state = train(Recorder(folder, num_samples=N if late else None), 0, stop, seed=0)
    state = torch.load(_saved(folder.parent / "c.pth", state), weights_only=True)
    again = Recorder(folder, num_samples=N if late else None, overwrite=saved == 0)
    again.load_state_dict(state)
    train(again, saved, 30, seed=1)
    again.finish()
    assert [(r.samples, r.missed, r.repeated) for r in again.reports] == [(N, 0, 0)] * 5
    dynamics = read_run(folder)[0]
    assert dynamics.recorded is None and dynamics.margin is not None
    order = np.argsort([f"n{row}" for row in range(N)]) if texts else np.arange(N)
    for epoch in range(5):
        of = [logit_margin(logits_of(seed, 5)[epoch], TARGETS).numpy() for seed in (0, 1)]
        step = 6 * epoch + np.arange(N) // 7
        expected = np.where(step < saved, *of)[order]
        assert np.allclose(dynamics.margin[:, epoch], expected, atol=1e-5)


def _saved(path: Path, state: dict[str, Any]) -> Path:
    torch.save(state, path)
    return path


def test_a_state_of_another_recording_is_refused(tmp_path: Path) -> None:
    def begun(name: str) -> Recorder:
        recorder = Recorder(tmp_path / name)
        recorder.record(ALL, FIRST, TARGETS)
        recorder.end_epoch()
        return recorder

    state = begun("a").state_dict()
    begun("b")
    with pytest.raises(RunError, match="another recording than the checkpoint"):
        Recorder(tmp_path / "b").load_state_dict(state)
    with pytest.raises(RunError, match="the recording of the checkpoint is not there"):
        Recorder(tmp_path / "c").load_state_dict(state)
    with pytest.raises(DynamicsError, match=r"no state of a tdctl.Recorder"):
        Recorder(tmp_path / "a").load_state_dict({"epoch": 1})
    with pytest.raises(RunError, match="holds an unfinished recording of 1 epochs"):
        Recorder(tmp_path / "a").record(ALL, FIRST, TARGETS)
    again = Recorder(tmp_path / "a")
    again.load_state_dict(state)
    with pytest.raises(RunError, match="recorded with classes 4, now it is 5"):
        again.record(ALL, torch.zeros(N, 5), TARGETS)


def test_a_recording_that_ended_early_can_be_ranked(tmp_path: Path) -> None:
    with pytest.raises(Stopped), Recorder(tmp_path / "r", class_names=list("abcd")) as recorder:
        for epoch in range(2):
            recorder.record([f"{i}.png" for i in ALL], logits_of()[epoch], TARGETS)
            recorder.end_epoch()
        recorder.record(["0.png"], FIRST[:1], TARGETS[:1])
        raise Stopped
    refused(tdctl("detect", "--td", tmp_path / "r"), "recording is not finished", "complete")
    assert "2 epochs are over" in tdctl("show", tmp_path / "r").stdout
    Recorder.complete(tmp_path / "r")
    result = tdctl("detect", "--td", tmp_path / "r", "--score", "aum", "--out", tmp_path / "o.csv")
    assert result.exit_code == 0
    assert set(pd.read_csv(tmp_path / "o.csv")["given_label"]) == set("abcd")
    with pytest.raises(RunError, match="holds no unfinished recording"):
        Recorder.complete(tmp_path / "r")


def test_a_damaged_epoch_is_told(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "r")
    recorder.record(ALL, FIRST, TARGETS)
    recorder.end_epoch()
    path = tmp_path / "r" / "recording" / "epoch_00000.probs.npy"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(RunError, match=r"epoch_00000.probs.npy: the recording cannot be read"):
        recorder.finish()


def test_ids_that_are_no_positions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DynamicsError, match=r"id 9000000000 is too large.*as strings"):
        Recorder(tmp_path / "r").record([9_000_000_000], FIRST[:1], TARGETS[:1])


def one_of_two(rank: int, base: Path) -> str:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{base}/store", rank=rank, world_size=2
    )
    for texts in (False, True):
        with Recorder(base / f"texts_{texts}") as recorder:
            for epoch in range(EPOCHS):
                # A distributed sampler deals the samples out, and repeats some to fill up.
                order = torch.randperm(N, generator=torch.Generator().manual_seed(epoch))
                record_part(recorder, epoch, torch.cat([order, order[:4]])[rank::2], texts)
                report = recorder.end_epoch()
                assert (report.samples, report.missed, report.repeated) == (N, 0, 4)
    recorder = Recorder(base / "wrong")
    record_part(recorder, 0, ALL[rank::2], False)
    if rank:  # a sample that the other process has, with another label
        recorder.record(ALL[:1], logits_of()[0, :1], TARGETS[:1] + 1)
    with pytest.raises(DynamicsError, match="the label of sample 0 is 1 in one process and 0 in"):
        recorder.end_epoch()
    torch.distributed.destroy_process_group()
    return "done"


def record_part(recorder: Recorder, epoch: int, part: torch.Tensor, texts: bool) -> None:
    for rows in part.split(7):
        ids = [f"n{row:02d}" for row in rows.tolist()] if texts else rows
        recorder.record(ids, logits_of()[epoch, rows], TARGETS[rows])


def test_two_processes_make_one_recording(tmp_path: Path) -> None:
    children = [forked(partial(one_of_two, rank, tmp_path)) for rank in range(2)]
    assert [result_of(child) for child in children] == ["done", "done"]
    alone = recorded(tmp_path / "alone", logits_of())
    for texts in (False, True):
        together, labels, _ = read_run(tmp_path / f"texts_{texts}")
        assert (labels.assigned == TARGETS.numpy()).all()
        assert together.digest() == alone.digest()
