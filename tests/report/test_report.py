"""The HTML report without a browser: its content, its size, and what is said where things lack."""

from __future__ import annotations

import base64
import hashlib
import json
import re
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
from tdctl.report.html import script

SCORE = ("--score", "aum", "--quiet")
DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
POLICY = re.compile(r'http-equiv="Content-Security-Policy" content="([^"]*)"')


def data_in(page: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DATA.findall(page.read_text(encoding="utf-8"))[0])
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("made") / "run", n=200)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of pictures, and a run of it."""
    root = make_image_folder(tmp_path_factory.mktemp("photos") / "d", per_class=12, size=(40, 60))
    config = tiny_config(
        data__dataset="folder", data__data_dir=root, data__limit=None, data__image_size=12,
    )  # fmt: skip
    return root, runner.generate_td(config, root.parent / "run").folder


def reported(run: Path, out: Path, *more: object) -> dict[str, Any]:
    result = tdctl("report", "--td", run, "--out", out, *SCORE, "--json", *more)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_page_is_one_file_whose_policy_lets_only_its_own_script_run(
    tmp_path: Path, run: Path
) -> None:
    out = tmp_path / "r.html"
    found = reported(run, out)
    text = out.read_text(encoding="utf-8")
    policy = POLICY.findall(text)[0].replace("&#39;", "'")
    digest = base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()
    assert "default-src 'none'" in policy and f"script-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy and "img-src data:" in policy
    assert f"<script>{script()}</script>" in text
    # No style that the policy would refuse, no address that could be asked.
    assert ' style="' not in text
    addresses = set(re.findall(r'(?:src|href)="([^"#]{1,40})', text))
    assert all(one.startswith("data:image/png") for one in addresses), addresses
    assert found["size"] == out.stat().st_size and found["cards"] == 200
    refused(tdctl("report", "--td", run, "--out", out, *SCORE), "exists already")
    assert reported(run, out, "--overwrite")["cards"] == 200


def test_the_cards_say_what_the_run_says(tmp_path: Path, run: Path) -> None:
    reported(run, tmp_path / "r.html")
    data = data_in(tmp_path / "r.html")
    cards, (dynamics, labels, _) = data["cards"], read_run(run)
    ranked = runner.detect(run, runner_score("aum"))
    assert cards["index"] == ranked.table["index"].tolist()
    row_of = {index: row for row, index in enumerate(labels.index.tolist())}
    rows = np.array([row_of[index] for index in cards["index"]])
    assert cards["given"] == labels.assigned[rows].tolist()
    assert cards["suggested"] == dynamics.suggested()[rows].tolist()
    assert cards["true"] == labels.true[rows].tolist()
    means = np.asarray(dynamics.td[rows]).mean(axis=1, dtype=np.float64)
    assert np.allclose(cards["pGiven"], 1000 * means[:, 0], atol=0.51)
    assert np.allclose(cards["pSuggested"], 1000 * means.max(axis=1), atol=0.51)
    second = zip(cards["second"], cards["suggested"], cards["given"], strict=True)
    assert all(one not in others for one, *others in second)
    curves = np.frombuffer(base64.b64decode(cards["curve"]), np.uint8).reshape(200, -1)
    assert np.abs(curves / 255 - dynamics.given_curve()[rows]).max() < 0.003
    assert data["flagged"] == sum(cards["flagged"]) > 0


def runner_score(name: str) -> Any:
    from tdctl.scores import find_score

    return find_score(name)


def test_pictures_are_small_and_their_files_beside_the_page(
    tmp_path: Path, photos: tuple[Path, Path]
) -> None:
    root, run = photos
    out = root.parent / "r.html"
    assert reported(run, out)["without_picture"] == 0
    data = data_in(out)
    assert data["folder"] == "d/"
    kind, picture = data["cards"]["picture"][0][0], data["cards"]["picture"][0][1:]
    head = base64.b64decode(picture)[:4]
    assert head.startswith({"j": b"\xff\xd8", "p": b"\x89PNG"}[kind])
    # By rows, and by bytes: the worst stay, and it is said how many are left out.
    few = reported(run, tmp_path / "few.html", "--max-rows", 5)
    assert few["cards"] == 5 and any("19 less suspicious" in note for note in few["notes"])
    limit = few["size"] + 2000
    fit = reported(run, tmp_path / "fit.html", "--max-bytes", limit)
    assert fit["size"] <= limit and 0 < fit["cards"] < 24
    assert (
        data_in(tmp_path / "fit.html")["cards"]["index"] == (data["cards"]["index"][: fit["cards"]])
    )
    over = tdctl("report", "--td", run, "--out", tmp_path / "o.html", *SCORE, "--max-bytes", 999)
    refused(over, "--max-bytes 999", "give more")


def test_pictures_that_have_moved_are_told_and_found_again(
    tmp_path: Path, photos: tuple[Path, Path]
) -> None:
    root, run = photos
    moved, broken = tmp_path / "moved", tmp_path / "broken"
    shutil.copytree(root, moved)
    shutil.copytree(root, broken)
    away = root.with_name("away")
    root.rename(away)
    try:
        lost = reported(run, tmp_path / "lost.html")
        assert lost["without_picture"] == lost["cards"] == 24
        assert any("--data-dir" in note for note in lost["notes"])
        found = reported(run, tmp_path / "found.html", "--data-dir", moved)
        assert found["without_picture"] == 0
        next((broken / "train" / "dark").iterdir()).write_bytes(b"no picture")
        some = reported(run, tmp_path / "some.html", "--data-dir", broken)
        assert some["without_picture"] == 1
        assert any("1 of 24 cards have no picture" in note for note in some["notes"])
    finally:
        away.rename(root)


def test_a_run_that_is_not_finished_is_shown_as_far_as_it_is(tmp_path: Path, run: Path) -> None:
    part = tmp_path / "part"
    part.mkdir()
    manifest = {"command": "generate-td", "status": "interrupted", "epochs": 9, "net": "resnet8"}
    write_json(part / "manifest.json", manifest)
    (part / "train_log.csv").write_text(
        "epoch,train_error,train_loss,valid_error,valid_top5_error,valid_loss,test_error\n"
        "0,0.5,1.5,,,,0.4\n1,0.4,1.2,,,,0.3\n"
    )
    found = reported(part, tmp_path / "r.html")
    assert found["samples"] == 0 and "2 of 9 epochs are over" in found["notes"][0]
    text = (tmp_path / "r.html").read_text()
    assert "This run is not finished." in text and "<figure>" in text and "resnet8" in text
    refused(tdctl("report", "--td", tmp_path / "none", "--out", tmp_path / "n.html"), "no such run")


def test_without_truth_nothing_is_judged(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    _, labels, _ = read_run(run)
    same = Labels(labels.index, labels.assigned, labels.assigned)
    write_metadata(run / "metadata.pth", same, np.zeros(0, dtype=np.int64))
    reported(run, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "AUC" not in text and "truth is known" not in text.replace("not known", "")
    assert "true" not in data_in(tmp_path / "r.html")["cards"]


def test_one_class_is_reported_without_an_estimate(tmp_path: Path) -> None:
    run, n = tmp_path / "run", 40
    run.mkdir()
    rng = np.random.default_rng(0)
    td = rng.random((n, 6, 1)).astype(np.float16)
    np.savez(run / "training_dynamics.npz", td=td, labels=np.zeros((n, 1), np.int16))
    zeros = np.zeros(n, np.int64)
    write_metadata(run / "metadata.pth", Labels(np.arange(n), zeros, zeros), zeros[:0])
    found = tdctl(
        "report", "--td", run, "--score", "p-mean", "--out", tmp_path / "r.html", "--json"
    )
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["cards"] == n


def test_many_classes_stay_readable(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", n=1500, classes=1000, epochs=4)
    reported(run, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert text.count("show-pair") < 40 and "rarer pairs are not listed" in text
    assert len(data_in(tmp_path / "r.html")["classes"]) == 1000


def test_a_denoising_has_its_table_and_curve(tmp_path: Path, run: Path) -> None:
    rows = [
        {"kind": "all", "remove_ratio": None, "removed": 0, "kept": 200, "flipped_left": 50,
         "test_error_last": 0.2, "test_error_best": None},
        {"kind": "pruned", "remove_ratio": 0.25, "removed": 50, "kept": 150, "flipped_left": 3,
         "test_error_last": 0.1, "test_error_best": None},
    ]  # fmt: skip
    table = tmp_path / "denoised"
    table.mkdir()
    write_json(table / "denoise.json", {"rows": rows})
    reported(run, tmp_path / "r.html", "--denoise", table)
    text = (tmp_path / "r.html").read_text()
    assert "without the worst, 0.25" in text and "Test error after retraining" in text
    wrong = tdctl("report", "--td", run, "--denoise", run, "--out", tmp_path / "w.html", *SCORE)
    refused(wrong, "denoise.json")


def test_the_report_beside_a_ranking_shows_its_cut(tmp_path: Path, run: Path) -> None:
    out = tmp_path / "r.html"
    asked = ("detect", "--td", run, "--cut", "0.1", "--report", out, *SCORE)
    assert tdctl(*asked).exit_code == 0
    assert data_in(out)["flagged"] == 20
    refused(tdctl(*asked), "exists already")
    refused(tdctl("detect", "--td", run, "--score", "all", "--report", out), "--report")
    refused(tdctl("report", "--td", run, "--out", tmp_path / "r.pdf", *SCORE), "report.html")
