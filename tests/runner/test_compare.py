from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import (
    hand_made_detector,
    make_published_run,
    make_run,
    planted_labels,
    refused,
    tdctl,
)
from processes import forked, killed, result_of, waits_for

from tdctl import runner
from tdctl.bootstrap import FIGURES
from tdctl.claims import claim
from tdctl.detector import Card, Detector, save_detector
from tdctl.dynamics import read_run
from tdctl.errors import DetectorError, DynamicsError, RunError
from tdctl.files import read_json
from tdctl.labels import Labels
from tdctl.metadata import write_metadata
from tdctl.rankers import ByDetector
from tdctl.scores import SCORES, find_score

FEW = [SCORES["p-mean"], SCORES["aum-softmax"], SCORES["wrong-events"]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two of different sizes, lengths and numbers of classes."""
    root = tmp_path_factory.mktemp("compare")
    runs = [make_run(root / "a"), make_run(root / "b", n=90, classes=3, epochs=7, seed=1)]
    for run in runs:
        # Some of the truth is not to be seen in the curves, so that no ranking is perfect.
        labels = read_run(run)[1]
        true = labels.true.copy()
        true[::9] = (labels.assigned[::9] + 1) % 3
        hard = Labels(labels.index, labels.assigned, true)
        write_metadata(run / "metadata.pth", hard, np.zeros(0, np.int64))
    return runs


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what was computed, in order."""
    calls: list[str] = []
    score, detect = type(FEW[0]).__call__, ByDetector.suspicion
    monkeypatch.setattr(
        type(FEW[0]), "__call__", lambda self, d: calls.append(self.name) or score(self, d)
    )
    monkeypatch.setattr(
        ByDetector,
        "suspicion",
        lambda self, *rest: calls.append(self.file.name) or detect(self, *rest),
    )
    return calls


def test_every_score_on_every_run_has_the_figures_of_detect(
    runs: list[Path], detector_file: Path
) -> None:
    result = runner.compare(runs, [*FEW, detector_file], bootstrap=20)
    assert [(row.run, row.name) for row in result.rows] == [
        (str(run), name)
        for run in runs
        for name in [*(score.name for score in FEW), str(detector_file)]
    ]
    for row in result.rows:
        source = detector_file if row.kind == "detector" else find_score(row.name)
        metrics = runner.detect(Path(row.run), source).metrics
        assert row.figures is not None and list(row.figures) == list(FIGURES)
        assert row.figures["auc"].value == pytest.approx(metrics.auc)
        assert row.figures["ap"].value == pytest.approx(metrics.ap)
        assert 0.3 < row.figures["ap"].value < 0.99
        assert metrics.at_realised_rate is not None
        assert row.figures["f1"].value == pytest.approx(metrics.at_realised_rate.f1)
        assert row.realised_rate == metrics.realised_rate
        for figure in row.figures.values():
            assert figure.low is not None and figure.high is not None
            assert figure.low <= figure.high
        assert row.seconds is not None and row.seconds >= 0
        assert row.curve is not None and len(row.curve) == 101
        assert row.curve[-1] >= row.realised_rate - 1e-4
        assert all(np.diff(row.curve) <= 0)
    aps = [row.figures["ap"].value for row in result.rows if row.name == "p-mean" and row.figures]
    mean = next(m for m in result.means if (m.name, m.figure) == ("p-mean", "ap"))
    assert mean.runs == 2 and mean.mean == pytest.approx(sum(aps) / 2)
    assert mean.half_range == pytest.approx(abs(aps[0] - aps[1]) / 2)


def test_the_folder_holds_table_and_plots_and_is_gone_on_with(
    runs: list[Path], detector_file: Path, tmp_path: Path, counted: list[str]
) -> None:
    out = tmp_path / "table"
    first = runner.compare(runs[:1], FEW[:2], out=out, bootstrap=10)
    names = {f"{stem}.{kind}" for stem in ("precision_recall", "average_precision")
             for kind in ("png", "svg")}  # fmt: skip
    assert {path.name for path in out.iterdir()} == names | {"compare.json", "compare.csv"}
    assert {path.name for path in first.files} == names | {"compare.json", "compare.csv"}
    assert counted == ["p-mean", "aum-softmax"]
    counted.clear()
    told: list[str] = []
    second = runner.compare(
        runs, [*FEW, detector_file], out=out, bootstrap=10, plots=False, told=told.append
    )
    assert counted == ["wrong-events", "hand.pth.tar", "p-mean", "aum-softmax", "wrong-events",
                       "hand.pth.tar"]  # fmt: skip
    assert len(told) == 6 and "AP 0." in told[0]
    assert second.rows[:2] == first.rows, "seconds and all, as they were measured"
    counted.clear()
    one = runner.compare(runs[1:], FEW[:1], out=out, bootstrap=10, plots=False)
    assert not counted and len(one.rows) == 1
    stored = read_json(out / "compare.json")
    assert stored["status"] == "complete" and len(stored["rows"]) == 8, "others' rows stay"
    table = pd.read_csv(out / "compare.csv")
    assert len(table) == 8 and {"ap", "ap_low", "ap_high", "seconds"} <= set(table.columns)
    again = runner.compare(runs, FEW, bootstrap=10)
    for row, kept in zip(again.rows, runner.compare(runs, FEW, out=out, bootstrap=10).rows,
                         strict=True):  # fmt: skip
        assert row.figures == kept.figures and row.curve == kept.curve


def test_an_interrupted_comparison_goes_on_where_it_stopped(
    runs: list[Path], tmp_path: Path, counted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(line: str) -> None:
        if "aum-softmax" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.compare(runs, FEW, out=tmp_path, bootstrap=5, told=stop)
    assert read_json(tmp_path / "compare.json")["status"] == "running"
    counted.clear()
    runner.compare(runs[:1], FEW, out=tmp_path, bootstrap=5)
    assert counted == ["aum-softmax", "wrong-events"]
    assert read_json(tmp_path / "compare.json")["status"] == "complete"


def test_what_has_changed_is_computed_again(
    runs: list[Path], detector_file: Path, tmp_path: Path, counted: list[str]
) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    shutil.copytree(runs[0], run)
    sources: list[runner.Source] = [FEW[0], detector_file]
    runner.compare([run], sources, out=out, bootstrap=5, plots=False)
    counted.clear()
    # Another truth, then other weights.
    labels = read_run(run)[1]
    true = labels.true.copy()
    true[0] = (true[0] + 1) % 5
    changed = Labels(labels.index, labels.assigned, true)
    write_metadata(run / "metadata.pth", changed, np.zeros(0, np.int64))
    runner.compare([run], sources, out=out, bootstrap=5, plots=False)
    assert counted == ["p-mean", "hand.pth.tar"]
    counted.clear()
    net = hand_made_detector()
    with torch.no_grad():
        net.classifier.weight *= 1.5
    save_detector(detector_file, Detector(net))
    result = runner.compare([run], sources, out=out, bootstrap=5, plots=False)
    assert counted == ["hand.pth.tar"]
    assert len(read_json(out / "compare.json")["rows"]) == 2, "the old rows are gone"
    assert result.rows[1].in_sample is None


def test_a_run_that_has_moved_keeps_its_rows_and_copies_have_their_own(
    runs: list[Path], tmp_path: Path, counted: list[str]
) -> None:
    old, new, out = tmp_path / "old", tmp_path / "new", tmp_path / "out"
    shutil.copytree(runs[0], old)
    runner.compare([old], FEW, out=out, bootstrap=5, plots=False)
    old.rename(new)
    counted.clear()
    moved = runner.compare([new], FEW, out=out, bootstrap=5, plots=False)
    assert not counted and {row.run for row in moved.rows} == {str(new)}
    assert {row["run"] for row in read_json(out / "compare.json")["rows"]} == {str(new)}
    shutil.copytree(new, old)
    runner.compare([new, old], FEW, out=out, bootstrap=5, plots=False)
    assert len(read_json(out / "compare.json")["rows"]) == 6


def test_a_detector_that_saw_the_run_is_marked_and_left_out_of_the_means(
    runs: list[Path], tmp_path: Path
) -> None:
    seen = {"run": "a", "fingerprint": read_run(runs[0])[0].fingerprint()}
    card = Card(trained_on=[seen], held_out={}, settings={}, version="0")
    file = save_detector(tmp_path / "seen.pth.tar", Detector(hand_made_detector(), card))[0]
    result = runner.compare(runs, [FEW[0], file], bootstrap=0)
    assert [row.in_sample for row in result.rows] == [False, True, False, False]
    means = {(mean.name, mean.figure): mean for mean in result.means}
    other = result.rows[3].figures
    assert other is not None and means[str(file), "ap"].mean == other["ap"].value
    assert means[str(file), "ap"].runs == 1 and means["p-mean", "ap"].runs == 2
    options = [word for run in runs for word in ("--td", run)]
    shown = tdctl("compare", *options, "--score", "p-mean", "--detector", file, "--quiet")
    assert shown.exit_code == 0, shown.output
    assert " * " in shown.stdout and "*          in-sample" in shown.stdout
    assert "means over fewer runs come last" in shown.stdout


def test_without_truth_there_are_no_figures_and_no_plots(tmp_path: Path) -> None:
    given = planted_labels(60, 4)
    labels = Labels(given.index, given.assigned, given.assigned)
    run = make_published_run(tmp_path / "r", labels, classes=4)
    result = runner.compare([run], FEW, out=tmp_path / "out")
    assert all(row.figures is None and row.curve is None for row in result.rows)
    assert all(row.seconds is not None and row.realised_rate is None for row in result.rows)
    assert not result.means and {path.name for path in result.files} == {
        "compare.json", "compare.csv",
    }  # fmt: skip
    shown = tdctl("compare", "--td", run, "--quiet")
    assert shown.exit_code == 0, shown.output
    assert "no label of this run is known to be wrong" in shown.stdout


def test_a_run_of_one_class_serves_what_needs_no_rival(tmp_path: Path) -> None:
    labels = Labels(np.arange(30), np.zeros(30, np.int64), np.zeros(30, np.int64))
    run = make_published_run(tmp_path / "r", labels, classes=1)
    content = json.loads(tdctl("compare", "--td", run, "--json", "--quiet").stdout)
    rows = {row["name"]: row for row in content["rows"]}
    assert set(rows) == {*SCORES, "builtin"}
    assert "single class" in rows["wrong-events"]["left_out"]
    assert "all given labels are the same" in rows["builtin"]["left_out"]
    assert rows["p-mean"]["left_out"] is None and rows["p-mean"]["figures"] is None
    shown = tdctl("compare", "--td", run, "--quiet")
    assert "left out   score wrong-events: " in shown.stdout


def test_a_row_is_of_all_that_its_run_recorded(tmp_path: Path) -> None:
    """Two runs whose given curves are the same, of which one has losses as well."""
    plain, more = make_run(tmp_path / "a", losses=False), make_run(tmp_path / "b")
    table = tmp_path / "table"
    options = ("--bootstrap", 0, "--no-plots", "--quiet", "--json", "--out", table)

    def left_out(*runs: Path) -> dict[str, bool]:
        named = [argument for run in runs for argument in ("--td", run)]
        content = json.loads(tdctl("compare", *named, *options, "--score", "all").stdout)
        rows = [row for row in content["rows"] if row["name"] == "loss-mean"]
        return {Path(row["run"]).name: row["left_out"] is not None for row in rows}

    assert left_out(more, plain) == {"a": True, "b": False}
    assert left_out(plain, more) == {"a": True, "b": False}
    make_run(plain)
    assert left_out(plain) == {"a": False}


def test_what_was_left_out_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, out, score = make_run(tmp_path / "a"), tmp_path / "table", find_score("cl-margin")
    with monkeypatch.context() as without:
        without.setattr(type(score), "why_not", lambda *_: "not installed")
        first = runner.compare([run], [score], out=out, bootstrap=0, plots=False)
    again = runner.compare([run], [score], out=out, bootstrap=0, plots=False)
    assert first.rows[0].left_out == "not installed" and again.rows[0].left_out is None


def test_the_detector_that_ships_is_compared_and_runs_stand_side_by_side(runs: list[Path]) -> None:
    shown = tdctl("compare", "--td", runs[0], "--td", runs[1], "--bootstrap", 0, "--quiet").stdout
    side = shown.split("AP of each run")[1].split("mean over the runs")[0]
    line = next(line for line in side.splitlines() if line.split()[:1] == ["builtin"])
    aps = [
        row.figures["ap"].value
        for row in runner.compare(runs, [Path("builtin")]).rows
        if row.figures
    ]
    assert line.split()[1:] == [f"{ap:.4f}" for ap in aps]
    alone = tdctl("compare", "--td", runs[0], "--score", "p-mean", "--quiet", "--json")
    assert [row["name"] for row in json.loads(alone.stdout)["rows"]] == ["p-mean"]


def test_a_score_that_was_asked_for_by_name_must_be_served(tmp_path: Path) -> None:
    run = make_published_run(tmp_path / "r", planted_labels(40, 4), classes=4)
    result = tdctl("compare", "--td", run, "--score", "aum", "--quiet")
    assert result.exit_code == 1 and "use aum-softmax" in result.stderr


@pytest.mark.parametrize("value", [float("nan"), 0.0])
def test_a_broken_detector_is_refused_before_anything_is_written(
    runs: list[Path], tmp_path: Path, value: float
) -> None:
    net = hand_made_detector()
    with torch.no_grad():
        net.classifier.weight.fill_(value)
    file = save_detector(tmp_path / "bad.pth.tar", Detector(net))[0]
    with pytest.raises(DetectorError, match=r"NaN|collapsed"):
        runner.compare(runs, [FEW[0], file], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--td", "A", "--td", "A"], "is named twice"),
        (["--td", "A", "--score", "none"], "at least one run"),
        (["--td", "A", "--score", "nonsense"], "unknown"),
        (["--td", "A", "--detector", "D", "--detector", "D"], "is named twice"),
        (["--td", "none"], "no such run folder"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    runs: list[Path], detector_file: Path, options: list[str], says: str
) -> None:
    names = {"A": str(runs[0]), "D": str(detector_file)}
    result = tdctl("compare", *(names.get(option, option) for option in options), "--quiet")
    assert result.exit_code == 1, result.output
    assert says in result.stderr and len(result.stderr.splitlines()) == 1


def test_a_detector_alone_can_be_compared(runs: list[Path], detector_file: Path) -> None:
    result = tdctl(
        "compare", "--td", runs[0], "--score", "none", "--detector", detector_file, "--json"
    )
    rows = json.loads(result.stdout)["rows"]
    assert [row["kind"] for row in rows] == ["detector"]
    assert f"{runs[0]}: {detector_file}, AP " in result.stderr


def test_a_place_that_cannot_be_written_is_said_to_be_before_the_work(
    runs: list[Path], tmp_path: Path, counted: list[str]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "o" / "precision_recall.png").mkdir(parents=True)
    for out in (tmp_path / "file" / "below", tmp_path / "o", tmp_path / "file"):
        with pytest.raises(RunError, match=r"is not a folder of yours|is a folder|is a file"):
            runner.compare(runs[:1], FEW, out=out, bootstrap=0)
    assert not counted


def test_a_table_is_written_by_one_process_at_a_time(runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "o"
    runner.compare(runs[:1], FEW[:1], out=out, bootstrap=0, plots=False)
    child = forked(lambda: (claim(out), (tmp_path / "mark").touch(), time.sleep(60)))
    waits_for(tmp_path / "mark")
    with pytest.raises(RunError, match="another process is writing it"):
        runner.compare(runs[:1], FEW, out=out, bootstrap=0, plots=False)
    killed(child)
    assert len(runner.compare(runs[:1], FEW, out=out, bootstrap=0, plots=False).rows) == 3
    assert result_of(forked(lambda: claim(out))) is None, "this process has given it up"


def test_a_table_that_appears_meanwhile_is_not_replaced(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, there = tmp_path / "o", tmp_path / "there"
    runner.compare(runs[:1], FEW[:1], out=there, bootstrap=0, plots=False)

    def beside(*args: Any) -> Any:
        shutil.copytree(there, out, dirs_exist_ok=True)
        return own_row(*args)

    place = sys.modules["tdctl.runner.compare"]
    own_row = vars(place)["_row"]
    monkeypatch.setattr(place, "_row", beside)
    with pytest.raises(RunError, match="another process wrote it meanwhile; call again"):
        runner.compare(runs[:1], FEW[1:], out=out, bootstrap=0, plots=False)
    assert (out / "compare.json").read_bytes() == (there / "compare.json").read_bytes()


def test_a_folder_of_another_table_is_left_alone(runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    runner.compare(runs[:1], FEW[:1], out=out, bootstrap=5, plots=False)
    before = (out / "compare.json").read_bytes()
    with pytest.raises(RunError, match=r"bootstrap 5, now 6.*--overwrite"):
        runner.compare(runs[:1], FEW[:1], out=out, bootstrap=6, plots=False)
    assert (out / "compare.json").read_bytes() == before
    runner.compare(runs[:1], FEW[:1], out=out, bootstrap=6, plots=False, overwrite=True)
    assert read_json(out / "compare.json")["bootstrap"] == 6
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(RunError, match=r"holds files but no compare\.json"):
            runner.compare(runs[:1], FEW, out=tmp_path / "other", overwrite=overwrite)
    with pytest.raises(RunError, match="is a file"):
        runner.compare(runs[:1], FEW, out=tmp_path / "other" / "thesis.txt")
    (out / "compare.json").write_text('{"command": "compare", "bootstrap": 5, "seed": 0, '
                                      '"interval": 0.95, "rows": [{"run": 1}]}')  # fmt: skip
    with pytest.raises(RunError, match="not what tdctl wrote"):
        runner.compare(runs[:1], FEW, out=out, bootstrap=5)


def test_equal_tables_give_equal_plots(runs: list[Path], tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        runner.compare(runs, FEW, out=folder, bootstrap=5)
    for name in ("precision_recall.svg", "average_precision.svg", "average_precision.png"):
        first, second = ((folder / name).read_bytes() for folder in folders)
        assert first == second and len(first) > 1000


def test_a_score_of_a_run_that_holds_nan_names_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "broken")
    dynamics = read_run(run)[0]
    margin = np.array(dynamics.margin)
    margin[3, 2] = np.nan
    arrays = dict(np.load(run / "training_dynamics.npz"))
    np.savez(run / "training_dynamics.npz", **(arrays | {"margin": margin}))
    with pytest.raises(DynamicsError, match=r"broken: dynamics: margin holds NaN .*epoch 2"):
        runner.detect(run, find_score("aum"))


def test_no_score_is_refused_where_a_run_holds_nan(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    with np.load(run / "training_dynamics.npz") as file:
        arrays: dict[str, Any] = dict(file)
    arrays["margin"][3, 2] = np.nan
    np.savez(run / "training_dynamics.npz", **arrays)
    with pytest.raises(DynamicsError, match="NaN"):
        runner.compare([run], [SCORES["aum"]])


@pytest.mark.parametrize("damage", [{"seconds": "x"}, {"curve": "x"}, {"figures": {"ap": 1}}])
def test_a_damaged_table_is_said_to_be_and_can_be_overwritten(
    runs: list[Path], tmp_path: Path, damage: dict[str, Any]
) -> None:
    table, out = tmp_path / "t" / "compare.json", tmp_path / "t"
    options = ("--td", runs[0], "--score", "p-mean", "--quiet", "--no-plots", "--out", out)
    assert tdctl("compare", *options).exit_code == 0
    content = json.loads(table.read_text())
    content["rows"][0] |= damage
    table.write_text(json.dumps(content))
    refused(tdctl("compare", *options), "its rows are not what tdctl wrote; --overwrite it")
    table.write_text(json.dumps(content)[:50])
    refused(tdctl("compare", *options), "--overwrite it")
    assert tdctl("compare", *options, "--overwrite").exit_code == 0
    refused(tdctl("compare", "--td", runs[0], "--score", "all", "--score", "nope"), "nope")
