from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import Bomb, make_published_run, make_run, planted_labels, softmax_history, tdctl

from tdctl import runner
from tdctl.dynamics import read_run, write_td
from tdctl.errors import DynamicsError
from tdctl.exchange import data_map, label_quality_of, order_and_predictions
from tdctl.labels import Labels
from tdctl.recorder import RunRecorder
from tdctl.scores import SCORES, find_score, score


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("exchange") / "r", n=80)


def interpretdl(folder: Path, label_flip: Any, n: int = 40, k: int = 4, epochs: int = 6) -> Any:
    """The file as InterpretDL's TrainingDynamics.transform and .save make it, written out."""
    labels = planted_labels(n, k)
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, (epochs, n, k))
    logits[:, np.arange(n), labels.true] += np.linspace(0, 4, epochs)[:, None]
    softmax = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    # A dict of index to a list of softmax rows, one an epoch; indices from 0.
    recorded = {i: [softmax[t, i].astype(np.float32) for t in range(epochs)] for i in range(n)}
    table = np.asarray([recorded[i] for i in sorted(recorded)]).astype(np.float16)
    order = np.argsort(-table.mean(axis=1), axis=1)
    td = np.ones_like(table, dtype=np.float16)
    columns = np.ones_like(table[:, 0, :], dtype=np.int16)
    for row, targets in enumerate(order):
        given = labels.assigned[row]
        columns[row] = [given, *(c for c in targets if c != given)]
        td[row] = table[row][:, columns[row]]
    folder.mkdir(parents=True, exist_ok=True)
    flip = labels.flipped if label_flip is True else label_flip
    np.savez_compressed(folder / "training_dynamics.npz", label_flip=flip, labels=columns, td=td)
    return labels, table


def test_a_lone_file_of_interpretdl_is_read_with_its_flips(tmp_path: Path) -> None:
    given, table = interpretdl(tmp_path / "r", True)
    dynamics, labels, valid = read_run(tmp_path / "r")
    assert labels.index.tolist() == list(range(40)) and not len(valid)
    assert np.array_equal(labels.assigned, given.assigned)
    assert np.array_equal(labels.flipped, given.flipped)
    assert set(labels.true[given.flipped]) == {-1}
    whole = np.take_along_axis(table, np.asarray(dynamics.labels[:])[:, None], axis=2)
    assert np.array_equal(dynamics.td[:], whole)


def test_a_lone_file_is_ranked_judged_and_compared(tmp_path: Path) -> None:
    given, _ = interpretdl(tmp_path / "r", list(planted_labels(40, 4).flipped.tolist()))
    result = runner.detect(tmp_path / "r", find_score("p-mean"))
    assert result.metrics.realised_rate == given.flipped.mean()
    assert result.metrics.auc is not None and result.metrics.auc > 0.6
    table = result.table.sort_values("index")
    assert table["label_flipped"].tolist() == given.flipped.tolist()
    assert table["true_label"].isna().tolist() == given.flipped.tolist(), "not known, so left empty"
    compared = runner.compare([tmp_path / "r"], [find_score("aum-softmax")], bootstrap=5)
    assert compared.rows[0].figures is not None


def test_without_flips_the_truth_of_a_lone_file_is_unknown(tmp_path: Path) -> None:
    interpretdl(tmp_path / "r", None)
    labels = read_run(tmp_path / "r")[1]
    assert not labels.flipped.any()
    assert runner.detect(tmp_path / "r", find_score("p-mean")).metrics.auc is None


def test_python_objects_in_a_lone_file_are_never_loaded(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    interpretdl(tmp_path / "r", np.array([Bomb(mark)] * 40, dtype=object))
    assert not read_run(tmp_path / "r")[1].flipped.any() and not mark.exists()


@pytest.mark.parametrize(
    ("flip", "says"),
    [
        (np.zeros(39, np.bool_), "expected bool"),
        (np.full(40, 2), "expected bool"),
        (np.zeros(40), "expected bool"),
    ],
)
def test_flips_that_are_none_are_refused(tmp_path: Path, flip: Any, says: str) -> None:
    interpretdl(tmp_path / "r", flip)
    with pytest.raises(DynamicsError, match=says):
        read_run(tmp_path / "r")


def test_half_of_a_run_folder_is_no_lone_file(tmp_path: Path) -> None:
    for make in (make_run, lambda path: make_published_run(path, planted_labels(40, 5))):
        folder = make(tmp_path / make.__name__)
        (folder / "metadata.pth").unlink()
        with pytest.raises(DynamicsError, match=r"metadata\.pth: no such file.*label_flip"):
            read_run(folder)


def test_what_is_exported_for_interpretdl_is_read_back_whole(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "there" / "training_dynamics.npz"
    assert runner.export(run, "interpretdl", out) == [out]
    with np.load(out, allow_pickle=False) as file:
        arrays = dict(file)
    assert list(arrays) == ["label_flip", "labels", "td", "index"]
    assert arrays["td"].dtype == np.float16 and arrays["td"].shape == (80, 12, 5)
    assert arrays["labels"].dtype == np.int16 and arrays["label_flip"].dtype == np.bool_
    dynamics, labels, _ = read_run(run)
    again, theirs, _ = read_run(out.parent)
    assert again.fingerprint() == dynamics.fingerprint()
    assert np.array_equal(again.td[:], dynamics.td[:])
    assert np.array_equal(theirs.flipped, labels.flipped)
    assert np.array_equal(theirs.index, labels.index)


def test_the_columns_are_in_interpretdls_order(tmp_path: Path) -> None:
    _, _ = interpretdl(tmp_path / "a", True)
    runner.export(tmp_path / "a", "interpretdl", tmp_path / "b" / "training_dynamics.npz")
    files = [np.load(tmp_path / name / "training_dynamics.npz") for name in "ab"]
    for name in ("label_flip", "labels", "td"):
        assert np.array_equal(files[0][name], files[1][name]), name
        assert files[0][name].dtype == files[1][name].dtype


def test_order_puts_the_worst_last_and_predictions_are_by_row(
    run: Path, tmp_path: Path, detector_file: Path
) -> None:
    suspicion = np.array([0.2, 0.9, 0.1, 0.9])
    order, predictions = order_and_predictions(suspicion)
    assert order.tolist() == [2, 0, 1, 3] and predictions == suspicion.tolist()
    out = tmp_path / "order.npz"
    result = tdctl(
        "export", "--td", run, "--format", "order", "--detector", detector_file, "--out", out
    )
    assert result.exit_code == 0, result.output
    detection = runner.detect(run, detector_file)
    with np.load(out) as file:
        assert np.array_equal(file["order"], np.argsort(file["predictions"], kind="stable"))
        assert np.array_equal(file["predictions"], detection.ranking.suspicion)
        assert file["index"].tolist() == detection.ranking.index.tolist()
        ordered = file["predictions"][file["order"]]
    assert ordered[::-1].tolist() == detection.table["suspicion"].tolist()


def test_cleanlab_takes_what_is_exported(run: Path, tmp_path: Path) -> None:
    rank = pytest.importorskip("cleanlab.rank")
    out = tmp_path / "probs.npz"
    files = runner.export(run, "cleanlab", out, find_score("p-mean"))
    assert files == [out, tmp_path / "probs.label_quality.csv"]
    with np.load(out) as file:
        probs, labels, index = (file[name] for name in ("pred_probs", "labels", "index"))
    given = read_run(run)[1]
    assert np.array_equal(labels, given.assigned) and np.array_equal(index, given.index)
    assert probs.sum(axis=1) == pytest.approx(np.ones(80), abs=0.01)
    quality = rank.get_label_quality_scores(labels, probs)
    table = pd.read_csv(files[1])
    assert list(table) == ["index", "file_name", "given_label", "predicted_label", "label_quality"]
    assert np.array_equal(np.argsort(table["label_quality"]), np.argsort(quality))
    assert table["label_quality"].between(0, 1).all()
    assert table["predicted_label"].tolist() == probs.argmax(axis=1).tolist()


def test_the_held_out_softmax_can_be_exported(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", n=80)
    out = ["--out", tmp_path / "p.npz", "--overwrite"]
    options = ["export", "--td", run, "--format", "cleanlab", "--score", "aum", *out]
    assert tdctl(*options).exit_code == 0
    with np.load(tmp_path / "p.npz") as file:
        seen = file["pred_probs"]
    result = tdctl(*options, "--held-out")
    assert result.exit_code == 1 and "no held-out softmax; record the run with" in result.stderr
    _, given, _ = read_run(run)
    probs, margins = softmax_history(given, 5, 12, seed=7)
    write_td(run / "heldout_dynamics.npz", probs, margins, given)
    assert tdctl(*options, "--held-out").exit_code == 0
    with np.load(tmp_path / "p.npz") as file:
        held = file["pred_probs"]
    assert held == pytest.approx(probs.astype(np.float64).mean(axis=0), abs=2e-3)
    assert np.abs(held - seen).max() > 0.05
    table = pd.read_csv(tmp_path / "p.label_quality.csv")
    assert table["predicted_label"].tolist() == held.argmax(axis=1).tolist()
    result = tdctl("export", "--td", run, "--format", "order", "--score", "aum", *out, "--held-out")
    assert result.exit_code == 1 and "leave out --held-out" in result.stderr


def test_label_quality_is_a_probability_where_the_suspicion_is() -> None:
    suspicion = np.array([0.2, 0.7])
    assert label_quality_of(suspicion, True).tolist() == pytest.approx([0.8, 0.3])
    assert label_quality_of(np.array([-3.0, 1.0, 5.0]), False).tolist() == [1.0, 0.5, 0.0]
    assert label_quality_of(np.array([2.0, 2.0]), False).tolist() == [1.0, 1.0]


def test_a_data_map_is_mean_deviation_and_share_of_right_epochs(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "map.csv"
    result = tdctl("export", "--td", run, "--format", "datamap", "--out", out, "--json")
    assert json.loads(result.stdout)["files"] == [str(out)]
    table = pd.read_csv(out)
    names = ["index", "file_name", "confidence", "variability", "correctness"]
    assert list(table) == names
    dynamics, labels, _ = read_run(run)
    td = dynamics.td[:].astype(np.float64)
    assert table["index"].tolist() == labels.index.tolist()
    assert table["confidence"].to_numpy() == pytest.approx(td[:, :, 0].mean(axis=1))
    assert table["variability"].to_numpy() == pytest.approx(td[:, :, 0].std(axis=1))
    right = (td[:, :, 0] >= td[:, :, 1:].max(axis=2)).mean(axis=1)
    assert table["correctness"].to_numpy() == pytest.approx(right)
    assert score(dynamics, "confidence") == pytest.approx(-data_map(dynamics)["confidence"])


def test_file_names_go_with_the_samples(digits_run: Path, tmp_path: Path) -> None:
    files = runner.export(digits_run, "cleanlab", tmp_path / "p.npz", find_score("aum"))
    table, ranking = pd.read_csv(files[1]), runner.detect(digits_run, find_score("aum")).table
    joined = table.merge(ranking, on="index", suffixes=("", "_of_detect"))
    assert len(joined) == 120
    assert joined["predicted_label"].tolist() == joined["suggested_label"].astype(int).tolist()
    assert joined.sort_values("rank")["label_quality"].is_monotonic_increasing


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--format", "datamap", "--out", "a.csv", "--score", "aum"], "holds no ranking"),
        (["--format", "datamap", "--out", "a.npz"], "is a .csv file"),
        (["--format", "interpretdl", "--out", "a.pth"], "is a .npz file"),
        (["--format", "csv", "--out", "a.csv"], "use one of cleanlab, datamap"),
    ],
)
def test_an_export_that_makes_no_sense_is_one_line(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = tdctl("export", "--td", run, *options)
    assert result.exit_code == 1 and says in result.stderr
    assert len(result.stderr.splitlines()) == 1 and not list(tmp_path.iterdir())


def test_what_is_there_is_not_replaced_unasked(run: Path, tmp_path: Path) -> None:
    options = ["export", "--td", run, "--format", "cleanlab", "--score", "aum", "--out",
               tmp_path / "a.npz"]  # fmt: skip
    (tmp_path / "a.label_quality.csv").write_text("mine")
    refused = tdctl(*options)
    assert refused.exit_code == 1 and "exists already" in refused.stderr
    assert not (tmp_path / "a.npz").exists()
    assert tdctl(*options, "--overwrite").exit_code == 0


@pytest.mark.parametrize("kind", ["interpretdl", "cleanlab"])
def test_a_run_that_keeps_the_given_label_alone_has_no_matrix(tmp_path: Path, kind: Any) -> None:
    labels = planted_labels(30, 4)
    recorder = RunRecorder.create(tmp_path / "r", labels, 4, 2, store="given")
    logits = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    for epoch in range(2):
        recorder.record(torch.from_numpy(labels.index), logits)
        recorder.commit(epoch)
    recorder.finish()
    source = find_score("p-mean") if kind == "cleanlab" else None
    with pytest.raises(DynamicsError, match="--store full"):
        runner.export(tmp_path / "r", kind, tmp_path / "o.npz", source)
    assert not (tmp_path / "o.npz").exists()
    runner.export(tmp_path / "r", "datamap", tmp_path / "o.csv")


def test_a_file_that_was_cut_to_some_classes_has_no_matrix(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    arrays = dict(np.load(run / "training_dynamics.npz"))
    some = {"td": arrays["td"][:, :, :2], "labels": arrays["labels"][:, :2]}
    np.savez(run / "training_dynamics.npz", **some)
    dynamics = read_run(run)[0]
    assert not dynamics.has_every_class
    for name in ("entropy", "el2n", "cl-margin"):
        assert "every class" in (SCORES[name].why_not(dynamics) or "")
    with pytest.raises(DynamicsError, match="but the run has only some of them"):
        runner.export(run, "cleanlab", tmp_path / "a.npz")
    with pytest.raises(DynamicsError, match="auto:joint: needs the probability of every class"):
        runner.detect(run, find_score("p-mean"), cut="auto:joint")


def test_a_run_of_one_class_is_exported_but_has_no_data_map(tmp_path: Path) -> None:
    labels = Labels(np.arange(20), np.zeros(20, np.int64), np.zeros(20, np.int64))
    run = make_published_run(tmp_path / "r", labels, classes=1)
    runner.export(run, "interpretdl", tmp_path / "o" / "training_dynamics.npz")
    assert len(read_run(tmp_path / "o")[0]) == 20
    with pytest.raises(DynamicsError, match="single class"):
        runner.export(run, "datamap", tmp_path / "m.csv")
    assert not (tmp_path / "m.csv").exists()


def test_a_ranking_is_by_the_detector_that_ships_where_none_is_named(
    run: Path, tmp_path: Path
) -> None:
    assert (
        tdctl("export", "--td", run, "--format", "order", "--out", tmp_path / "a.npz").exit_code
        == 0
    )
    named = ("--detector", "builtin", "--out", tmp_path / "b.npz")
    assert tdctl("export", "--td", run, "--format", "order", *named).exit_code == 0
    with np.load(tmp_path / "a.npz") as one, np.load(tmp_path / "b.npz") as two:
        assert all(np.array_equal(one[name], two[name]) for name in ("order", "predictions"))
