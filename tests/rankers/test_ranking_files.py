"""The JSON beside a ranking: what other programs read."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from conftest import make_published_run, make_run, planted_labels, refused, tdctl

from tdctl import runner
from tdctl.errors import RunError
from tdctl.scores import find_score


def test_the_json_beside_the_csv_holds_the_same(tmp_path: Path) -> None:
    run, out = make_run(tmp_path / "r"), tmp_path / "ranking.csv"
    result = runner.detect(run, find_score("aum"), out=out, cut="auto:mixture")
    content = json.loads((tmp_path / "ranking.json").read_text())
    assert content["schema"] == "tdctl.ranking" and content["schema_version"] == 1
    assert content["run"] == str(run) and content["score"] == "aum"
    assert content["estimates"]["mixture"]["rate"] == result.estimates["mixture"].rate
    assert content["cut"]["flagged"] == int(result.table["flagged"].sum())
    there = pd.DataFrame(content["samples"])
    text = {"given_label": str, "suggested_label": str, "true_label": str}
    wanted = pd.read_csv(out, dtype=text, keep_default_na=False)
    pd.testing.assert_frame_equal(there, wanted, check_exact=True)


def test_what_is_unknown_is_null(tmp_path: Path) -> None:
    labels = planted_labels(60, 5)
    run = make_published_run(tmp_path / "r", labels)
    table = runner.detect(run, find_score("p-mean"), out=tmp_path / "o.csv").table
    content = json.loads((tmp_path / "o.json").read_text())
    assert content["cut"] is None and content["samples"]["index"] == table["index"].tolist()


def test_a_file_of_the_users_beside_it_is_not_replaced(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    (tmp_path / "o.json").write_text("mine")
    with pytest.raises(RunError, match=r"o\.json: exists already"):
        runner.detect(run, find_score("aum"), out=tmp_path / "o.csv")
    assert (tmp_path / "o.json").read_text() == "mine" and not (tmp_path / "o.csv").exists()
    refused(tdctl("detect", "--td", run, "--out", tmp_path / "o.csv", "--quiet"), "o.json")
    runner.detect(run, find_score("aum"), out=tmp_path / "o.csv", overwrite=True)
    assert json.loads((tmp_path / "o.json").read_text())["schema_version"] == 1
