"""Reviews: checked against the run, merged, made a label table, and read back by the next run."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import make_image_folder, make_run, refused, tdctl, tiny_config

from tdctl import runner
from tdctl.cells import safe_cell
from tdctl.cli.clean_command import next_training
from tdctl.errors import ConfigError, DataError, RunError
from tdctl.inputs import copy_pictures as copying
from tdctl.runner import ReviewResult
from tdctl.scores import find_score
from tdctl.settings import load_config, resolve

FOLDER: dict[str, Any] = {
    "data__dataset": "folder", "data__limit": None, "noise__noise_ratio": 0.0, "train__epochs": 2,
    "data__test_share": 0.0,
}  # fmt: skip
HEADER = ["index", "file_name", "given_label", "decision", "new_label"]
PLANTED = ("=moved.png", "twice.png", "deep/one.png")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes, one of a name like a formula; three pictures lie in the wrong class."""
    root = make_image_folder(tmp_path_factory.mktemp("photos"), per_class=20) / "train"
    (root / "=other").mkdir()
    for path in sorted((root / "dark").iterdir())[:5]:
        path.rename(root / "=other" / path.name)
    for name, path in zip(PLANTED, sorted((root / "light").iterdir()), strict=False):
        to = root / "dark" / name
        to.parent.mkdir(exist_ok=True)
        path.rename(to)
    first = sorted((root / "light").iterdir())[0]
    first.rename(root / "light" / "Twice.png")
    return root


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = tiny_config(**FOLDER, data__data_dir=photos, data__num_valid=6)
    return runner.generate_td(config, tmp_path_factory.mktemp("runs") / "run").folder


@pytest.fixture(scope="module")
def ranked(run: Path) -> pd.DataFrame:
    table = runner.detect(run, find_score("aum")).table
    return table.astype({"given_label": object, "suggested_label": object}).set_index("file_name")


def row(ranked: pd.DataFrame, name: str, decision: str, new: str = "") -> list[str]:
    index = str(ranked.loc[name, "index"])
    return [index, name, str(ranked.loc[name, "given_label"]), decision, new]


def review(path: Path, *rows: list[str], mark: str = "") -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(mark)
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows([[safe_cell(cell) for cell in row] for row in rows])
    return path


def applied(run: Path, out: Path, *reviews: Path, **more: Any) -> ReviewResult:
    config = load_config(None, {}, runner.settings_of_run(run))
    return runner.apply_review(config, run, reviews, out, **more)


def test_the_circle_closes_find_review_apply_train(
    tmp_path: Path, run: Path, photos: Path, ranked: pd.DataFrame
) -> None:
    names = [name for name in ranked.index if name.startswith("light/")]
    held = {f"dark/{name}" for name in PLANTED} - set(ranked.index)
    moved = [f"dark/{name}" for name in PLANTED if f"dark/{name}" not in held]
    rows = [row(ranked, name, "relabel", "light") for name in moved]
    rows += [
        row(ranked, names[0], "drop"),
        row(ranked, names[1], "keep"),
        row(ranked, names[2], "unsure"),
        row(ranked, names[3], "relabel", "=other"),
    ]
    out = tmp_path / "labels.csv"
    result = applied(run, out, review(tmp_path / "r.csv", *rows, mark="\ufeff"))
    changed = len(moved) + 1
    assert result.counts == {"keep": 1, "relabel": changed, "drop": 1, "unsure": 1}
    assert result.changed == changed and len(result.table) == 40 - 1
    config = tiny_config(**FOLDER, data__data_dir=photos, data__labels=out, data__num_valid=6)
    prepared = runner.prepare(config)
    classes = prepared.dataset.class_names
    assigned = prepared.given.labels.assigned
    given = dict(zip(prepared.dataset.file_names or [], assigned, strict=True))
    files = {path.relative_to(photos).as_posix() for path in photos.rglob("*.*")}
    assert set(given) == files - {names[0]}, "held-out pictures are in it"
    wanted = {name: name.split("/")[0] for name in given}
    wanted |= dict.fromkeys(moved, "light") | {names[3]: "=other"}
    assert {name: classes[label] for name, label in given.items()} == wanted
    assert runner.generate_td(config, tmp_path / "again").manifest["status"] == "complete"


def test_no_cell_is_a_formula_and_the_pictures_are_known_by_their_names(
    tmp_path: Path, run: Path, ranked: pd.DataFrame
) -> None:
    applied(
        run, tmp_path / "l.csv", review(tmp_path / "r.csv", row(ranked, "dark/twice.png", "keep"))
    )
    text = (tmp_path / "l.csv").read_text()
    assert "'=other" in text and ",=other" not in text


def test_reviewers_may_agree_and_unsure_gives_way(
    tmp_path: Path, run: Path, ranked: pd.DataFrame
) -> None:
    one, two, three = ranked.index[:3]
    first = review(
        tmp_path / "a.csv", row(ranked, one, "drop"), row(ranked, two, "unsure"),
        row(ranked, three, "Keep"), row(ranked, three, "keep"), row(ranked, ranked.index[4], ""),
    )  # fmt: skip
    second = review(
        tmp_path / "b.csv", row(ranked, one, "drop"), row(ranked, two, "drop"),
        row(ranked, three, "unsure"),
    )  # fmt: skip
    for reviews in ([first, second], [second, first]):
        result = applied(run, tmp_path / "l.csv", *reviews, overwrite=True)
        assert result.counts == {"keep": 1, "relabel": 0, "drop": 2, "unsure": 0}
        assert result.undecided == 1 and len(result.table) == 40 - 2


def test_conflicts_are_refused_by_name(tmp_path: Path, run: Path, ranked: pd.DataFrame) -> None:
    one, two = ranked.index[:2]
    first = review(tmp_path / "a.csv", row(ranked, one, "drop"), row(ranked, two, "keep"))
    second = review(
        tmp_path / "b.csv", row(ranked, one, "keep"), row(ranked, two, "relabel", "light")
    )
    says = (
        rf"a\.csv: line 2 says drop of index {ranked.loc[one, 'index']}, and .*b\.csv: line 2 says "
        rf"keep \(2 images in all; so do the rows of index {ranked.loc[two, 'index']}\)"
    )
    with pytest.raises(DataError, match=says):
        applied(run, tmp_path / "l.csv", first, second)
    twice = review(tmp_path / "c.csv", row(ranked, one, "drop"), row(ranked, one, "keep"))
    with pytest.raises(DataError, match=r"line 2 says drop .* line 3 says keep"):
        applied(run, tmp_path / "l.csv", twice)
    assert not (tmp_path / "l.csv").exists()


WRONG: list[tuple[dict[int, str], str]] = [
    ({0: "999"}, "line 2 has the index '999', which .* has not; the review is of another run"),
    ({0: "x"}, "line 2 has the index 'x', which"),
    ({1: "dark/none.png"}, "has the file_name 'dark/none.png' at index .* give the folder of that"),
    ({2: "nothing"}, "has the given_label 'nothing' at index"),
    ({3: "delete"}, "has the decision 'delete'; expected one of keep, relabel, drop, unsure"),
    ({3: "relabel"}, "decides relabel and gives no new_label"),
    ({3: "relabel", 4: "Ligth"}, "gives the label 'Ligth', which is no class; perhaps 'light'"),
    ({3: "relabel", 4: "xyz"}, "which is no class; expected one of 3 classes, such as '=other'"),
    ({4: "light"}, "gives the new_label 'light' with the decision keep; leave it empty"),
    ({3: "", 4: "light"}, "gives a new_label and no decision"),
]


@pytest.mark.parametrize("change, says", WRONG, ids=[says[:30] for _, says in WRONG])
def test_a_row_that_cannot_be_is_refused_by_name(
    tmp_path: Path, run: Path, ranked: pd.DataFrame, change: dict[int, str], says: str
) -> None:
    cells = row(ranked, ranked.index[0], "keep")
    for at, value in change.items():
        cells[at] = value
    with pytest.raises(DataError, match=says):
        applied(run, tmp_path / "l.csv", review(tmp_path / "r.csv", cells))
    assert not (tmp_path / "l.csv").exists()


def test_what_is_no_review_is_refused(tmp_path: Path, run: Path, photos: Path) -> None:
    with pytest.raises(DataError, match=r"n\.csv: no such review; give the CSV that was saved"):
        applied(run, tmp_path / "l.csv", tmp_path / "n.csv")
    runner.detect(run, find_score("aum"), out=tmp_path / "o.csv")
    with pytest.raises(DataError, match=r"no column 'decision'"):
        applied(run, tmp_path / "l.csv", tmp_path / "o.csv")
    (tmp_path / "e.csv").write_text("")
    with pytest.raises(DataError, match="empty"):
        applied(run, tmp_path / "l.csv", tmp_path / "e.csv")


def test_a_class_of_which_nothing_is_left_is_told(
    tmp_path: Path, run: Path, ranked: pd.DataFrame
) -> None:
    table = applied(
        run, tmp_path / "l.csv", review(tmp_path / "r.csv", row(ranked, ranked.index[0], "keep"))
    ).table
    other = table["file_name"][table["label"] == "=other"]
    rows = [
        [str(index), name, "=other", "relabel", "dark"]
        for index, name in zip(other.index, other, strict=True)
    ]
    rows = [
        [str(table["index"][at]), *cells[1:]] for at, cells in zip(other.index, rows, strict=True)
    ]
    result = applied(run, tmp_path / "m.csv", review(tmp_path / "all.csv", *rows))
    assert result.notes == ("no image is left of the class '=other'",)


def test_copies_follow_the_decisions_and_the_data_stays(
    tmp_path: Path, run: Path, photos: Path, ranked: pd.DataFrame
) -> None:
    before = {path: path.read_bytes() for path in sorted(photos.rglob("*.*"))}
    table = applied(
        run, tmp_path / "a.csv", review(tmp_path / "n.csv", row(ranked, ranked.index[0], "unsure"))
    ).table.set_index("file_name")
    rows = [
        [str(table.loc[f"dark/{name}", "index"]), f"dark/{name}", "dark", "relabel", "light"]
        for name in PLANTED
    ]
    gone = next(name for name in ranked.index if name.startswith("light/0"))
    rows.append(row(ranked, gone, "drop"))
    target = tmp_path / "corrected"
    given = review(tmp_path / "r.csv", *rows)
    plan = applied(run, tmp_path / "l.csv", given, copy_to=target, dry_run=True).copies
    assert plan is not None and len(plan.pairs) == 39 and not target.exists()
    result = applied(run, tmp_path / "l.csv", given, copy_to=target)
    there = {path.relative_to(target).as_posix() for path in target.rglob("*.*")}
    moved = {"light/=moved.png", "light/twice_from_dark.png", "light/deep/one.png"}
    stay = {path.relative_to(photos).as_posix() for path in before} - {gone}
    # Twice.png and twice.png are one file on some disks.
    assert there == (stay - {f"dark/{name}" for name in PLANTED}) | moved
    assert result.copies is not None and result.copies.renamed == 1
    copied = (target / "light/twice_from_dark.png").read_bytes()
    assert copied == (photos / "dark/twice.png").read_bytes()
    assert {path: path.read_bytes() for path in sorted(photos.rglob("*.*"))} == before
    assert not list(tmp_path.glob(".*.part"))
    with pytest.raises(RunError, match="is there already and is left alone"):
        applied(run, tmp_path / "m.csv", given, copy_to=target)
    for inside in (photos / "light" / "new", photos / "new", photos):
        with pytest.raises(RunError, match=r"lies in the data folder .*; give --copy-to"):
            applied(run, tmp_path / "m.csv", given, copy_to=inside)
    assert not (tmp_path / "m.csv").exists()


def test_a_test_set_goes_along_as_it_is(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path / "d", per_class=8)
    run = runner.generate_td(tiny_config(**FOLDER, data__data_dir=root), tmp_path / "run").folder
    table = runner.detect(run, find_score("aum")).table.set_index("file_name")
    name = "train/dark/000_dark.jpg"
    given = review(tmp_path / "r.csv", row(table, name, "relabel", "light"))
    applied(run, tmp_path / "l.csv", given, copy_to=tmp_path / "new" / "tree")
    there = {
        p.relative_to(tmp_path / "new/tree").as_posix()
        for p in (tmp_path / "new/tree").rglob("*.*")
    }
    stay = {path.relative_to(root).as_posix() for path in root.rglob("*.*")}
    assert there == (stay - {name}) | {"train/light/000_dark.jpg"}


def test_a_picture_that_is_gone_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_image_folder(tmp_path / "d", per_class=8)
    run = runner.generate_td(tiny_config(**FOLDER, data__data_dir=root), tmp_path / "run").folder
    table = runner.detect(run, find_score("aum")).table.set_index("file_name")
    given = review(tmp_path / "r.csv", row(table, str(table.index[0]), "keep"))
    real = shutil.copy2

    def copy(source: str, to: Path) -> None:
        # One that is deleted while the others are copied.
        if source.endswith("dark/003_dark.png"):
            Path(source).unlink()
        real(source, to)

    monkeypatch.setattr(copying.shutil, "copy2", copy)
    with pytest.raises(DataError, match=r"003_dark\.png: is gone; bring it back"):
        applied(run, tmp_path / "l.csv", given, copy_to=tmp_path / "tree")
    assert {path.name for path in tmp_path.iterdir()} == {"d", "run", "r.csv"}


def test_pictures_of_other_data_sets_are_not_copied(tmp_path: Path, digits_run: Path) -> None:
    table = runner.detect(digits_run, find_score("aum")).table
    index, given = int(table["index"][0]), str(table["given_label"][0])
    one = review(tmp_path / "r.csv", [str(index), "", given, "drop", ""])
    with pytest.raises(ConfigError, match="only pictures of the data set folder"):
        applied(digits_run, tmp_path / "l.csv", one, copy_to=tmp_path / "tree")
    assert len(applied(digits_run, tmp_path / "l.csv", one).table) == 149


def test_a_run_of_other_code_has_the_rows_it_has(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", n=40)
    table = runner.detect(run, find_score("aum")).table
    index, given = int(table["index"][0]), str(table["given_label"][0])
    new = str(table["suggested_label"][0])
    one = review(tmp_path / "r.csv", [str(index), "", given, "relabel", new])
    result = runner.apply_review(None, run, [one], tmp_path / "l.csv")
    labels = result.table.set_index("index")["label"]
    assert len(labels) == 40 and labels[index] == new


def test_the_command_says_what_it_did_and_what_is_next(
    tmp_path: Path, run: Path, photos: Path, ranked: pd.DataFrame
) -> None:
    given = review(tmp_path / "r.csv", row(ranked, ranked.index[0], "drop"))
    asked = ["apply-review", "--td", run, given, "--out", tmp_path / "l.csv"]
    dry = tdctl(*asked, "--dry-run", "--json")
    assert json.loads(dry.stdout)["dropped"] == 1 and json.loads(dry.stdout)["file"] is None
    result = tdctl(*asked, "--copy-to", tmp_path / "tree")
    assert result.exit_code == 0, result.output
    assert "dropped    1" in result.stdout and "l.csv: 39 rows" in result.stdout
    assert f"copied     {tmp_path / 'tree'}: 39 files" in result.stdout
    assert "next       tdctl generate-td --dataset folder" in result.stdout
    refused(tdctl(*asked), "exists already")
    assert np.isin(["drop"], pd.read_csv(given)["decision"]).all()


def test_the_next_command_names_the_pretrained_network(tmp_path: Path) -> None:
    asked = {
        "data.dataset": "folder", "data.data_dir": str(tmp_path), "net.net_type": "resnet18",
        "net.pretrained": "w.pth",
    }  # fmt: skip
    for recipe, more in (("finetune", {}), ("features", {"recipe": "features"})):
        told = next_training(resolve(None, asked | more).config, True, tmp_path / "new.csv")
        assert f"--recipe {recipe} --net-type resnet18 --pretrained " in told
        assert "w.pth" in told and told.endswith("new.csv ...")
