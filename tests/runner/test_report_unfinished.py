"""A training that was stopped: its report and its summary rank the epochs that are over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import make_image_folder, refused, tdctl

from tdctl import runner
from tdctl.settings import load_config
from tdctl.training import Progress


class Stopped(KeyboardInterrupt):
    pass


def stopping(progress: Progress) -> None:
    if progress.epoch == 3:
        raise Stopped


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of five epochs that was stopped in its fourth: two or three are over."""
    folder = tmp_path_factory.mktemp("stopped")
    data = make_image_folder(folder / "images", per_class=30)
    values: dict[str, Any] = {"data.dataset": "folder", "data.data_dir": str(data), "seed": 4}
    values |= {"recipe": "paper", "net.depth": 8, "train.epochs": 5, "noise.noise_ratio": 0.2}
    with pytest.raises(Stopped):
        runner.generate_td(load_config(None, values), folder / "run", report=stopping)
    return folder / "run"


def test_the_report_ranks_the_epochs_so_far_and_says_so(tmp_path: Path, stopped: Path) -> None:
    page = tmp_path / "r.html"
    result = tdctl("report", "--td", stopped, "--out", page, "--json", "--quiet")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["samples"] == found["cards"] > 0 and found["without_picture"] == 0
    assert " of 5 epochs are over" in found["notes"][0]
    assert f"tdctl generate-td --resume --out {stopped}" in found["notes"][0]
    text = page.read_text(encoding="utf-8")
    assert "Not finished, 3 of 5 epochs are over:" in text and "Ranked by" in text
    # A score is named as ever; what a finished run is asked for stays refused.
    scored = tdctl("report", "--td", stopped, "--score", "aum", "--out", tmp_path / "s.html")
    assert scored.exit_code == 0, scored.output
    refused(tdctl("detect", "--td", stopped), "the run is not finished", "tdctl report")


def test_show_ranks_the_epochs_so_far_and_says_so(stopped: Path) -> None:
    result = tdctl("show", stopped, "--quiet")
    assert result.exit_code == 0, result.output
    assert "not finished: " in result.stdout and "3 of 5 epochs are over" in result.stdout
    assert "the 10 worst" in result.stdout and "--resume" in result.stdout
    content = json.loads(tdctl("show", stopped, "--json", "--quiet").stdout)
    assert content["status"] != "complete" and content["epochs_over"] == 3
    assert sum(content["ranking"]["histogram"]["counts"]) > 0


def test_a_review_of_the_epochs_so_far_is_applied_to_the_finished_run(
    tmp_path: Path, stopped: Path
) -> None:
    content = json.loads(tdctl("show", stopped, "--json", "--quiet", "--top", 1).stdout)
    worst = content["ranking"]["worst"][0]
    review = tmp_path / "review.csv"
    review.write_text(
        "index,file_name,given_label,decision,new_label\n"
        f"{worst['index']},{worst['file_name']},{worst['given_label']},drop,\n"
    )
    labels = tmp_path / "labels.csv"
    before = tdctl("apply-review", "--td", stopped, review, "--out", labels)
    refused(before, "not finished")
    done = tdctl("generate-td", "--resume", "--out", stopped, "--quiet")
    assert done.exit_code == 0, done.output
    after = tdctl("apply-review", "--td", stopped, review, "--out", labels)
    assert after.exit_code == 0, after.output
    assert f"\n{worst['index']}," not in labels.read_text()
