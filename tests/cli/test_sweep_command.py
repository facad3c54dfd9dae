"""tdctl sweep as a user calls it: one table, resumed, shared by processes, with its failures."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import refused, tdctl
from processes import forked, result_of

from tdctl import runner
from tdctl.dynamics import read_run
from tdctl.files import read_json, write_json
from tdctl.sweeping import read_sweep

TINY: dict[str, Any] = {
    "settings": {
        "recipe": "paper",
        "data": {"dataset": "digits", "limit": 150},
        "net": {"depth": 8},
        "train": {"epochs": 2, "amp": False, "compile": False},
        "robust": {"epochs": 2, "amp": False, "compile": False},
    },
    "noises": {"u": {"noise": {"noise_ratio": 0.3}}},
    "seeds": [0, 1],
    "rows": [
        {
            "labels": ["prune"],
            "detectors": ["loss-mean"],
            "remove_ratios": [0.1],
            "keep_per_class": 0.3,
        }
    ],
}


def write(path: Path, **changes: Any) -> Path:
    path.write_text(yaml.safe_dump({**TINY, **changes}))
    return path


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep; tests only read it."""
    root = tmp_path_factory.mktemp("swept")
    result = tdctl("sweep", write(root / "tiny.yaml"), "--out", root / "out", "--quiet")
    assert result.exit_code == 0, result.output
    return root / "out"


def rows_of(folder: Path) -> dict[tuple[str, str, str], dict[str, str]]:
    with (folder / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {(row["labels"], row["detector"], row["seed"]): row for row in rows}


def test_the_table_has_each_row_and_its_controls(swept: Path) -> None:
    rows = rows_of(swept)
    assert set(rows) == {
        (labels, detector, seed)
        for labels, detector in (
            ("all", ""),
            ("clean", ""),
            ("random", "loss-mean"),
            ("prune", "best-score"),
            ("prune", "loss-mean"),
        )
        for seed in "01"
    }
    for seed in "01":
        _, labels, _ = read_run(swept / "recordings" / f"u_seed{seed}")
        wrong = int(labels.flipped.sum())
        pruned, drawn = (rows[labels, "loss-mean", seed] for labels in ("prune", "random"))
        # The random control drops as many.
        assert int(pruned["removed"]) == int(drawn["removed"]) <= 15
        assert rows["clean", "", seed]["noise_after"] == "0.0"
        assert float(pruned["noise_before"]) == pytest.approx(wrong / len(labels))
        assert int(pruned["kept"]) + int(pruned["removed"]) == len(labels)
        assert int(pruned["removed"]) + float(pruned["spared"]) == 15
        assert float(pruned["cpu_seconds"]) > 0
    assert rows["prune", "best-score", "0"]["ranked_by"] in runner_scores()


def runner_scores() -> list[str]:
    from tdctl.scores import score_names

    return list(score_names())


def test_means_are_those_of_the_seeds(swept: Path) -> None:
    rows, content = rows_of(swept), read_json(swept / "sweep.json")
    summary = {(one["labels"], one["detector"]): one for one in content["summary"]}
    errors = [float(rows["all", "", seed]["test_error_last"]) for seed in "01"]
    found = summary["all", None]
    assert found["test_error_last"] == pytest.approx(np.mean(errors))
    assert found["sd"] == pytest.approx(np.std(errors, ddof=1))
    assert (found["low"], found["high"], found["seeds"]) == (min(errors), max(errors), 2)
    given, clean = (summary[labels, None]["test_error_last"] for labels in ("all", "clean"))
    pruned = summary["prune", "loss-mean"]
    if given > clean:
        expected = (given - pruned["test_error_last"]) / (given - clean)
        assert pruned["gap_closed"] == pytest.approx(expected)
    else:
        assert pruned["gap_closed"] is None


def test_its_figures_show_each_noise_and_kind(swept: Path) -> None:
    for name in ("by_share.svg", "by_time.svg"):
        assert (swept / name).read_text().startswith("<?xml"), name
    content = read_json(swept / "sweep.json")
    whole = {(one["labels"], one["detector"]): one for one in content["rows"]}
    assert whole["all", None]["cpu_seconds_in_all"] == whole["all", None]["cpu_seconds"]
    by_ranking = whole["prune", "loss-mean"]
    both = by_ranking["cpu_seconds"] + by_ranking["recording_cpu_seconds"]
    assert by_ranking["cpu_seconds_in_all"] == pytest.approx(both)


def test_a_finished_row_is_not_trained_again(swept: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in swept.rglob("row.json")}
    again = tdctl("sweep", swept.parent / "tiny.yaml", "--out", swept, "--json")
    assert again.exit_code == 0, again.output
    assert {path: path.stat().st_mtime_ns for path in swept.rglob("row.json")} == before
    assert len(json.loads(again.stdout)["rows"]) == 10


def test_a_dry_run_says_what_is_left(swept: Path) -> None:
    more = write(swept.parent / "more.yaml", seeds=[0, 1, 2])
    found = tdctl("sweep", more, "--out", swept, "--dry-run", "--json")
    plan = json.loads(found.stdout)
    assert (len(plan["rows"]), plan["done"], len(plan["recordings"])) == (15, 10, 3)
    assert not (swept / "recordings" / "u_seed2").exists()


def test_other_settings_are_refused_before_anything_is_trained(swept: Path) -> None:
    other = swept.parent / "tiny.yaml"
    result = tdctl("sweep", other, "--out", swept, "--set", "robust.lr=0.01", "--quiet")
    refused(result, "was trained with other settings (robust.lr: 0.1, now 0.01)")


def test_other_settings_of_the_recordings_are_refused_too(swept: Path) -> None:
    other = swept.parent / "tiny.yaml"
    result = tdctl("sweep", other, "--out", swept, "--set", "train.lr=0.01", "--quiet")
    refused(result, "recordings/u_seed0: was trained with other settings (train.lr")


def test_rows_of_another_detector_are_refused(tmp_path: Path) -> None:
    group = {"labels": ["prune"], "detectors": ["builtin"], "remove_ratios": [0.1]}
    file = write(tmp_path / "s.yaml", seeds=[0], rows=[{**group, "controls": False}])
    asked = ("sweep", file, "--out", tmp_path / "s", "--quiet")
    assert tdctl(*asked).exit_code == 0 == tdctl(*asked).exit_code
    (row,) = (tmp_path / "s").rglob("row.json")
    assert len(read_json(row)["detector_fingerprint"]) == 64
    write_json(row, read_json(row) | {"detector_fingerprint": "of another file"})
    refused(tdctl(*asked), f"{row.parent}: was ranked by another detector than builtin is now")


def test_an_interrupted_sweep_goes_on(swept: Path, tmp_path: Path) -> None:
    sweep, ended = read_sweep(write(tmp_path / "tiny.yaml", seeds=[0])), []

    def stop(progress: Any) -> None:
        # In the middle of a row: after its first epoch.
        if len(ended) == 2 and progress.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.sweep(sweep, tmp_path / "out", report=stop, told=ended.append)
    assert len(list((tmp_path / "out").rglob("row.json"))) == 2
    result = runner.sweep(sweep, tmp_path / "out")
    assert result.table.missing == 0
    whole, again = rows_of(swept), rows_of(tmp_path / "out")
    assert len(again) == 5
    for key, row in again.items():
        assert row["test_error_last"] == whole[key]["test_error_last"], key


def test_processes_share_the_rows(swept: Path, tmp_path: Path) -> None:
    file, out = write(tmp_path / "tiny.yaml", seeds=[0]), tmp_path / "out"

    def work() -> list[str]:
        done: list[str] = []
        runner.sweep(read_sweep(file), out, told=lambda one: done.append(one.row.name))
        return done

    children = [forked(work), forked(work)]
    found = [result_of(child) for child in children]
    assert all(isinstance(one, list) for one in found), found
    whole, shared = rows_of(swept), rows_of(out)
    assert len(shared) == 5
    for key, row in shared.items():
        assert row["test_error_last"] == whole[key]["test_error_last"], key
    started = [read_json(path)["started"] for path in out.rglob("rows/*/*/run/manifest.json")]
    assert len(started) == 5


def test_a_row_that_cannot_be_trained_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    file = write(
        tmp_path / "tiny.yaml",
        seeds=[0],
        rows=[
            {
                "labels": ["prune", "all"],
                "detectors": ["loss-mean"],
                "remove_ratios": ["0.99"],
                "controls": False,
            }
        ],
    )
    result = tdctl("sweep", file, "--out", tmp_path / "out", "--quiet")
    assert result.exit_code == 1
    assert (
        "all samples of class" in result.stderr
        and "run the same command to try again" in result.stderr
    )
    assert [key[0] for key in rows_of(tmp_path / "out")] == ["all"]
    # Of the same command, it is tried again.
    file.write_text(file.read_text().replace("0.99", "0.01"))
    assert tdctl("sweep", file, "--out", tmp_path / "out", "--quiet").exit_code == 0


def test_without_truth_nothing_is_made_up(tmp_path: Path) -> None:
    rows = [{"labels": ["clean", "all"], "controls": False}]
    file = write(tmp_path / "tiny.yaml", seeds=[0], rows=rows, noises={"none": {}})
    result = tdctl("sweep", file, "--out", tmp_path / "out", "--quiet")
    assert result.exit_code == 1 and "needs the truth" in result.stderr
    assert rows_of(tmp_path / "out")["all", "", "0"]["noise_after"] == ""


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    result = tdctl("sweep", write(tmp_path / "a.yaml"), "--out", tmp_path / "out", "--quiet")
    refused(result, "holds files but no sweep")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"train.epoch": 3}, "unknown setting 'train.epoch'"),
        ({"robust": {"lr": -1}}, "robust.lr"),
    ],
)
def test_a_wrong_setting_is_refused(tmp_path: Path, settings: Any, says: str) -> None:
    file = write(tmp_path / "a.yaml", settings=TINY["settings"] | settings)
    refused(tdctl("sweep", file, "--out", tmp_path / "out", "--quiet"), says)
    assert not (tmp_path / "out").exists()


def test_a_missing_detector_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    rows = [{"labels": ["prune"], "detectors": ["nowhere.pth.tar"]}]
    file = write(tmp_path / "a.yaml", rows=rows)
    refused(tdctl("sweep", file, "--out", tmp_path / "out", "--quiet"), "nowhere.pth.tar")
    assert not (tmp_path / "out").exists()


def test_controls_that_need_the_truth_are_left_out_without_it(tmp_path: Path) -> None:
    file = write(tmp_path / "tiny.yaml", seeds=[0], noises={"mine": {}})
    result = tdctl("sweep", file, "--out", tmp_path / "out", "--quiet")
    assert result.exit_code == 0, result.output
    assert "note: 2 controls are left out" in result.stderr
    kinds = {key[:2] for key in rows_of(tmp_path / "out")}
    assert kinds == {("all", ""), ("random", "loss-mean"), ("prune", "loss-mean")}
    content = read_json(tmp_path / "out" / "sweep.json")
    assert content["left_out"] == [
        "mine_seed0/ce_clean", "mine_seed0/ce_prune_best-score_0.1_keep0.3"
    ]  # fmt: skip
    assert (content["failed"], content["missing"]) == ({}, 0)
