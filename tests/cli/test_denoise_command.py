"""denoise on the command line: the actions, their options, and what is printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import make_image_folder, make_run, refused, tdctl

SHORT = ["--epochs", 1, "--quiet"]


def denoise(run: Path, *arguments: object) -> Any:
    return tdctl("denoise", "--td", run, "--score", "aum", *arguments)


def test_relabelling_has_its_controls_and_prints_both_noise_rates(
    digits_run: Path, tmp_path: Path
) -> None:
    asked = ["--remove-ratio", 0.2, "--action", "relabel", "--confidence-floor", 0.1]
    out = ["--out", tmp_path / "o", *SHORT]
    result = denoise(digits_run, *asked, "--baselines", "--json", *out)
    assert result.exit_code == 0, result.output
    rows = {row["kind"]: row for row in json.loads(result.stdout)["rows"]}
    assert list(rows) == ["all", "relabelled", "random", "clean", "true"]
    assert rows["true"]["noise_after"] == 0 == rows["clean"]["noise_after"]
    assert rows["true"]["kept"] == 120 and rows["random"]["removed"] == 24
    found = rows["relabelled"]
    assert found["action"] == "relabel" and found["relabelled"] > 0 and found["classes"]
    assert found["folder"].endswith("percremove0.2_relabel-mean-softmax_floor0.1_drop")
    table = pd.read_csv(tmp_path / "o" / "score_aum" / "denoise.csv")
    columns = {"action", "removed", "relabelled", "noise_before", "noise_after"}
    assert columns <= set(table.columns) and len(table) == 5
    shown = denoise(digits_run, *asked, "--resume", *out)
    words = " ".join(shown.stdout.split())
    assert "the worst 0.2 relabelled" in words and "of the given labels are wrong" in words
    assert "lost most" in words and f"{found['noise_after']:.2%}" in words


def test_without_test_images_a_note_comes_first(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path / "d", per_class=8, test=False)
    small = ["--epochs", 1, "--depth", 8, "--net-type", "resnet", "--quiet"]
    data = ["--dataset", "folder", "--data-dir", root, "--test-share", 0, "--image-size", 12]
    made = tdctl("generate-td", *data, *small, "--out", tmp_path / "run")
    assert made.exit_code == 0, made.output
    assert "test error none, without test images" in made.stdout
    result = denoise(tmp_path / "run", "--remove-ratio", 0.1, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "has no test images, so the table will have no test error" in result.stderr


def test_weights_reach_the_loss(digits_run: Path, tmp_path: Path) -> None:
    out = ["--out", tmp_path / "o", "--json", *SHORT]
    weighed = denoise(digits_run, "--action", "reweight", "--remove-ratio", 0.3, *out)
    plain = denoise(digits_run, "--remove-ratio", 0, "--resume", *out)
    (heavy,), (even,) = (json.loads(one.stdout)["rows"] for one in (weighed, plain))
    assert heavy["kind"] == "reweighted" and heavy["kept"] == even["kept"] == 120
    assert heavy["noise_after"] < heavy["noise_before"] == even["noise_after"]
    logs = [pd.read_csv(Path(row["folder"]) / "train_log.csv") for row in (heavy, even)]
    assert logs[0]["train_loss"].iloc[0] != logs[1]["train_loss"].iloc[0]


def test_a_detector_needs_no_share_to_weigh(
    digits_run: Path, tmp_path: Path, detector_file: Path
) -> None:
    asked = ["denoise", "--td", digits_run, "--action", "reweight", "--out", tmp_path / "o"]
    result = tdctl(*asked, "--detector", detector_file, "--json", *SHORT)
    (row,) = json.loads(result.stdout)["rows"]
    assert row["remove_ratio"] is None and Path(row["folder"]).name == "reweight"
    refused(tdctl(*asked, "--score", "aum", *SHORT), "not P(mislabeled)", "--remove-ratio auto")


def test_a_class_that_loses_all_is_named(digits_run: Path, tmp_path: Path) -> None:
    result = denoise(digits_run, "--remove-ratio", 0.95, "--out", tmp_path / "o", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "note: pruned 0.95: no label of the classes '" in result.stderr
    assert "--keep-per-class 0.5 keeps half of each class" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--remove-ratio", 0.2, "--action", "burn"], "'burn' is unknown; use one of prune, rela"),
        (["--remove-ratio", 0.2, "--confidence-floor", 0.5], "--confidence-floor: only --action"),
        (["--remove-ratio", 0.2, "--below", "keep"], "--below: only --action relabel uses it"),
        (
            ["--action", "reweight", "--remove-ratio", 0.2, "--keep-per-class", 0.5],
            "keep_per_class: reweight drops nothing",
        ),
        (["--action", "reweight", "--remove-ratio", 0], "the share of wrong labels is 0"),
        (["--remove-ratio", 0.2, "--rounds", 0], "rounds: 0 is less than one"),
        (["--remove-ratio", 1.2], "outside [0, 1)"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    digits_run: Path, tmp_path: Path, arguments: list[object], says: str
) -> None:
    refused(denoise(digits_run, *arguments, "--out", tmp_path / "o", *SHORT), says)
    assert not (tmp_path / "o").exists()


def test_true_labels_are_refused_where_none_is_known_to_differ(tmp_path: Path) -> None:
    asked = ["--remove-ratio", 0.2, "--action", "relabel", "--relabel-by", "truth"]
    run = tmp_path / "r"
    made = tdctl("generate-td", "--dataset", "digits", "--limit", 60, "--epochs", 1, "--depth", 8,
                 "--recipe", "paper", "--quiet", "--out", run)  # fmt: skip
    assert made.exit_code == 0, made.output
    refused(denoise(run, *asked, *SHORT), "truth needs true labels")


def test_a_ratio_is_missing_where_one_is_needed(digits_run: Path) -> None:
    result = denoise(digits_run, *SHORT)
    assert result.exit_code == 2 and "Missing option '--remove-ratio'" in result.output


def test_labels_of_a_network_are_not_cleans(tmp_path: Path) -> None:
    asked = ["clean", "--td", make_run(tmp_path / "r"), "--score", "aum", "--remove-ratio", 0.2]
    asked += ["--out", tmp_path / "t.csv"]
    by = ["--action", "relabel", "--relabel-by", "retrained"]
    refused(tdctl(*asked, *by), "clean trains none; use mean-softmax or truth")
    refused(tdctl(*asked, "--action", "drop", "--below", "keep"), "--below: only --action relabel")
    result = tdctl(*asked, "--action", "relabel", "--quiet")
    assert result.exit_code == 0, result.output
    assert "lost most" in result.stdout and "wrong" in result.stdout
    shown = tdctl(*asked, "--action", "relabel", "--json", "--overwrite")
    report = json.loads(shown.stdout)
    assert report["noise_after"] < report["noise_before"]
    assert report["confidence_floor"] == 0.4 and report["below"] == "drop"
    assert {"class", "given", "lost"} <= set(report["classes"][0])
