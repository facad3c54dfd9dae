"""What ships ranks as it did: nobody moves a channel, a margin or the resampling unnoticed."""

from __future__ import annotations

import json
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import hand_made_detector, make_run, random_detector, refused, tdctl

from tdctl.detector import Card, Detector, features, load_detector, save_detector
from tdctl.detector.channels import Slab
from tdctl.dynamics import read_run
from tdctl.files import load_tensors, save_tensors

GOLDEN = Path(__file__).parents[1] / "golden"


def without_margin(run: Path, folder: Path) -> Path:
    """The run as the published code would have written it: no margin, no loss, no index."""
    folder.mkdir()
    shutil.copy(run / "metadata.pth", folder)
    with np.load(run / "training_dynamics.npz") as whole:
        np.savez(folder / "training_dynamics.npz", td=whole["td"], labels=whole["labels"])
    return folder


@pytest.mark.parametrize(
    ("run", "detector", "golden"),
    [
        ("short", "builtin", "builtin.csv"),
        ("short", "builtin:paper", "builtin_paper.csv"),
        ("short", "builtin", "builtin_without_margin.csv"),
        ("long", "builtin", "builtin.csv"),
        ("long", "builtin:paper", "builtin_paper.csv"),
    ],
)
def test_what_ships_ranks_a_small_run_as_before(
    tmp_path: Path, run: str, detector: str, golden: str
) -> None:
    folder, out = GOLDEN / run, tmp_path / "ranking.csv"
    if "without_margin" in golden:
        folder = without_margin(folder, tmp_path / "bare")
    result = tdctl("detect", "--td", folder, "--detector", detector, "--out", out)
    assert result.exit_code == 0, result.output
    found, before = pd.read_csv(out), pd.read_csv(GOLDEN / run / golden)
    assert list(found.columns) == list(before.columns) and len(found) == 60
    found, before = (table.set_index("index").sort_index() for table in (found, before))
    assert (found.index == before.index).all()
    assert found["suspicion"].to_numpy() == pytest.approx(before["suspicion"].to_numpy(), abs=1e-5)
    assert (found["suggested_label"] == before["suggested_label"]).all()
    # Samples nearer to each other than the tolerance may change places, and no others.
    ranked = before.loc[found.sort_values("rank").index, "suspicion"]
    assert (np.diff(ranked) <= 2e-5).all()


def test_a_probability_of_zero_counts_as_the_smallest_that_a_file_keeps(tmp_path: Path) -> None:
    """No probability of the small runs is 0, so their rankings do not show it."""
    folder = without_margin(GOLDEN / "short", tmp_path / "r")
    with np.load(folder / "training_dynamics.npz") as file:
        td, labels = file["td"], file["labels"]
    td[0, 0, 1] += td[0, 0, 0]  # a row keeps its sum of 1
    td[0, 0, 0] = 0
    np.savez(folder / "training_dynamics.npz", td=td, labels=labels)
    slab = Slab(read_run(folder)[0], 0, 1)
    smallest = -24 * np.log(2)
    other = np.log(float(td[0, 0, 1:].max()))
    assert slab.margin[0, 0] == pytest.approx(smallest - other)
    assert slab.loss[0, 0] == pytest.approx(-smallest)


def test_what_ships_says_for_which_features_it_was_trained() -> None:
    shipped = json.loads(tdctl("detectors", "--json").stdout)
    assert len(shipped) >= 2
    assert {one["card"]["features"] for one in shipped} == {features.FEATURES}


def card_of(path: Path) -> dict[str, Any]:
    return json.loads(path.with_suffix(".json").read_text())


def give_card(path: Path, **changes: Any) -> None:
    card = {key: value for key, value in (card_of(path) | changes).items() if value != "none"}
    path.with_suffix(".json").write_text(json.dumps(card))


def test_a_saved_detector_carries_the_version(tmp_path: Path) -> None:
    file = random_detector(tmp_path / "many", "most")
    assert card_of(file)["features"] == 1
    tar = save_detector(tmp_path / "papers", Detector(hand_made_detector(), Card([], {}, {}, "")))
    assert json.loads(load_tensors(tar[0])["card"])["features"] == 1
    assert json.loads(tar[2].read_text())["features"] == 1


@pytest.mark.parametrize(
    ("version", "says"), [(2, "install a newer tdctl, or use --detector builtin"), (99, "newer")]
)
def test_a_detector_of_another_version_is_refused(tmp_path: Path, version: int, says: str) -> None:
    run, file = make_run(tmp_path / "r"), random_detector(tmp_path / "d", "most")
    give_card(file, features=version)
    told = (f"{file}: was trained on version {version} of the input features", "version 1", says)
    refused(tdctl("detect", "--td", run, "--detector", file), *told)
    # So it is where it also has channels that are not known here.
    give_card(file, reader=card_of(file)["reader"] | {"channels": ["smell"]})
    command = ("train-detector", "--td", run, "--out", tmp_path / "x", "--init-from", file)
    refused(tdctl(*command, "--quiet"), *told)


def test_a_detector_of_an_earlier_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, file = make_run(tmp_path / "r"), random_detector(tmp_path / "d", "most")
    papers = save_detector(tmp_path / "p", Detector(hand_made_detector(), Card([], {}, {}, "")))
    monkeypatch.setattr(features, "FEATURES", 2)
    again = "train it again with tdctl train-detector"
    refused(tdctl("detect", "--td", run, "--detector", file), "version 1 of the", again)
    # The paper's network is shown the stored curve, which no version changes.
    for one in papers[:2]:
        load_detector(one)
    monkeypatch.setattr(import_module("tdctl.detector.detector_files"), "FEATURES", 2)
    load_detector(random_detector(tmp_path / "new", "most"))


def test_files_without_a_version_are_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = random_detector(tmp_path / "d", "most")
    before = load_detector(file).score(read_run(GOLDEN / "short")[0])
    give_card(file, features="none")
    assert "features" not in card_of(file)
    assert (load_detector(file).score(read_run(GOLDEN / "short")[0]) == before).all()
    monkeypatch.setattr(features, "FEATURES", 2)
    refused(tdctl("detect", "--td", GOLDEN / "short", "--detector", file), "version 1 of the")


def test_the_papers_files_are_unaffected(tmp_path: Path) -> None:
    """Those of the published code have no card, and ours may have one of any version."""
    tar = save_detector(tmp_path / "p", Detector(hand_made_detector(), Card([], {}, {}, "")))[0]
    content = load_tensors(tar)
    for card in (None, json.dumps(json.loads(content["card"]) | {"features": 7})):
        changed = {key: value for key, value in content.items() if key != "card"}
        save_tensors(tar, changed if card is None else changed | {"card": card})
        assert load_detector(tar).reader.is_papers


@pytest.mark.parametrize("version", ["1", 1.0, True, 0, -1, None, [1]])
def test_a_version_that_is_none_is_refused(tmp_path: Path, version: Any) -> None:
    file = random_detector(tmp_path / "d", "most")
    give_card(file, features=version)
    run = GOLDEN / "short"
    refused(tdctl("detect", "--td", run, "--detector", file), str(file), "whole number from 1")
