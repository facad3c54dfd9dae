from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import make_published_run, make_run, planted_labels, refused, tdctl

from tdctl import runner
from tdctl.cuts import METHODS, Thresholds, draw_threshold_samples
from tdctl.dynamics import read_run, write_td
from tdctl.errors import ConfigError, DynamicsError
from tdctl.files import read_json
from tdctl.labels import Labels
from tdctl.metadata import write_metadata
from tdctl.ranking import num_removed
from tdctl.recorder import RunRecorder
from tdctl.scores import find_score
from tdctl.settings import load_config


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_run(tmp_path_factory.mktemp("cut") / "r", n=400)
    labels = read_run(folder)[1]
    # AUMs that say of each label what is so, beside threshold samples between the two kinds.
    aum = np.where(labels.flipped, -2.0, 2.0) + np.zeros((2, 1))
    threshold = draw_threshold_samples(400, 5, 0)
    Thresholds(labels.index, threshold, np.where(threshold, 0, aum).astype(np.float32)).write(
        folder
    )
    return folder


# The run of this module has no held-out curves; see tests/cuts/test_heldout.py.
@pytest.mark.parametrize("method", [method for method in METHODS if method != "heldout"])
def test_detect_flags_as_many_as_an_estimate_says(
    run: Path, tmp_path: Path, detector_file: Path, method: str
) -> None:
    out = tmp_path / "flagged.csv"
    result = tdctl(
        "detect", "--td", run, "--detector", detector_file, "--cut", f"auto:{method}", "--out", out,
        "--keep-per-class", 0, "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    found, cut = content["estimates"][method], content["cut"]
    flipped = read_run(run)[1].flipped
    assert found["error"] == pytest.approx(found["rate"] - flipped.mean())
    table = pd.read_csv(out)
    count = num_removed(400, found["rate"])
    assert table["flagged"].tolist() == [True] * count + [False] * (400 - count)
    assert cut["flagged"] == count and cut["spared"] == 0 and cut["method"] == method
    precision = table["label_flipped"][:count].mean() if count else None
    assert cut["cut"]["precision"] == precision


def test_the_estimate_is_shown_with_its_error(run: Path) -> None:
    shown = tdctl("detect", "--td", run, "--score", "aum", "--cut", "auto", "--top", 0).stdout
    assert (
        " wrong labels, between " in shown
        and " by combined, " in shown
        and "than the realised 2" in shown
    )
    assert "cut        precision " in shown


def test_where_no_curve_differs_from_the_others_nothing_is_flagged(tmp_path: Path) -> None:
    given = planted_labels(60, 4)
    right = Labels(given.index, given.assigned, given.assigned)
    folder = make_published_run(tmp_path / "r", right, classes=4)
    found = runner.detect(folder, find_score("p-mean"), cut="auto").flagged
    assert found is not None and found.ratio == 0 and not found.rows.any()


def test_a_cut_without_truth_has_no_error_and_no_precision(tmp_path: Path) -> None:
    given = planted_labels(60, 4)
    folder = make_run(tmp_path / "r", n=60, classes=4)
    unknown = Labels(given.index, given.assigned, given.assigned)
    write_metadata(folder / "metadata.pth", unknown, np.zeros(0, np.int64))
    content = json.loads(
        tdctl("detect", "--td", folder, "--score", "p-mean", "--cut", "auto", "--json").stdout
    )
    assert content["cut"]["cut"] is None and content["cut"]["flagged"] > 0
    assert content["estimates"]["combined"]["error"] is None
    shown = tdctl("detect", "--td", folder, "--score", "p-mean", "--cut", "auto").stdout
    assert "the truth is unknown" in shown


def test_a_share_flags_exactly_as_many_and_a_floor_fewer(run: Path) -> None:
    aum = find_score("aum")
    whole = runner.detect(run, aum, cut=0.6).flagged
    assert whole is not None and whole.rows.sum() == 240 and whole.method is None
    floored = runner.detect(run, aum, cut=0.6, keep_per_class=0.7).flagged
    assert floored is not None and not (floored.rows & ~whole.rows).any()
    assert floored.rows.sum() + floored.spared == 240
    given = read_run(run)[1].assigned
    for label in np.unique(given):
        assert floored.rows[given == label].mean() <= 0.3
    shown = tdctl("detect", "--td", run, "--score", "aum", "--cut", 0.6, "--keep-per-class", 0.7)
    assert f"; {floored.spared} more are kept by --keep-per-class 0.7" in shown.stdout


def test_an_estimated_cut_leaves_half_of_each_class_by_default(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "combined", lambda *_: 0.9)
    found = runner.detect(run, find_score("aum"), cut="auto").flagged
    given = read_run(run)[1].assigned
    assert found is not None and found.keep_per_class == 0.5
    for label in np.unique(given):
        left = (~found.rows)[given == label].sum()
        assert left == np.ceil((given == label).sum() / 2)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--score", "aum", "--cut", "auto:sum"], "give --detector"),
        (["--score", "aum", "--cut", "some"], "auto:mixture"),
        (["--score", "aum", "--cut", "1.0"], "outside [0, 1)"),
        (["--score", "aum", "--cut", "0.2", "--keep-per-class", "1.5"], "whole number"),
        (["--score", "all", "--cut", "auto"], "--cut takes one ranking"),
    ],
)
def test_a_cut_that_is_none_is_refused(run: Path, options: list[str], says: str) -> None:
    refused(tdctl("detect", "--td", run, *options), says)


def test_a_rule_flags_its_very_samples_where_its_own_score_ranks(run: Path, tmp_path: Path) -> None:
    found = Thresholds.read(run, read_run(run)[1].index)
    assert found is not None
    expected = found.flagged()
    own = runner.detect(run, find_score("aum"), cut="auto:threshold", keep_per_class=0).flagged
    assert own is not None and np.array_equal(own.rows, expected) and 0 < expected.sum() < 400
    others = runner.detect(run, find_score("entropy"), cut="auto:threshold", keep_per_class=0)
    assert others.flagged is not None
    assert others.flagged.rows.sum() == expected.sum()
    assert not np.array_equal(others.flagged.rows, expected)


def test_interpretdls_rule_says_how_little_it_can_flag(tmp_path: Path) -> None:
    """One of a hundred is learned last, one never, a third of the labels is wrong."""
    labels = planted_labels(100, 2, ratio=0.34)
    probs = np.zeros((20, 100, 2), np.float16)
    rows = np.arange(100)
    probs[:, rows, labels.assigned] = 1
    late, never = 7, 8
    for row, epochs in ((late, 19), (never, 20)):
        probs[:epochs, row] = probs[:epochs, row, ::-1]
    folder = tmp_path / "r"
    folder.mkdir()
    margin = np.zeros((20, 100), np.float32)
    write_td(folder / "training_dynamics.npz", probs, margin, labels)
    write_metadata(folder / "metadata.pth", labels, np.zeros(0, np.int64))
    options = ("--score", "mean-correct-epoch", "--cut", "auto:late", "--keep-per-class", 0)
    result = tdctl("detect", "--td", folder, *options, "--json")
    content = json.loads(result.stdout)
    assert content["estimates"]["late"]["rate"] == 0.01 and content["cut"]["flagged"] == 1
    own = runner.detect(folder, find_score("mean-correct-epoch"), cut="auto:late").flagged
    assert own is not None and np.flatnonzero(own.rows).tolist() == [late]
    assert "late can flag 3.85% at the most" in tdctl("detect", "--td", folder, *options).stdout


def test_an_estimate_of_nothing_right_is_told_as_such(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "joint", lambda *_: 1.0)
    result = tdctl("detect", "--td", run, "--score", "aum", "--cut", "auto:joint")
    refused(result, "auto:joint: estimates that all labels are wrong", "name a share")


def test_a_floor_without_a_cut_and_a_run_named_twice_are_refused(run: Path) -> None:
    floor = tdctl("detect", "--td", run, "--score", "aum", "--keep-per-class", 0.9)
    assert floor.exit_code == 2 and "goes with --cut" in floor.stderr
    refused(tdctl("detect", "--td", run, "--td", f"{run}/", "--score", "aum"), "is named twice")


def test_the_joint_needs_every_class(tmp_path: Path) -> None:
    labels = planted_labels(40, 4)
    recorder = RunRecorder.create(tmp_path / "r", labels, 4, 2, store="given")
    logits = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    for epoch in range(2):
        recorder.record(torch.from_numpy(labels.index), logits)
        recorder.commit(epoch)
    recorder.finish()
    with pytest.raises(DynamicsError, match="use auto"):
        runner.detect(tmp_path / "r", find_score("p-mean"), cut="auto:joint")
    assert runner.detect(tmp_path / "r", find_score("p-mean"), cut="auto").flagged is not None


def test_denoise_drops_what_an_estimate_says(digits_run: Path, tmp_path: Path) -> None:
    config = load_config(None, {}, runner.settings_of_run(digits_run))
    aum = find_score("aum")
    result = runner.denoise(
        config, digits_run, aum, ["auto", 0.1], baselines=True, out=tmp_path, keep_per_class=2
    )
    rows: dict[Any, Any] = {(row.kind, row.method): row for row in result.rows}
    pruned, drawn = rows["pruned", "combined"], rows["random", "combined"]
    estimate = result.detection.estimates["combined"]
    assert pruned.remove_ratio == estimate.rate and estimate.error is not None
    assert pruned.removed + pruned.spared == num_removed(120, estimate.rate)
    assert drawn.removed == pruned.removed
    assert Path(pruned.folder).name == "percremoveauto_combined_keep2"
    # Another ranking may drop another number: its random removal is another folder.
    assert Path(drawn.folder).name == f"percremoveauto_combined_keep2_{pruned.removed}"
    assert result.file is not None
    stored = read_json(result.file)
    assert stored["estimates"]["combined"]["rate"] == estimate.rate
    again = runner.denoise(
        config, digits_run, aum, ["auto:combined"], out=tmp_path, keep_per_class=2, resume=True
    )
    assert again.rows == [pruned] and len(read_json(result.file)["rows"]) == len(stored["rows"])


def test_denoise_shows_the_estimate_before_it_trains(digits_run: Path, tmp_path: Path) -> None:
    shown = tdctl(
        "denoise", "--td", digits_run, "--score", "aum", "--remove-ratio", "auto", "--dry-run",
        "--out", tmp_path,
    )  # fmt: skip
    assert shown.exit_code == 0, shown.output
    assert "by combined, " in shown.stdout and "(auto:combined)" in shown.stdout


def test_denoise_refuses_a_ratio_that_is_none(digits_run: Path, tmp_path: Path) -> None:
    config = load_config(None, {}, runner.settings_of_run(digits_run))
    with pytest.raises(ConfigError, match="auto:mixture"):
        runner.denoise(config, digits_run, find_score("aum"), ["half"], out=tmp_path / "o")
    assert not (tmp_path / "o").exists()
