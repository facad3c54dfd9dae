"""The check of the data before every training: it finds what is planted, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_image_folder, refused, tdctl, tiny_config
from PIL import Image

from tdctl import runner
from tdctl.config import DataConfig
from tdctl.data import open_dataset
from tdctl.data.alike import alike_pixels
from tdctl.data.survey import spread
from tdctl.errors import DataError

WAYS = ("memory", "cache", "stream")


def notes(root: Path, way: str = "memory", dry: bool = False, **more: Any) -> list[str]:
    """What the check says of a folder, beside how its images are held."""
    data = open_dataset(
        DataConfig(
            dataset="folder", data_dir=root, images=way, cache_dir=root.parent / "cache", **more
        ),
        dry=dry,
    )
    assert not any("\n" in note for note in data.notes)
    return list(data.notes[1:])


def picture(path: Path, seed: int, size: tuple[int, int] = (12, 12)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def classes(root: Path, sizes: dict[str, int], test: int = 2) -> Path:
    """Pictures that are all different: so many of each class, and ``test`` of each in test/."""
    for label, (name, count) in enumerate(sizes.items()):
        for number in range(count + test):
            split = "train" if number < count else "test"
            picture(root / split / name / f"{number:03}.png", 1000 * label + number)
    return root


@pytest.mark.parametrize("dry", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_said_of_clean_pictures(tmp_path: Path, way: str, dry: bool) -> None:
    assert notes(classes(tmp_path / "d", {"cat": 12, "dog": 8, "owl": 20}), way, dry) == []


def test_nothing_is_said_of_the_digits() -> None:
    assert open_dataset(DataConfig()).notes == ()
    assert open_dataset(DataConfig(image_size=32)).notes == ()


@pytest.mark.parametrize("dry", [False, True])
def test_one_class_is_refused_whatever_the_source(tmp_path: Path, dry: bool) -> None:
    root = classes(tmp_path / "d", {"cat": 12, "dog": 8})
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    table = tmp_path / "t.csv"
    table.write_text("\n".join(["file_name,label", *(f"{name},pet" for name in names)]))
    given = {
        "the table": DataConfig(dataset="table", data_dir=root, labels=table),
        "a limit": DataConfig(dataset="folder", data_dir=root, limit=1),
        "a limit of the digits": DataConfig(limit=1),
    }
    says = {
        "the table": "table: all 24 training images have the class 'pet'; expected at least two",
        "a limit": "all 1 training images have the class 'cat'.*give a larger --limit than 1",
        "a limit of the digits": "digits: all 1 training images have the class '.'",
    }
    for what, config in given.items():
        with pytest.raises(DataError, match=says[what]):
            open_dataset(config, dry=dry)


def test_labels_of_one_class_in_place_of_the_data_sets_are_refused(tmp_path: Path) -> None:
    root = classes(tmp_path / "d", {"cat": 4, "dog": 4})
    names = [f"train/{name}/{number:03}.png" for name in ("cat", "dog") for number in range(4)]
    (tmp_path / "l.csv").write_text("\n".join(["file_name,label", *(f"{n},dog" for n in names)]))
    run = ("--dataset", "folder", "--data-dir", root, "--labels", tmp_path / "l.csv")
    refused(tdctl("generate-td", *run, "--out", tmp_path / "r"), "all 8 training images", "'dog'")
    assert not (tmp_path / "r").exists()


def test_classes_of_one_picture_and_of_extreme_sizes_are_named(tmp_path: Path) -> None:
    (single,) = notes(classes(tmp_path / "a", {"cat": 9, "dog": 1, "emu": 1}))
    assert single.startswith("classes of one training image: 2 of 3, first 'dog' (train/dog/000")
    (share,) = notes(classes(tmp_path / "b", {"cat": 57, "dog": 3, "emu": 3}))
    assert "'cat' has 57 training images and 'dog' has 3" in share
    (times,) = notes(classes(tmp_path / "c", {"cat": 100, "dog": 100, "emu": 2}))
    assert "'cat' has 100 training images and 'emu' has 2" in times
    assert notes(classes(tmp_path / "d", {"cat": 90, "dog": 60, "emu": 3})) == []


def test_class_names_that_differ_in_writing_are_shown_together(tmp_path: Path) -> None:
    sizes = dict.fromkeys(["Cat", "cat", "polar_bear", "polar bear", "1", "1.0", "dog"], 3)
    (alike,) = notes(classes(tmp_path / "d", sizes))
    assert alike.startswith("class names that differ in writing alone: 3, ")
    for pair in ("'Cat' / 'cat'", "'1' / '1.0'", "'polar bear' / 'polar_bear'"):
        assert pair in alike


@pytest.mark.parametrize("way", WAYS)
def test_pictures_of_one_colour_are_counted(tmp_path: Path, way: str) -> None:
    root = classes(tmp_path / "d", {"cat": 12, "dog": 8})
    for name, colour in (
        ("train/dog/002", "black"),
        ("train/dog/003", "red"),
        ("test/cat/012", "black"),
    ):
        Image.new("RGB", (12, 12), colour).save(root / f"{name}.png")
    (blank,) = notes(root, way)
    assert blank.startswith("images of one colour: 3, first train/dog/002.png; ")
    half = Image.new("RGB", (12, 12))
    half.paste("white", (0, 0, 12, 3))
    half.save(root / "train/dog/002.png")
    (blank,) = notes(root, way)
    assert "images of one colour: 2, first train/dog/003.png" in blank


@pytest.mark.parametrize("way", WAYS)
def test_copies_are_told_by_what_is_wrong_with_them(tmp_path: Path, way: str) -> None:
    root = classes(tmp_path / "d", {"cat": 12, "dog": 8})

    def copy(a: str, b: str) -> None:
        shutil.copyfile(root / f"{a}.png", root / f"{b}.png")

    copy("train/cat/001", "train/cat/z1")
    copy("train/cat/001", "train/cat/z2")
    copy("train/cat/002", "train/dog/z3")
    copy("train/dog/003", "test/dog/z4")
    assert notes(root, way) == [
        "images alike to the byte with different labels: 1 group, first train/cat/002.png ('cat') "
        "and train/dog/z3.png ('dog'); at least one label of each group is wrong",
        "images alike to the byte in the training and in the test set: 1 group, first "
        "train/dog/003.png ('dog') and test/dog/z4.png ('dog'); the test error is too low by them: "
        "remove one side",
        "images alike to the byte among the training images: 1 group of 3, first "
        "train/cat/001.png ('cat') and train/cat/z1.png ('cat'); remove the copies",
    ]
    assert notes(root, way, dry=True) == notes(root, way), "files are compared whatever is decoded"


def test_large_files_alike_at_their_beginning_alone_are_no_copies(tmp_path: Path) -> None:
    root = classes(tmp_path / "d", {"cat": 4, "dog": 4})
    for number, name in enumerate(("cat/a", "dog/a")):
        pixels = np.random.default_rng(9).integers(0, 256, (60, 60, 3)).astype(np.uint8)
        pixels[-1] = number
        Image.fromarray(pixels[::-1] if number > 1 else pixels).save(root / f"train/{name}.bmp")
    first, second = ((root / f"train/{name}/a.bmp").read_bytes() for name in ("cat", "dog"))
    assert len(first) == len(second) > 8192 and first != second
    pixels[-1] = 0
    pixels[0] = 255
    Image.fromarray(pixels).save(root / "train/dog/a.bmp")  # a BMP begins with its last line
    assert (root / "train/dog/a.bmp").read_bytes()[:4096] == first[:4096]
    assert not [note for note in notes(root, image_size=12) if "alike" in note]


def test_pixels_in_memory_are_compared_themselves() -> None:
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (40, 3, 8, 8))).to(
        torch.uint8
    )
    pixels[[7, 30]], pixels[[20, 39]] = pixels[3].clone(), pixels[11].clone()
    pixels[25] = pixels[11]
    pixels[25, 0, 0, 0] ^= 1
    found = alike_pixels(pixels)
    assert [group.tolist() for group in found.groups] == [[3, 7, 30], [11, 20, 39]]
    assert found.looked == 40


@pytest.mark.parametrize("dry", [False, True])
def test_the_size_asked_for_is_compared_with_what_there_is(tmp_path: Path, dry: bool) -> None:
    root = classes(tmp_path / "d", {"cat": 12, "dog": 8})
    for number in range(6):
        picture(root / f"train/dog/w{number}.png", 5000 + number, (30, 12))
    (crop,) = notes(root, dry=dry, image_size=12)
    assert crop.startswith("images that lose more than half to the crop: 6, first train/dog/w0.png")
    assert "(30x12)" in crop and "--fit pad" in crop
    assert notes(root, dry=dry, image_size=12, fit="pad") == []
    (small,) = notes(root, dry=dry, image_size=32, fit="squash")
    assert small.startswith("images of less than half of --image-size 32: 30, first train/cat/000")
    picture(root / "train/cat/huge.png", 7000, (140, 140))
    (mixed,) = notes(root, dry=dry, image_size=16, fit="squash")
    assert "from train/cat/000.png (12x12) to train/cat/huge.png (140x140)" in mixed


def test_a_dry_run_shows_the_check_and_says_of_how_many(tmp_path: Path) -> None:
    root = tmp_path / "d"
    for number in range(400):
        picture(root / "train" / "ab"[number % 2] / f"{number:03}.png", number)
    for path in (root / "train/a").iterdir():
        Image.new("RGB", (12, 12), int(path.stem)).save(path)
    (root / "train/b/001.png").write_bytes(b"none")
    run = ("generate-td", "--dataset", "folder", "--data-dir", root, "--test-share", 0)
    result = tdctl(*run, "--out", tmp_path / "r", "--dry-run")
    assert result.exit_code == 0 and not (tmp_path / "r").exists()
    assert (
        "note: images of one colour: 150 (of 300 looked at), first train/a/000.png" in result.stderr
    )
    refused(tdctl(*run, "--out", tmp_path / "r"), "b/001.png: does not decode")


def test_a_dry_run_names_what_does_not_decode(tmp_path: Path) -> None:
    root = classes(tmp_path / "d", {"cat": 4, "dog": 4})
    (root / "train/dog/001.png").write_bytes(b"none")
    (broken,) = notes(root, dry=True)
    assert broken == (
        "images that do not decode: 1, first train/dog/001.png (of no known image format); they "
        "end the run: --skip-unreadable"
    )
    (broken,) = notes(root, dry=True, skip_unreadable=True)
    assert broken.endswith("they are left out")


def test_a_sample_is_even_and_always_the_same() -> None:
    assert spread(5, 10).tolist() == [0, 1, 2, 3, 4] and spread(0, 10).tolist() == []
    assert spread(101, 3).tolist() == [0, 50, 100] and len(spread(60_000, 300)) == 300


def test_noise_that_is_added_is_not_looked_at(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path / "d")
    shutil.copyfile(root / "train/dark/000_dark.jpg", root / "train/dark/zz.jpg")
    more = {"data__dataset": "folder", "data__data_dir": str(root), "data__limit": None}
    config = tiny_config(**more, noise__noise_ratio=0.9)
    result = runner.generate_td(config, tmp_path / "r")
    assert any("among the training images: 1 group " in note for note in result.notes)
    assert not any("different labels" in note for note in result.notes)


def test_datasets_looks_into_what_it_finds(tmp_path: Path) -> None:
    root = classes(tmp_path / "d", {"cat": 12, "Cat": 8, "owl": 1})
    told = tdctl("datasets", "--data-dir", root)
    assert told.exit_code == 0
    lines = [line for line in told.stdout.splitlines() if line.startswith("folder: ")]
    assert any(line.startswith("folder: note: class names that differ") for line in lines)
    assert any("classes of one training image: 1 of 3" in line for line in lines)
    row = json.loads(tdctl("datasets", "folder", "--data-dir", root, "--json").stdout)
    assert any("differ in writing" in note for note in row["notes"]) and row["error"] is None
    one = json.loads(tdctl("datasets", "folder", "--data-dir", root / "train", "--json").stdout)
    assert one["error"] is None
    shutil.rmtree(root / "train/Cat")
    shutil.rmtree(root / "test/Cat")
    shutil.rmtree(root / "train/owl")
    shutil.rmtree(root / "test/owl")
    told = tdctl("datasets", "folder", "--data-dir", root)
    assert told.exit_code == 0
    assert "a single class folder, cat, which holds 12 images" in told.stdout


def test_datasets_looks_at_pictures_of_different_sizes(tmp_path: Path) -> None:
    root = classes(tmp_path / "d", {"cat": 12, "dog": 8})
    picture(root / "train/dog/big.png", 1, (40, 50))
    told = tdctl("datasets", "folder", "--data-dir", root).stdout
    assert (
        "note: --image-size 32, because the images have 12 by 12 pixels (the median); give" in told
    )


def test_files_that_do_not_decode_are_no_copies_of_each_other(tmp_path: Path) -> None:
    root = classes(tmp_path / "d", {"cat": 12, "dog": 8})
    for name in ("train/cat/x", "train/cat/y", "train/dog/x", "test/dog/x"):
        (root / f"{name}.png").write_bytes(b"<html>404 Not Found</html>")
    for more in ({"dry": True}, {"skip_unreadable": True}):
        assert not [note for note in notes(root, **more) if "alike" in note]


def test_a_class_without_a_label_is_told_of_and_what_does_not_show_is_written_out(
    tmp_path: Path,
) -> None:
    root = classes(tmp_path / "d", {"cat": 4, "cat\u200b": 4, "unlabeled": 4})
    alike, missing = notes(root)
    assert "'cat' / 'cat\\u200b'" in alike
    assert missing.startswith(
        "class names that may stand for a missing label: 'unlabeled' (4 training images); "
    )
