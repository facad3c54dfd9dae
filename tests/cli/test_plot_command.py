"""One figure of a run: every kind, and what is said where it cannot be drawn."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_image_folder, make_run, refused, tdctl, tiny_config

from tdctl import runner
from tdctl.dynamics import read_run
from tdctl.files import write_json
from tdctl.labels import Labels
from tdctl.metadata import write_metadata

KINDS = ["histogram", "roc", "pr", "datamap", "curves", "confusion"]
SCORE = ("--score", "aum", "--quiet")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("made") / "run")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of pictures, and a run of it."""
    root = make_image_folder(tmp_path_factory.mktemp("photos") / "d", per_class=10)
    config = tiny_config(
        data__dataset="folder", data__data_dir=root, data__limit=None, train__epochs=2
    )
    return root, runner.generate_td(config, root.parent / "run").folder


def without_truth(folder: Path) -> Path:
    run = make_run(folder)
    _, labels, _ = read_run(run)
    same = Labels(labels.index, labels.assigned, labels.assigned)
    write_metadata(run / "metadata.pth", same, np.zeros(0, dtype=np.int64))
    return run


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn(tmp_path: Path, run: Path, kind: str) -> None:
    out = tmp_path / f"{kind}.svg"
    result = tdctl("plot", "--td", run, "--kind", kind, "--out", out, *SCORE)
    assert result.exit_code == 0 and f"plot       {out}" in result.stdout, result.output
    assert out.read_text().count("<path") > 3
    refused(tdctl("plot", "--td", run, "--kind", kind, "--out", out, *SCORE), "exists already")


@pytest.mark.parametrize("end", [b"\x89PNG", b"%PDF"], ids=["png", "pdf"])
def test_the_name_says_which_kind_of_file(tmp_path: Path, run: Path, end: bytes) -> None:
    out = tmp_path / ("a.png" if b"PNG" in end else "a.pdf")
    asked = ["plot", "--td", run, "--kind", "histogram", "--out", out, *SCORE, "--json"]
    assert json.loads(tdctl(*asked).stdout)["file"] == str(out)
    assert out.read_bytes().startswith(end)


def test_without_truth_there_is_no_roc_but_the_rest(tmp_path: Path) -> None:
    run = without_truth(tmp_path / "run")
    for kind in KINDS:
        result = tdctl(
            "plot", "--td", run, "--kind", kind, "--out", tmp_path / f"{kind}.svg", *SCORE
        )
        if kind in {"roc", "pr"}:
            refused(result, "no label is known to be wrong", "--true-column", "histogram")
        else:
            assert result.exit_code == 0, result.output


def test_the_pictures_of_the_worst_are_drawn(tmp_path: Path, photos: tuple[Path, Path]) -> None:
    _, run = photos
    for more in ((), ("--by-class", "--top", 4)):
        out = tmp_path / f"{len(more)}.png"
        result = tdctl("plot", "--td", run, "--kind", "samples", "--out", out, *more, *SCORE)
        assert result.exit_code == 0, result.output
        assert len(out.read_bytes()) > 5000


def test_pictures_that_moved_are_found_by_data_dir(
    tmp_path: Path, photos: tuple[Path, Path]
) -> None:
    root, run = photos
    moved = Path(shutil.copytree(root, tmp_path / "moved"))
    asked = ["plot", "--td", run, "--kind", "samples", "--out", tmp_path / "a.png", *SCORE]
    assert tdctl(*asked, "--data-dir", moved).exit_code == 0
    first = sorted((moved / "train" / "dark").iterdir())[0]
    first.rename(first.with_name("zzz.png"))
    asked[-len(SCORE) - 1] = tmp_path / "b.png"
    refused(tdctl(*asked, "--data-dir", moved), "is named", "--data-dir")
    refused(tdctl(*asked, "--data-dir", tmp_path / "none"), "no such folder")


def test_a_picture_that_broke_since_leaves_its_place_empty(
    tmp_path: Path, photos: tuple[Path, Path]
) -> None:
    root, run = photos
    moved = Path(shutil.copytree(root, tmp_path / "moved"))
    sorted((moved / "train" / "dark").iterdir())[0].write_bytes(b"no picture")
    asked = ["plot", "--td", run, "--kind", "samples", "--out", tmp_path / "a.svg", *SCORE]
    result = tdctl(*asked, "--data-dir", moved)
    assert result.exit_code == 0, result.output
    assert "note: 1 of 20 pictures do not decode any more" in result.stderr


def test_the_log_is_drawn_of_an_unfinished_run_too(tmp_path: Path, digits_run: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    refused(
        tdctl("plot", "--td", run, "--kind", "log", "--out", tmp_path / "l.svg"),
        "a run has a log once its first epoch is over",
    )
    shutil.copy(digits_run / "train_log.csv", run)
    write_json(run / "manifest.json", {"status": "running"})
    result = tdctl("plot", "--td", run, "--kind", "log", "--out", tmp_path / "l.svg")
    assert result.exit_code == 0 and "is not finished: 2 epochs so far" in result.stderr
    (run / "train_log.csv").write_text("epoch,train_loss\n0,x\n")
    refused(
        tdctl("plot", "--td", run, "--kind", "log", "--out", tmp_path / "m.svg"), "is not the log"
    )
    unfinished = tdctl("plot", "--td", run, "--kind", "histogram", "--out", tmp_path / "h.svg")
    refused(unfinished, "the run is not finished")


def test_a_sweep_is_read_from_a_denoising(tmp_path: Path, run: Path) -> None:
    rows = [
        {"kind": "all", "remove_ratio": None, "test_error_last": 0.3},
        {"kind": "pruned", "remove_ratio": 0.1, "test_error_last": 0.2},
        {"kind": "pruned", "remove_ratio": 0.2, "test_error_last": None},
    ]
    out = tmp_path / "s.svg"
    asked = ["plot", "--td", run, "--kind", "sweep", "--out", out, "--denoise", tmp_path / "d"]
    refused(tdctl(*asked), "holds no denoise.json", "tdctl denoise --td")
    for name in ("one", "two"):
        (tmp_path / "d" / name).mkdir(parents=True)
        write_json(tmp_path / "d" / name / "denoise.json", {"rows": rows})
    refused(tdctl(*asked), "several denoisings", str(tmp_path / "d" / "two"))
    asked[-1] = tmp_path / "d" / "one"
    assert tdctl(*asked).exit_code == 0 and out.exists()
    write_json(tmp_path / "d" / "two" / "denoise.json", {"rows": [{"kind": "x"}]})
    asked[-1], asked[6] = tmp_path / "d" / "two", tmp_path / "t.svg"
    refused(tdctl(*asked), "not the table that tdctl wrote")


def test_what_cannot_be_is_refused(tmp_path: Path, run: Path) -> None:
    def drawn(kind: str, name: str, *more: object) -> Any:
        return tdctl("plot", "--td", run, "--kind", kind, "--out", tmp_path / name, *more)

    refused(drawn("pie", "a.svg"), "kind: 'pie' is unknown; use one of histogram, roc, pr")
    refused(drawn("roc", "a.gif"), ".svg, .png or .pdf")
    refused(drawn("roc", "a.svg", "--top", 5), "top: goes with the kinds samples and confusion")
    refused(drawn("roc", "a.svg", "--by-class"), "leave out --by-class")
    refused(drawn("samples", "a.svg"), "holds no config.yaml", "the other kinds need no pictures")
    none = tdctl("plot", "--td", tmp_path / "no", "--kind", "roc", "--out", tmp_path / "a.svg")
    refused(none, "no such run folder")
    assert drawn("roc", "a.svg", "--data-dir", tmp_path).exit_code == 2
    assert not list(tmp_path.glob("a.*"))
