"""A run in the terminal: what is in it, what looks wrong, what to type next."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from conftest import make_published_run, make_run, planted_labels, refused, tdctl

from tdctl import runner
from tdctl.files import read_json, write_json
from tdctl.scores import find_score

SCORE = ("--score", "aum", "--quiet")


def test_a_finished_run_is_shown_with_its_worst_and_what_is_next(digits_run: Path) -> None:
    result = tdctl("show", digits_run, *SCORE, "--top", 3)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    said = {line[:10].strip(): line[11:] for line in lines if line[:1].strip()}
    assert said["data"] == "digits: 120 train, 30 held out, 599 test, 10 classes"
    assert said["noise"].startswith("uniform 0.2 asked")
    assert "recipe paper, 2 epochs, seed 0" in said["training"]
    table = runner.detect(digits_run, find_score("aum")).table
    assert sum(f"  {index}  " in result.stdout for index in table["index"][:3]) == 3
    assert said["next"].startswith(f"tdctl report --td {digits_run} --out report.html")
    counts = [int(line.split()[1]) for line in lines if line.endswith(("#", "█"))]
    assert sum(counts) == 120 or 0 in json_counts(digits_run)


def json_counts(run: Path) -> list[int]:
    content = json.loads(tdctl("show", run, *SCORE, "--json").stdout)
    counts: list[int] = content["ranking"]["histogram"]["counts"]
    return counts


def test_as_json_it_holds_the_same(digits_run: Path) -> None:
    content = json.loads(tdctl("show", digits_run, *SCORE, "--json", "--top", 2).stdout)
    assert content["status"] == "complete" and content["epochs_over"] == 2
    assert sum(content["ranking"]["histogram"]["counts"]) == 120
    assert len(content["ranking"]["histogram"]["edges"]) == 17
    assert [row["rank"] for row in content["ranking"]["worst"]] == [1, 2]
    assert content["manifest"]["net"] and len(content["next"]) == 3


def test_an_unfinished_run_is_told_as_such(tmp_path: Path, digits_run: Path) -> None:
    run = tmp_path / "a run"
    run.mkdir()
    shutil.copy(digits_run / "train_log.csv", run)
    manifest = read_json(digits_run / "manifest.json") | {
        "status": "interrupted",
        "reason": "stopped by the user",
    }
    write_json(run / "manifest.json", manifest)
    result = tdctl("show", run)
    assert result.exit_code == 0, result.output
    assert "not finished: interrupted (stopped by the user); 2 epochs are over" in result.stdout
    assert f"next       tdctl generate-td --resume --out '{run}'" in result.stdout
    content = json.loads(tdctl("show", run, "--json").stdout)
    assert content["ranking"] is None and content["status"] == "interrupted"
    write_json(run / "manifest.json", {"command": "Recorder", "status": "running"})
    assert "go on with it in your own training loop" in tdctl("show", run).stdout


def test_runs_of_other_code_are_shown_too(tmp_path: Path) -> None:
    made = tdctl("show", make_run(tmp_path / "made"), *SCORE)
    assert made.exit_code == 0 and "recorded by other code" in made.stdout
    published = make_published_run(tmp_path / "p", planted_labels(60, 5))
    result = tdctl("show", published, "--score", "p-mean", "--quiet")
    assert result.exit_code == 0 and "the 10 worst" in result.stdout, result.output


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    refused(tdctl("show", tmp_path / "no"), "no such run folder")
    (tmp_path / "empty").mkdir()
    refused(tdctl("show", tmp_path / "empty"), "metadata.pth")
    write_json(tmp_path / "empty" / "manifest.json", {"command": "denoise", "status": "complete"})
    refused(tdctl("show", tmp_path / "empty"), "is a retraining of tdctl denoise")
