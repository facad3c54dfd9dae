"""A ranking as a table of labels: what is flagged dropped, or as it is suggested."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import make_image_folder, refused, tdctl, tiny_config

from tdctl import runner
from tdctl.dynamics import read_run
from tdctl.errors import ConfigError, DataError, RunError
from tdctl.runner import CleanResult
from tdctl.scores import find_score
from tdctl.settings import load_config

FOLDER: dict[str, Any] = {
    "data__dataset": "folder", "data__limit": None, "noise__noise_ratio": 0.0, "train__epochs": 2,
    "data__test_share": 0.2,
}  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two classes, 30 images each, of which a share is held out as test set."""
    return make_image_folder(tmp_path_factory.mktemp("photos"), per_class=30) / "train"


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the folder: every sixth label is the other one's, as a table gives it."""
    folder = tmp_path_factory.mktemp("runs")
    files = sorted(path.relative_to(photos).as_posix() for path in photos.glob("*/*"))
    right = np.array([name.split("/")[0] for name in files])
    wrong = np.where(right == "dark", "light", "dark")
    given = np.where(np.arange(len(files)) % 6 == 0, wrong, right)
    table = pd.DataFrame({"file_name": files, "label": given, "right": right})
    table.to_csv(folder / "given.csv", index=False)
    config = tiny_config(
        **FOLDER, data__data_dir=photos, data__labels=folder / "given.csv",
        data__true_column="right", data__num_valid=6,
    )  # fmt: skip
    return runner.generate_td(config, folder / "run").folder


def cleaned(
    run: Path, out: Path, action: str, ratio: float | str = 0.2, **more: Any
) -> CleanResult:
    config = load_config(None, {}, runner.settings_of_run(run))
    return runner.clean(config, run, find_score("aum"), ratio, action, out, **more)


def again(photos: Path, table: Path, out: Path, **more: Any) -> Path:
    given = {"train__epochs": 1, "data__data_dir": photos, "data__labels": table}
    config = tiny_config(**FOLDER | given | more)
    return runner.generate_td(config, out).folder


def test_what_is_flagged_has_no_row_and_is_no_part_of_the_next_run(
    tmp_path: Path, run: Path, photos: Path
) -> None:
    result = cleaned(run, tmp_path / "t.csv", "drop")
    ranking = result.detection.table
    gone = set(ranking["file_name"][ranking["flagged"]])
    table = pd.read_csv(tmp_path / "t.csv", index_col="index")
    given = pd.read_csv(run.parent / "given.csv").set_index("file_name")
    assert list(table.columns) == ["file_name", "label", "action"] and set(table.action) == {"keep"}
    assert len(gone) == result.dropped == 8 and len(table) == 60 - 8
    assert set(table["file_name"]) == set(given.index) - gone, "held-out images are in it"
    # Those of the share that tests have the label that is right, the others the given one.
    trained = table[table["file_name"].isin(ranking["file_name"])]
    assert (trained["label"].to_numpy() == given["label"][trained["file_name"]]).all()
    before, after = result.wrong or (0, 0)
    assert before == int(ranking["label_flipped"].sum()) and after < before
    next_run = again(photos, tmp_path / "t.csv", tmp_path / "r")
    samples = pd.read_csv(next_run / "samples.csv")["file_name"]
    held = pd.read_csv(run / "results_valid.csv")["index"]
    assert not set(samples) & gone and len(samples) == 48 - 8
    assert len(held) == 6 and not (next_run / "skipped.csv").exists()


def test_flagged_rows_alone_get_the_suggested_label(
    tmp_path: Path, run: Path, photos: Path
) -> None:
    result = cleaned(run, tmp_path / "t.csv", "relabel")
    table = pd.read_csv(tmp_path / "t.csv", index_col="index")
    names = ["given_label", "suggested_label"]
    ranking = result.detection.table.set_index("index").astype(dict.fromkeys(names, str))
    changed = ranking[ranking.flagged & (ranking.given_label != ranking.suggested_label)].index
    others = ranking.index.difference(changed)
    assert len(table) == 60 and 0 < len(changed) == result.relabelled
    assert (table.label[changed] == ranking.suggested_label[changed]).all()
    assert (table.label[others] == ranking.given_label[others]).all()
    assert set(table.index[table.action == "relabel"]) == set(changed)
    next_run = again(photos, tmp_path / "t.csv", tmp_path / "r")
    _, labels, _ = read_run(next_run)
    names = np.array(["dark", "light"])[labels.assigned]
    assert (names == table.label[labels.index]).all() and len(names) == 48


def test_a_table_that_does_not_say_what_became_of_the_others_has_all_rows(
    tmp_path: Path, run: Path, photos: Path
) -> None:
    result = cleaned(run, tmp_path / "t.csv", "drop")
    table = pd.read_csv(tmp_path / "t.csv")
    table.drop(columns="action").to_csv(tmp_path / "u.csv", index=False)
    with pytest.raises(DataError, match="8 training images have no row"):
        again(photos, tmp_path / "u.csv", tmp_path / "r")
    table.assign(action="running").to_csv(tmp_path / "u.csv", index=False)
    with pytest.raises(DataError, match="8 training images have no row"):
        again(photos, tmp_path / "u.csv", tmp_path / "r")
    skips = again(photos, tmp_path / "u.csv", tmp_path / "r", data__skip_unreadable=True)
    skipped = pd.read_csv(skips / "skipped.csv")
    gone = result.detection.table["index"][result.detection.table["flagged"]]
    assert set(skipped["index"]) == set(gone) and set(skipped["reason"]) == {"no row in u.csv"}


def test_a_ranking_is_told_to_lack_the_images_held_out(
    tmp_path: Path, run: Path, photos: Path
) -> None:
    runner.detect(run, find_score("aum"), out=tmp_path / "o.csv", cut=0.1)
    suggested = {"data__label_column": "suggested_label"}
    says = "have no row, first .* a ranking has no row of images that were held out as test set"
    for share in (0.2, 0.0):
        with pytest.raises(DataError, match=says):
            again(photos, tmp_path / "o.csv", tmp_path / "r", data__test_share=share, **suggested)
    tested = pd.read_csv(run.parent / "given.csv")
    prepared = runner.prepare(tiny_config(**FOLDER, data__data_dir=photos))
    alone = tested[~tested["file_name"].isin(prepared.dataset.test_names or [])]
    alone.to_csv(tmp_path / "u.csv", index=False)
    with pytest.raises(
        DataError, match=r"12 images have no row, first .*held out as test set; giv"
    ):
        again(photos, tmp_path / "u.csv", tmp_path / "r")


def test_of_a_table_the_splits_are_in_the_new_one(tmp_path: Path, photos: Path) -> None:
    files = sorted(path.relative_to(photos).as_posix() for path in photos.glob("*/*"))
    table = pd.DataFrame({"file_name": files, "label": [name.split("/")[0] for name in files]})
    table.to_csv(tmp_path / "all.csv", index=False)
    settings = FOLDER | {"data__dataset": "table", "data__data_dir": photos}
    config = tiny_config(**settings, data__labels=tmp_path / "all.csv")
    first = runner.generate_td(config, tmp_path / "a").folder
    result = cleaned(first, tmp_path / "t.csv", "drop", 0.25)
    config = tiny_config(**settings, data__labels=tmp_path / "t.csv", seed=7)
    prepared = runner.prepare(config)
    before = runner.prepare(tiny_config(**settings, data__labels=tmp_path / "all.csv"))
    assert prepared.dataset.test_names == before.dataset.test_names, "whatever the seed"
    assert len(prepared.train) == 48 - result.dropped == 36


def test_digits_are_cleaned_by_index(tmp_path: Path, digits_run: Path) -> None:
    every = {"confidence_floor": 0.0, "below": "keep"}
    result = cleaned(digits_run, tmp_path / "t.csv", "relabel", 0.1, **every)
    table = pd.read_csv(tmp_path / "t.csv", keep_default_na=False, dtype={"label": str})
    assert set(table["file_name"]) == {""} and len(table) == 150
    config = load_config(None, {}, runner.settings_of_run(digits_run))
    data = config.data.model_copy(update={"labels": tmp_path / "t.csv"})
    quiet = config.noise.model_copy(update={"noise_ratio": 0.0})
    prepared = runner.prepare(config.model_copy(update={"data": data, "noise": quiet}))
    by_index = table.set_index("index")["label"]
    assert (prepared.labels.assigned == by_index[prepared.labels.index].astype(int)).all()
    ranked = result.detection.labels
    left = int((by_index[ranked.index] != ranked.true.astype(str)).sum())
    assert result.wrong == (int(ranked.flipped.sum()), left)


def test_another_codes_run_has_the_rows_it_has(tmp_path: Path, digits_run: Path) -> None:
    result = runner.clean(None, digits_run, find_score("aum"), 0.1, "drop", tmp_path / "t.csv")
    assert len(pd.read_csv(tmp_path / "t.csv")) == len(result.detection.labels) - result.dropped


def test_what_cannot_be_is_refused(tmp_path: Path, run: Path, photos: Path) -> None:
    out = tmp_path / "t.csv"
    with pytest.raises(ConfigError, match="action: 'burn' is unknown; use one of drop, relabel"):
        cleaned(run, out, "burn")
    with pytest.raises(ConfigError, match=r"is written as CSV; give --out a name with \.csv"):
        cleaned(run, tmp_path / "t.parquet", "drop")
    with pytest.raises(ConfigError, match="outside"):
        cleaned(run, out, "drop", 1.5)
    cleaned(run, out, "drop", dry_run=True)
    assert not out.exists()
    out.write_text("mine")
    with pytest.raises(RunError, match="exists already"):
        cleaned(run, out, "drop")
    assert out.read_text() == "mine"
    cleaned(run, out, "drop", overwrite=True, keep_per_class=0.95)
    assert len(pd.read_csv(out)) > 60 - 8, "the floor spares some"


def test_data_that_is_not_the_runs_is_refused_by_name(tmp_path: Path, digits_run: Path) -> None:
    settings = runner.settings_of_run(digits_run)
    for change, says in (
        ({"noise.noise_seed": 5}, "the given label of index"),
        ({"data.limit": 100}, "has no image of the index"),
    ):
        config = load_config(None, change, settings)
        with pytest.raises(DataError, match=f"digits: {says}.* by --data-dir, or record it anew"):
            runner.clean(config, digits_run, find_score("aum"), 0.1, "drop", tmp_path / "t.csv")


def test_a_file_that_was_renamed_since_is_named(tmp_path: Path, photos: Path) -> None:
    copy = Path(shutil.copytree(photos, tmp_path / "copy"))
    run = runner.generate_td(tiny_config(**FOLDER, data__data_dir=copy), tmp_path / "r").folder
    first = next(iter(pd.read_csv(run / "samples.csv")["file_name"]))
    (copy / first).rename(copy / first.replace("/", "/0"))
    with pytest.raises(DataError, match=rf"folder: the name of index 0 is .*, and '{first}' in"):
        cleaned(run, tmp_path / "t.csv", "drop")


def test_the_command_says_what_it_did_and_what_is_next(
    tmp_path: Path, run: Path, photos: Path
) -> None:
    asked = ["clean", "--td", run, "--score", "aum", "--remove-ratio", 0.2, "--quiet"]
    result = tdctl(*asked, "--action", "relabel", "--out", tmp_path / "t.csv")
    assert result.exit_code == 0, result.output
    assert "ranked     42 of 60 images" in result.stdout
    assert "of 8 flagged" in result.stdout and "labels of ranked images before" in result.stdout
    again = f"generate-td --dataset folder --data-dir {photos} --test-share 0.2 --labels"
    assert again in " ".join(result.stdout.split())
    result = tdctl(*asked, "--action", "drop", "--out", tmp_path / "u.csv", "--json", "--dry-run")
    report = json.loads(result.stdout)
    assert report["dropped"] == 8 and report["file"] is None and report["rows"] == 52
    refused(tdctl(*asked, "--action", "burn", "--out", tmp_path / "u.csv"), "drop, relabel")
    moved = tdctl(*asked, "--action", "drop", "--out", tmp_path / "u.csv", "--data-dir", tmp_path)
    refused(moved, "tdctl: error: ")
