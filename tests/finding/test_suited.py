"""The size that pictures ask for, in every command that trains; and the traps of folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import make_image_folder, refused, tdctl
from PIL import Image

import tdctl as library
from tdctl.config import Config
from tdctl.data import shown
from tdctl.errors import DataError
from tdctl.files import read_json
from tdctl.finding.suited import suit, suited
from tdctl.run import read_config
from tdctl.settings import resolve

FAST = ("--epochs", 2, "--quiet")


def big_one(root: Path, size: tuple[int, int] = (90, 120)) -> Path:
    """Makes one of the pictures much larger than the others."""
    path = sorted(root.rglob("*.jpg"))[3]
    Image.open(path).resize(size).save(path)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, no test set; all pictures of 12 pixels but one."""
    root = make_image_folder(tmp_path_factory.mktemp("data") / "photos", per_class=16, test=False)
    big_one(root)
    return root


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "a"
    result = tdctl("generate-td", "--data-dir", photos, "--out", out, *FAST)
    assert result.exit_code == 0, result.output
    line = next(line for line in result.stderr.splitlines() if "--image-size 32" in line)
    assert line.startswith(
        "note: --image-size 32, because the images have 12 by 12 pixels (the median)"
    )
    assert "here for 2 epochs; give --image-size, --net-type or --epochs to change it" in line
    return out


def settings_of(*words: Any) -> dict[str, str]:
    """What ``--print-config`` prints: the value and the origin of each setting, by dotted key."""
    found, section = {}, ""
    for line in tdctl("generate-td", *words, "--print-config").stdout.splitlines():
        key, _, value = line.partition(":")
        if line.startswith("  "):
            found[f"{section}.{key.strip()}"] = value.strip()
        elif value:
            found[key] = value.strip()
        else:
            section = key
    return found


# The traps that a new user met, with photographs of many sizes in class folders.


def test_a_folder_alone_is_the_data_not_the_digits(photos: Path) -> None:
    found = settings_of("--data-dir", photos)
    assert found["data.dataset"] == "folder  # found in --data-dir"
    with pytest.raises(ValueError, match="data_dir is given and no data set"):
        Config(data={"data_dir": photos})
    assert library.load_config(overrides={"data.data_dir": photos}).data.dataset == "folder"


def test_every_image_gets_a_rank_and_the_log_has_no_test_error(run: Path, tmp_path: Path) -> None:
    assert read_json(run / "manifest.json")["dataset"]["train"] == 32
    log = pd.read_csv(run / "train_log.csv")
    assert log[["valid_error", "valid_loss", "test_error"]].isna().all(axis=None)
    assert not (run / "results_valid.csv").exists()
    ranked = tdctl("detect", "--td", run, "--score", "aum", "--out", tmp_path / "r.csv")
    assert ranked.exit_code == 0 and len(pd.read_csv(tmp_path / "r.csv")) == 32
    again = tdctl("denoise", "--td", run, "--score", "aum", "--remove-ratio", 0.1, *FAST)
    assert again.exit_code == 0, again.output
    assert "has no test images, so the table will have no test error" in again.stderr


def test_a_share_is_held_out_where_it_is_asked_for(photos: Path, tmp_path: Path) -> None:
    asked = ("generate-td", "--data-dir", photos, "--dry-run", "--out", tmp_path / "r")
    assert "on 32 images" in tdctl(*asked).stderr
    result = tdctl(*asked, "--test-share", 0.25)
    assert "on 24 images" in result.stderr and "8 images are held out" in result.stderr
    assert "no test set" not in tdctl(*asked, "--test-share", 0).stderr, "so the user knows"
    assert settings_of("--dataset", "cifar10", "--data-dir", photos)["data.test_share"].startswith(
        "0.2"
    )


@pytest.mark.parametrize("wrapping", ["Dataset", "photographs"])
def test_the_folder_above_the_class_folders_beside_examples(
    photos: Path, tmp_path: Path, wrapping: str
) -> None:
    shutil.copytree(photos, tmp_path / wrapping)
    (tmp_path / "Examples").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "Examples/a.png")
    for left in ("__MACOSX/x/._a.jpg", f"{wrapping}/light/._a.jpg", ".DS_Store", "Thumbs.db"):
        (tmp_path / left).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / left).write_bytes(b"\0")
    for command in (("find", tmp_path), ("generate-td", "--data-dir", tmp_path)):
        result = tdctl(*command, "--dry-run", "--out", tmp_path.parent / f"{wrapping}_out")
        assert result.exit_code == 0, result.output
        assert "32 images" in result.stderr
        assert f"the data are those in {wrapping}/; not read beside it: Examples" in result.stderr


@pytest.mark.parametrize("size", [16, 64, 65, 128, 224])
def test_no_size_brings_the_long_training_of_a_deep_network(photos: Path, size: int) -> None:
    found = settings_of("--data-dir", photos, "--image-size", size)
    assert found["recipe"] == "detect  # default"
    assert found["net.net_type"].startswith("wide") and found["train.epochs"].startswith("60")
    assert found["data.image_size"] == f"{size}  # --image-size"


def test_pictures_of_different_sizes_need_no_flag(photos: Path, run: Path) -> None:
    found = settings_of("--data-dir", photos)
    assert found["data.image_size"] == "32  # chosen by the data"
    assert read_config(run).data.image_size == 32
    for command in ("train", "generate-td"):
        result = tdctl(command, "--data-dir", photos, "--dry-run", "--out", run.parent / "x")
        assert result.exit_code == 0 and "--image-size 32" in result.stderr, result.output
    noisy = ("--noise-type", "instance", "--noise-ratio", 0.2, "--out", run.parent / "x.csv")
    drawn = tdctl("corrupt", "--data-dir", photos, *noisy, "--dry-run")
    assert drawn.exit_code == 0, drawn.output


# What it keeps.


def test_find_and_the_other_commands_choose_alike(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path / "long", test=False, size=(70, 200))
    plan = json.loads(tdctl("find", root, "--dry-run", "--json", "--out", tmp_path / "f").stdout)
    found = settings_of("--data-dir", root)
    assert plan["image_size"] == 64 and found["data.image_size"] == "64  # chosen by the data"
    assert found["data.fit"] == "pad  # chosen by the data"
    assert any(reason.startswith("fit pad") for reason in plan["reasons"])


def test_small_pictures_of_one_size_stay_as_they_are(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path / "small")
    found = settings_of("--data-dir", root)
    assert found["data.image_size"] == "null  # default" and found["train.epochs"].startswith("60")
    result = tdctl("generate-td", "--data-dir", root, "--dry-run", "--out", tmp_path / "r")
    assert "because the images have" not in result.stderr and "no test set" not in result.stderr


def test_one_picture_of_another_size_among_many_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_image_folder(tmp_path / "photos", per_class=20, test=False)
    config = resolve(overrides={"data.data_dir": root}).config
    monkeypatch.setattr(shown, "HEADS", 4)
    monkeypatch.setattr(shown.sides, "__defaults__", (None, 4))
    assert suit(config, ()) is None
    big_one(root)
    found = suit(config, ())
    assert found is not None and not found.seen.alike
    assert found.choice.settings == {"data.image_size": 32}


def test_what_the_user_sets_stays_wherever_it_stands(photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(f"data: {{dataset: folder, data_dir: {photos}, image_size: 20}}\n")
    assert settings_of("--config", file)["data.image_size"] == f"20  # config {file}"
    assert settings_of("--data-dir", photos, "--set", "data.image_size=24")["data.image_size"] == (
        "24  # --set"
    )
    # An explicit null means: as they are. That fails here, and says so.
    file.write_text(f"data: {{dataset: folder, data_dir: {photos}, image_size: null}}\n")
    assert settings_of("--config", file)["data.image_size"] == f"null  # config {file}"
    refused(tdctl("generate-td", "--config", file, "--out", tmp_path / "r"), "give --image-size")


def test_a_run_goes_on_and_its_settings_repeat_it(photos: Path, run: Path, tmp_path: Path) -> None:
    again = tdctl("generate-td", "--resume", "--out", run, *FAST)
    assert again.exit_code == 0 and "already complete" in again.stderr
    assert "because the images have" not in again.stderr, "the run names it"
    other = tmp_path / "b"
    result = tdctl("generate-td", "--config", run / "config.yaml", "--out", other, *FAST)
    assert result.exit_code == 0 and "because the images have" not in result.stderr
    whole = [np.load(folder / "training_dynamics.npz")["td"] for folder in (run, other)]
    assert np.array_equal(*whole)


def test_the_library_chooses_too_and_goes_on(photos: Path, run: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "data": {"dataset": "folder", "data_dir": photos}, "train": {"epochs": 2},
    }  # fmt: skip
    config, out = Config(**settings), tmp_path / "a"
    library.generate_td(config, out)
    assert read_config(out).data.image_size == 32
    dynamics = [library.read_run(folder)[0].td for folder in (run, out)]
    assert np.array_equal(*dynamics)
    again = library.generate_td(config, out, resume=True)
    assert again.notes == ("already complete",)
    # A run keeps its size, even if the pictures would ask for another one now.
    text = yaml.safe_load((out / "config.yaml").read_text())
    text["data"]["image_size"] = 16
    (out / "config.yaml").write_text(yaml.safe_dump(text))
    assert suited(config, out).data.image_size == 16
    assert suited(config, tmp_path / "none").data.image_size == 32
    own = Config(**{**settings, "data": settings["data"] | {"image_size": 24}})
    assert suited(own, out) == own


def test_data_that_are_not_there_yet_are_a_note_where_settings_are_shown(tmp_path: Path) -> None:
    asked = ("generate-td", "--dataset", "folder", "--data-dir", tmp_path / "later")
    result = tdctl(*asked, "--print-config")
    assert result.exit_code == 0 and "image_size: null" in result.stdout
    assert "the image size does not follow from the images yet" in result.stderr
    refused(tdctl(*asked, "--out", tmp_path / "r"), "no such folder")


def test_pictures_that_do_not_open_are_left_to_the_decoder(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path / "photos", test=False)
    for path in root.rglob("*.*g"):
        path.write_bytes(b"<html>")
    config = resolve(overrides={"data.data_dir": root}).config
    assert suit(config, ()) is None
    with pytest.raises(DataError, match="12 images do not decode"):
        library.generate_td(config, tmp_path / "r")
