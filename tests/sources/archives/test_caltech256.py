from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archives_made import OBJECTS, assert_refused, make_caltech256, removed, seen, write_image

from tdctl.config import DataConfig
from tdctl.sources.archives.caltech256 import list_caltech256
from tdctl.sources.listing import Listing

Damage = Callable[[Path], None]


def read(top: Path, split_seed: int = 0, **more: Any) -> Listing:
    config = DataConfig(dataset="caltech256", data_dir=top, **({"test_share": 1 / 3} | more))
    return list_caltech256(top, config, split_seed)


def test_labels_order_and_index(tmp_path: Path) -> None:
    listing = read(make_caltech256(tmp_path), test_share=0.0)
    assert listing.class_names == list(OBJECTS) and listing.trusted and listing.one_list
    assert listing.labels.index.tolist() == list(range(24))
    assert listing.labels.assigned.tolist() == [row // 6 for row in range(24)]
    assert len(listing.test_index) == 0
    assert listing.names is not None and listing.names[6] == "002.american-flag/002_0001.jpg"
    assert seen(listing) == [(label, serial) for label in range(4) for serial in range(1, 7)]
    assert listing.first is not None and listing.first.tolist()[:5] == [0, 6, 12, 18, 1]
    (note,) = listing.notes
    assert note.startswith("2 that are no images") and "002.american-flag/greg" in note


def test_a_share_of_each_class_is_drawn_as_test_set(tmp_path: Path) -> None:
    top = make_caltech256(tmp_path)
    listing = read(top)
    assert np.bincount(listing.labels.assigned).tolist() == [4, 4, 4, 4]
    assert np.bincount(listing.test_targets).tolist() == [2, 2, 2, 2]
    both = [*listing.labels.index, *listing.test_index]
    assert sorted(both) == list(range(24))
    assert seen(listing) == [(row // 6, row % 6 + 1) for row in both], "index, label and pixels"
    assert any("--test-share 0" in note for note in listing.notes)
    again, other = read(top), read(top, split_seed=1)
    assert again.names == listing.names
    assert sorted(other.test_index) != sorted(listing.test_index)


def test_clutter_is_left_out_on_request(tmp_path: Path) -> None:
    top = make_caltech256(tmp_path)
    listing = read(top, drop_clutter=True)
    assert listing.class_names == list(OBJECTS[:3])
    both = [*listing.labels.index, *listing.test_index]
    assert sorted(both) == list(range(18)), "the index of the others does not change"
    assert [label for label, _ in seen(listing)] == [row // 6 for row in both]
    removed("257.clutter")(top)
    assert read(top).names == listing.names


def test_folders_that_are_no_classes_are_noted(tmp_path: Path) -> None:
    top = make_caltech256(tmp_path)
    (top / "__MACOSX").mkdir()
    (top / "001.ak47/.DS_Store").write_text("x")
    assert any("3 that are no images" in note and "__MACOSX" in note for note in read(top).notes)


def second_of_a_number(top: Path) -> None:
    write_image(top / "002.birdbath/002_0001.jpg", 1, 1)


def number_zero(top: Path) -> None:
    write_image(top / "000.nothing/000_0001.jpg", 1, 1)


def class_of_no_images(top: Path) -> None:
    (top / "004.baseball-bat").mkdir()
    (top / "004.baseball-bat/readme.txt").write_text("x")


def class_is_a_file(top: Path) -> None:
    removed("002.american-flag")(top)
    (top / "002.american-flag").write_text("x")


def name_is_no_text(top: Path) -> None:
    source = top / "001.ak47/001_0001.jpg"
    os.rename(source, os.fsencode(top) + b"/001.ak47/\xff.jpg")  # noqa: PTH104


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (removed("."), ["is not there; unpack the archive anew"]),
        (removed("001.ak47"), ["no folder of class 001, though 002.american-flag is there"]),
        (removed("002.american-flag"), ["no folder of class 002, though 003.backpack is there"]),
        (class_is_a_file, ["no folder of class 002, though 003.backpack is there"]),
        (second_of_a_number, ["002.birdbath: expected the class 003 in its place"]),
        (number_zero, ["000.nothing: expected the class 001 in its place"]),
        (class_of_no_images, ["004.baseball-bat: no image in it"]),
        (name_is_no_text, ["not valid UTF-8"]),
    ],
)
def test_damage_is_refused_by_name(tmp_path: Path, damage: Damage, says: list[str]) -> None:
    top = make_caltech256(tmp_path)
    damage(top)
    assert_refused(lambda: read(top), str(top), *says)


def test_a_folder_without_classes_is_refused(tmp_path: Path) -> None:
    assert_refused(lambda: read(tmp_path), f"{tmp_path}: no class folder such as 001.ak47")


def test_a_share_of_nearly_all_leaves_an_image_of_each_class(tmp_path: Path) -> None:
    listing = read(make_caltech256(tmp_path), test_share=0.99)
    assert set(listing.labels.assigned) == set(range(len(listing.class_names)))
