from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from archives_made import (
    OBJECTS,
    WNIDS,
    assert_refused,
    make_caltech256,
    make_clothing100k,
    make_cub_200_2011,
    make_tiny_imagenet,
    make_webvision50,
    removed,
    seen,
    write_image,
)

from tdctl.catalogue import CATALOGUE
from tdctl.config import DataConfig
from tdctl.sources.archives import READERS, as_folder, list_archive

MAKERS: dict[str, Callable[[Path], Path]] = {
    "tiny_imagenet": make_tiny_imagenet,
    "cub_200_2011": make_cub_200_2011,
    "caltech256": make_caltech256,
    "webvision50": make_webvision50,
    "clothing100k": make_clothing100k,
}


def config(name: str, root: Path, **more: Any) -> DataConfig:
    return DataConfig(dataset=name, data_dir=root, **more)


def make_image_folder(root: Path, classes: int, names: Any = str) -> Path:
    for label in range(classes):
        write_image(root / f"train/{names(label)}/x.jpg", label % 50, 1, size=8)
    return root


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("place", ["top", "above", "named"])
def test_archives_are_found_where_they_may_lie(tmp_path: Path, name: str, place: str) -> None:
    home = tmp_path / name if place == "named" else tmp_path
    top = MAKERS[name](home)
    listing = list_archive(config(name, top if place == "top" else tmp_path), 0)
    assert listing.name == name and len(seen(listing)) > 15
    assert set(READERS) == set(MAKERS)


def test_the_seed_of_the_split_is_handed_on(tmp_path: Path) -> None:
    make_caltech256(tmp_path)
    one, two = (list_archive(config("caltech256", tmp_path), seed) for seed in (1, 2))
    assert one.names != two.names


def test_numbers_unlike_the_published_ones_are_noted(tmp_path: Path) -> None:
    make_tiny_imagenet(tmp_path)
    make_caltech256(tmp_path)
    (note,) = list_archive(config("tiny_imagenet", tmp_path), 0).notes
    for part in ("3 classes instead of 200", "12 training images instead of 100,000", "6 test"):
        assert part in note
    notes = list_archive(config("caltech256", tmp_path), 0).notes
    assert "24 images instead of 30,607" in notes[-1]
    notes = list_archive(config("caltech256", tmp_path, drop_clutter=True), 0).notes
    assert notes[-1].endswith("3 classes instead of 257"), "how many images is not published"


@pytest.mark.parametrize(
    ("name", "lacking"),
    [
        (name, landmark)
        for name in MAKERS
        for landmark in CATALOGUE[name].landmarks
        if len(CATALOGUE[name].landmarks) > 1
    ],
)
def test_a_part_of_an_archive_says_what_is_missing(tmp_path: Path, name: str, lacking: str) -> None:
    top = MAKERS[name](tmp_path)
    if not (top / lacking).exists():
        lacking = f"annotations/{lacking}"
    removed(lacking)(top)
    last = lacking.removeprefix("annotations/")
    assert_refused(lambda: list_archive(config(name, tmp_path), 0), f"{name}: {top} lacks {last};")


@pytest.mark.parametrize("name", MAKERS)
def test_nothing_there_says_what_was_looked_for_and_where(tmp_path: Path, name: str) -> None:
    entry = CATALOGUE[name]
    says = [*entry.landmarks, str(tmp_path), str(tmp_path / name), str(tmp_path / entry.folders[0])]
    read = config(name, tmp_path)
    assert_refused(lambda: list_archive(read, 0), *says, f"train/ with {entry.classes} class")
    read = config(name, tmp_path / "no")
    assert_refused(lambda: list_archive(read, 0), f"{name}: {tmp_path / 'no'}: no such folder")


@pytest.mark.parametrize("name", ["cifar10", "mnist", "svhn", "clothing100k", "webvision50"])
@pytest.mark.parametrize("nested", [True, False], ids=["DIR/name", "DIR"])
def test_image_folders_are_read_under_the_name_of_the_set(
    tmp_path: Path, name: str, nested: bool
) -> None:
    k = CATALOGUE[name].classes
    assert k is not None
    make_image_folder(tmp_path / name if nested else tmp_path, k)
    listing = as_folder(config(name, tmp_path, test_share=0.0), 0)
    assert listing is not None and listing.name == name and not listing.trusted
    assert listing.class_names == sorted(map(str, range(k)))
    assert listing.mirrors == (name not in {"mnist", "svhn"})
    assert [shown for shown, _ in seen(listing)] == [int(n) for n in listing.class_names]


def test_an_image_folder_stands_in_for_an_archive(tmp_path: Path) -> None:
    make_image_folder(tmp_path, 14)
    write_image(tmp_path / "val/3/y.jpg", 3, 2, size=8)
    listing = list_archive(config("clothing100k", tmp_path), 0)
    assert listing.name == "clothing100k" and len(listing.class_names) == 14
    assert listing.test_targets.tolist() == [listing.class_names.index("3")]
    assert "14 training images instead of 100,000, 1 test images instead" in listing.notes[-1]


def test_an_archive_comes_before_an_image_folder(tmp_path: Path) -> None:
    make_image_folder(tmp_path, 14)
    make_clothing100k(tmp_path)
    assert list_archive(config("clothing100k", tmp_path), 0).class_names[0] == "T-Shirt"


@pytest.mark.parametrize("classes", [1, 9, 11])
def test_another_number_of_classes_is_no_image_folder_of_the_set(
    tmp_path: Path, classes: int
) -> None:
    make_image_folder(tmp_path, classes)
    assert as_folder(config("cifar10", tmp_path), 0) is None


def test_a_test_split_with_other_classes_is_no_image_folder_of_the_set(tmp_path: Path) -> None:
    make_image_folder(tmp_path, 10)
    write_image(tmp_path / "val/images/val_0.jpg", 0, 0)
    assert as_folder(config("cifar10", tmp_path), 0) is None


def test_an_archive_that_looks_like_an_image_folder_is_none(tmp_path: Path) -> None:
    top = make_tiny_imagenet(tmp_path)
    for number in range(len(WNIDS), 200):
        write_image(top / f"train/n{number:08}/images/n{number:08}_0.JPEG", 0, 0, size=8)
    removed("wnids.txt")(top)
    assert_refused(lambda: list_archive(config("tiny_imagenet", tmp_path), 0), "lacks wnids.txt")


@pytest.mark.parametrize("classes", [256, 257])
def test_clutter_may_be_missing_from_an_image_folder(tmp_path: Path, classes: int) -> None:
    def name(label: int) -> str:
        return OBJECTS[-1] if label == 256 else f"{label + 1:03}.x"

    make_image_folder(tmp_path, classes, name)
    read = config("caltech256", tmp_path)
    assert len(list_archive(read, 0).class_names) == classes
    dropped = config("caltech256", tmp_path, drop_clutter=True)
    if classes == 256:
        assert len(list_archive(dropped, 0).class_names) == 256
    else:
        assert_refused(lambda: list_archive(dropped, 0), "257.clutter", "data.drop_clutter", "move")
