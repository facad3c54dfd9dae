from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import make_published_run, make_run, planted_labels, refused, tdctl
from sklearn.metrics import average_precision_score, roc_auc_score

from tdctl import runner
from tdctl.dynamics import read_run, write_td
from tdctl.errors import DynamicsError
from tdctl.files import read_json
from tdctl.labels import Labels
from tdctl.metadata import write_metadata
from tdctl.scores import SCORES, find_score, score
from tdctl.settings import load_config


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("scores") / "r", n=100)


def test_a_single_score_writes_its_ranking(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "ranking.csv"
    result = tdctl("detect", "--td", run, "--score", "aum", "--out", out, "--top", 3)
    assert result.exit_code == 0, result.output
    assert "by the score aum, which is a formula" in result.stdout
    assert "AUC " in result.stdout and "at 0.5" not in result.stdout
    dynamics, labels, _ = read_run(run)
    table = pd.read_csv(out).set_index("index").loc[labels.index]
    assert np.allclose(table["suspicion"], score(dynamics, "aum"))
    assert table["suspicion"].is_monotonic_decreasing == table["rank"].is_monotonic_increasing
    refused(tdctl("detect", "--td", run, "--score", "aum", "--out", out), "--overwrite")


def test_json_of_a_single_score(run: Path) -> None:
    result = tdctl("detect", "--td", run, "--score", "confidence", "--json", "--top", 2)
    content = json.loads(result.stdout)
    assert content["score"] == "p-mean" and content["detector"] is None
    assert content["in_sample"] is False and len(content["worst"]) == 2
    assert content["metrics"]["at_half"] is None and content["metrics"]["ap"] > 0.9


def test_several_scores_are_a_table_by_falling_ap(run: Path) -> None:
    names = ["p-last", "variability", "forgetting", "p-last"]
    options = [word for name in names for word in ("--score", name)]
    result = tdctl("detect", "--td", run, *options)
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    shown = [line[0] for line in lines if line and line[0] in SCORES]
    assert sorted(shown) == ["forgetting", "p-last", "variability"] and shown[2] == "variability"
    content = json.loads(tdctl("detect", "--td", run, *options, "--json").stdout)
    assert content["samples"] == 100 and content["truth_known"] is True
    dynamics, labels, _ = read_run(run)
    for row in content["rows"]:
        values = score(dynamics, row["score"])
        assert row["metrics"]["auc"] == pytest.approx(roc_auc_score(labels.flipped, values))
        expected = average_precision_score(labels.flipped, values)
        assert row["metrics"]["ap"] == pytest.approx(expected)


def test_all_leaves_out_what_the_run_cannot_serve(tmp_path: Path) -> None:
    run = make_published_run(tmp_path / "r", planted_labels(60, 5))
    result = tdctl("detect", "--td", run, "--score", "all", "--json")
    assert result.exit_code == 0, result.output
    rows = {row["score"]: row for row in json.loads(result.stdout)["rows"]}
    assert set(rows) == set(SCORES)
    left_out = {name for name, row in rows.items() if row["metrics"] is None}
    assert left_out >= {"aum", "loss-mean", "loss-last"} and "p-mean" not in left_out
    assert "holds no margin" in rows["aum"]["left_out"]
    shown = tdctl("detect", "--td", run, "--score", "all").stdout
    assert "left out   score aum: " in shown
    refused(tdctl("detect", "--td", run, "--score", "aum"), str(run), "use aum-softmax")
    both = ("--score", "aum", "--score", "p-mean")
    refused(tdctl("detect", "--td", run, *both), str(run), "use aum-softmax")


def test_unknown_truth_still_ranks(tmp_path: Path) -> None:
    given = planted_labels(40, 4, ratio=0.0)
    run = make_published_run(tmp_path / "r", Labels(given.index, given.true, given.true))
    content = json.loads(tdctl("detect", "--td", run, "--score", "p-mean", "--json").stdout)
    assert set(content["metrics"].values()) == {None} and len(content["worst"]) == 10
    result = tdctl("detect", "--td", run, "--score", "all")
    assert "no label of this run is known to be wrong" in result.stdout


@pytest.mark.parametrize("command", [["detect"], ["denoise", "--remove-ratio", "0.2"]])
def test_not_both_detector_and_score(run: Path, command: list[str]) -> None:
    result = tdctl(*command, "--td", run, "--detector", "d.pth.tar", "--score", "aum")
    assert result.exit_code == 2 and "either --detector FILE or --score" in result.stderr
    refused(tdctl(*command, "--td", run, "--score", "nonsense"), "'nonsense' is unknown; use one")


def test_one_file_holds_one_ranking(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "ranking.csv"
    refused(tdctl("detect", "--td", run, "--score", "all", "--out", out), "one ranking")
    assert not out.exists()


def test_a_score_that_is_constant_ranks_nothing(tmp_path: Path) -> None:
    labels = planted_labels(30, 3)
    probs = np.zeros((4, 30, 3), np.float16)
    probs[:, np.arange(30), labels.assigned] = 1
    (tmp_path / "r").mkdir()
    write_td(tmp_path / "r" / "training_dynamics.npz", probs, np.ones((4, 30), np.float32), labels)
    write_metadata(tmp_path / "r" / "metadata.pth", labels, np.zeros(0, np.int64))
    with pytest.raises(DynamicsError, match="never-learned is 0 for every sample"):
        runner.detect(tmp_path / "r", find_score("never-learned"))
    table = runner.judge_scores(tmp_path / "r", [SCORES["never-learned"], SCORES["p-mean"]])
    assert [row.metrics.auc for row in table.rows if row.metrics is not None] == [0.5, 0.5]


def test_denoise_by_a_score(digits_run: Path, tmp_path: Path) -> None:
    config = load_config(None, {}, runner.settings_of_run(digits_run))
    result = runner.denoise(config, digits_run, find_score("aum"), [0.2], out=tmp_path)
    worst = runner.detect(digits_run, find_score("aum")).table["index"][:24]
    dropped = set(result.detection.table["index"][:24])
    assert dropped == set(worst) and result.rows[0].removed == 24
    assert result.rows[0].folder == str(tmp_path / "score_aum" / "percremove0.2")
    assert result.file == tmp_path / "score_aum" / "denoise.json"
    stored = read_json(result.file)
    assert stored["score"] == "aum" and stored["detector"] is None
    assert stored["detector_in_sample"] is False and set(stored["fingerprints"]) == {"run"}
    plan: Any = tdctl(
        "denoise", "--td", digits_run, "--score", "loss-mean", "--remove-ratio", 0.1,
        "--dry-run", "--json", "--out", tmp_path,
    )  # fmt: skip
    content = json.loads(plan.stdout)
    assert content["score"] == "loss-mean" and "score_loss-mean" in content["rows"][0]["folder"]


def test_denoise_takes_one_score(run: Path) -> None:
    result = tdctl("denoise", "--td", run, "--score", "all", "--remove-ratio", 0.2)
    refused(result, "'all' is unknown")


def test_the_scores_are_listed() -> None:
    result = tdctl("scores")
    assert result.exit_code == 0 and all(name in result.stdout for name in SCORES)
    rows = json.loads(tdctl("scores", "--json").stdout)
    assert [row["name"] for row in rows] == list(SCORES)
    assert "Example: tdctl scores" in tdctl("scores", "--help").stdout
