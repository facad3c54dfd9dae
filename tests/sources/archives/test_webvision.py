from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from archives_made import (
    assert_refused,
    emptied,
    make_webvision50,
    removed,
    seen,
    set_line,
    with_crlf,
    write_lines,
)

from tdctl.config import DataConfig
from tdctl.sources.archives.webvision import list_webvision50
from tdctl.sources.listing import Listing

Damage = Callable[[Path], None]
TRAIN, VAL, SYNSETS = "info/train_filelist_google.txt", "info/val_filelist.txt", "info/synsets.txt"
ROWS = [0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14]


def read(top: Path) -> Listing:
    return list_webvision50(top, DataConfig(dataset="webvision50", data_dir=top), 0)


def test_labels_split_order_and_index(tmp_path: Path) -> None:
    listing = read(make_webvision50(tmp_path))
    assert len(listing.class_names) == 50 and not listing.trusted and not listing.one_list
    assert listing.class_names[49] == "class 49, number 49"
    assert listing.labels.index.tolist() == ROWS, "positions in the list with all classes"
    labels = 3 * [0] + 3 * [1] + 3 * [48] + 3 * [49]
    assert listing.labels.assigned.tolist() == listing.labels.true.tolist() == labels
    assert listing.test_index.tolist() == [0, 2, 3, 4, 5, 7]
    assert listing.test_targets.tolist() == [49, 0, 1, 48, 0, 49]
    assert listing.names is not None
    assert listing.names[0] == "google/q0001/k-_Q.jpg"
    assert listing.names[12] == "val_images_256/val000001.jpg"
    assert listing.first is not None and listing.first.tolist()[:5] == [0, 3, 6, 9, 1]
    tested = [(49, 0), (0, 2), (1, 3), (48, 4), (0, 5), (49, 7)]
    assert seen(listing) == [*((label, row % 3) for row, label in enumerate(labels)), *tested]


def test_without_synsets_classes_are_numbers(tmp_path: Path) -> None:
    top = make_webvision50(tmp_path)
    removed(SYNSETS)(top)
    listing = read(top)
    assert listing.class_names == [str(n) for n in range(50)]
    set_line(TRAIN, 8, "google/q0003/j-_Q.jpg 999")(top)
    assert read(top).names == listing.names
    set_line(TRAIN, 8, "google/q0003/j-_Q.jpg 1000")(top)
    assert_refused(lambda: read(top), f"{TRAIN}: line 8 has '1000' as label", "from 0 to 999")


def test_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    top = make_webvision50(tmp_path)
    for file in (TRAIN, VAL, SYNSETS):
        with_crlf(file)(top)
    assert len(seen(read(top))) == 18


def few_synsets(top: Path) -> None:
    write_lines(top / SYNSETS, [f"n{n:08} class {n}" for n in range(49)])


def none_of_the_fifty(top: Path) -> None:
    write_lines(top / TRAIN, ["google/q0001/k-_Q.jpg 50"])


@pytest.mark.parametrize("file", [TRAIN, VAL])
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (removed, "cannot be read"),
        (emptied, "empty"),
        (lambda file: set_line(file, 2, "a.jpg"), "line 2 has 1 fields; expected 2: image, label"),
        (lambda file: set_line(file, 2, "a b.jpg 1"), "line 2 has 3 fields; expected 2"),
        (lambda file: set_line(file, 2, ""), "line 2 is blank"),
        (lambda file: set_line(file, 2, "a.jpg x"), "line 2 has 'x' as label"),
        (lambda file: set_line(file, 2, "a.jpg 1.0"), "line 2 has '1.0' as label"),
        (lambda file: set_line(file, 2, "a.jpg -1"), "line 2 has '-1' as label"),
        (lambda file: set_line(file, 2, "a.jpg 60"), "line 2 has '60' as label"),
        (lambda file: set_line(file, 2, "../a.jpg 1"), "line 2 names '../a.jpg'"),
        (lambda file: set_line(file, 2, "/a.jpg 57"), "line 2 names '/a.jpg'"),
        (lambda file: set_line(file, 2, "a.jpg 1"), "line 2 names an image that is not there"),
        (lambda file: set_line(file, 5, b"\xff 1"), "line 5 is not UTF-8"),
    ],
)
def test_each_list_is_refused_by_name_and_line(
    tmp_path: Path, file: str, damage: Callable[[str], Damage], says: str
) -> None:
    top = make_webvision50(tmp_path)
    damage(file)(top)
    assert_refused(lambda: read(top), f"{top / file}: {says}")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (set_line(TRAIN, 2, "google/q0001/k-_Q.jpg 1"), [f"{TRAIN}: line 2 has the image"]),
        (set_line(VAL, 2, "val000001.jpg 1"), [f"{VAL}: line 2 has the image 'val000001.jpg'"]),
        (none_of_the_fifty, [f"{TRAIN}: no image of the first 50 classes"]),
        (removed("google/q0004/j-_Q.jpg"), [f"{TRAIN}: line 11", "j-_Q.jpg; 1 of 12 images"]),
        (removed("google/q0005"), [f"{TRAIN}: line 13", "3 of 12 images are missing"]),
        (removed("google"), [f"{TRAIN}: line 1", "12 of 12 images are missing"]),
        (removed("val_images_256/val000003.jpg"), [f"{VAL}: line 3", "1 of 6 images"]),
        (removed("val_images_256"), [f"{VAL}: line 1", "6 of 6 images are missing"]),
        (emptied(SYNSETS), [f"{SYNSETS}: empty"]),
        (few_synsets, [f"{SYNSETS}: 49 lines; expected one a class, 50 or more"]),
        (set_line(SYNSETS, 3, "n00000002"), [f"{SYNSETS}: line 3 has no name"]),
        (set_line(SYNSETS, 3, ""), [f"{SYNSETS}: line 3 has no name"]),
        (set_line(SYNSETS, 3, b"n1 \xe9"), [f"{SYNSETS}: line 3 is not UTF-8"]),
        (set_line(SYNSETS, 3, "n9 class 0, number 0"), [f"{SYNSETS}: line 3 has the name"]),
    ],
)
def test_damage_is_refused_by_file_and_line(
    tmp_path: Path, damage: Damage, says: list[str]
) -> None:
    top = make_webvision50(tmp_path)
    damage(top)
    assert_refused(lambda: read(top), str(top), *says)
