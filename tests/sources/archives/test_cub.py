from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from archives_made import (
    BIRDS,
    assert_refused,
    drop_line,
    emptied,
    make_cub_200_2011,
    removed,
    seen,
    set_line,
    with_crlf,
    write_lines,
)

from tdctl.config import DataConfig
from tdctl.sources.archives.cub import list_cub_200_2011
from tdctl.sources.listing import Listing

Damage = Callable[[Path], None]
IMAGES, LABELS, SPLIT = "images.txt", "image_class_labels.txt", "train_test_split.txt"
LISTS = (IMAGES, LABELS, SPLIT, "classes.txt")
TESTED = [1, 4, 7, 10, 13, 16]


def read(top: Path) -> Listing:
    return list_cub_200_2011(top, DataConfig(dataset="cub-200-2011", data_dir=top), 0)


def test_labels_split_order_and_index(tmp_path: Path) -> None:
    listing = read(make_cub_200_2011(tmp_path))
    assert listing.class_names == list(BIRDS) and listing.trusted and not listing.one_list
    rows = [row for row in range(18) if row not in TESTED]
    assert listing.labels.index.tolist() == rows
    assert listing.labels.assigned.tolist() == [row // 6 for row in rows]
    assert listing.test_index.tolist() == TESTED
    assert listing.test_targets.tolist() == [0, 0, 1, 1, 2, 2]
    assert listing.names is not None
    assert listing.names[0] == f"images/{BIRDS[0]}/Black_footed_Albatross_0000_7.jpg"
    assert listing.names[12] == f"images/{BIRDS[0]}/Black_footed_Albatross_0001_6.jpg"
    assert listing.first is not None and listing.first.tolist()[:4] == [0, 4, 8, 1]
    assert seen(listing) == [divmod(row, 6) for row in rows + TESTED]


def test_lists_are_joined_by_id_not_by_line(tmp_path: Path) -> None:
    top = make_cub_200_2011(tmp_path)
    before = read(top)
    for file in (LABELS, SPLIT, "classes.txt"):
        lines = (top / file).read_text().splitlines()
        write_lines(top / file, lines[::-1])
    after = read(top)
    assert after.names == before.names and after.class_names == before.class_names
    assert (after.labels.assigned == before.labels.assigned).all()


def test_the_order_and_the_index_are_those_of_images_txt(tmp_path: Path) -> None:
    top = make_cub_200_2011(tmp_path)
    write_lines(top / IMAGES, (top / IMAGES).read_text().splitlines()[::-1])
    listing = read(top)
    assert listing.labels.index.tolist() == sorted(17 - row for row in range(18) if row % 3 != 1)
    both = [*listing.labels.index, *listing.test_index]
    assert seen(listing) == [divmod(17 - row, 6) for row in both]


def test_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    top = make_cub_200_2011(tmp_path)
    for file in LISTS:
        with_crlf(file)(top)
    assert len(seen(read(top))) == 18


def test_without_test_images_there_is_no_test_set(tmp_path: Path) -> None:
    top = make_cub_200_2011(tmp_path)
    write_lines(top / SPLIT, [f"{n} 1" for n in range(1, 19)])
    listing = read(top)
    assert len(listing.labels) == 18 and len(listing.test_index) == 0


def no_training_image(top: Path) -> None:
    write_lines(top / SPLIT, [f"{n} 0" for n in range(1, 19)])


@pytest.mark.parametrize("file", LISTS)
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (removed, "cannot be read"),
        (emptied, "empty"),
        (lambda file: set_line(file, 2, "2"), "line 2 has 1 fields; expected 2"),
        (lambda file: set_line(file, 2, "2 1 1"), "line 2 has 3 fields; expected 2"),
        (lambda file: set_line(file, 2, ""), "line 2 is blank"),
        (lambda file: set_line(file, 3, b"3 \xe9"), "line 3 is not UTF-8"),
        (lambda file: set_line(file, 2, "1 1"), "line 2 has the "),
    ],
)
def test_each_list_is_refused_by_name_and_line(
    tmp_path: Path, file: str, damage: Callable[[str], Damage], says: str
) -> None:
    top = make_cub_200_2011(tmp_path)
    damage(file)(top)
    assert_refused(lambda: read(top), f"{top / file}: {says}")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (set_line(IMAGES, 5, "x a/b.jpg"), [f"{IMAGES}: line 5 has 'x' as id"]),
        (set_line(IMAGES, 5, "05 a/b.jpg"), [f"{IMAGES}: line 5 has '05' as id"]),
        (set_line(IMAGES, 5, "5 ../b.jpg"), [f"{IMAGES}: line 5 names '../b.jpg'"]),
        (set_line(IMAGES, 5, "5 /b.jpg"), [f"{IMAGES}: line 5 names '/b.jpg'"]),
        (drop_line(IMAGES, 5), [f"{LABELS}: line 5 has the id '5', which is not in", IMAGES]),
        (set_line(LABELS, 4, "99 1"), [f"{LABELS}: line 4 has the id '99'", IMAGES]),
        (set_line(LABELS, 4, "4 4"), [f"{LABELS}: line 4 has '4' as class", "from 1 to 3"]),
        (set_line(LABELS, 4, "4 0"), [f"{LABELS}: line 4 has '0' as class", "from 1 to 3"]),
        (set_line(LABELS, 4, "4 one"), [f"{LABELS}: line 4 has 'one' as class"]),
        (set_line(LABELS, 4, "4 2"), [f"{LABELS}: line 4 gives", BIRDS[1], BIRDS[0], IMAGES]),
        (drop_line(LABELS, 4), [f"{LABELS}: no line for 1 ids", "line 4 of", IMAGES]),
        (set_line(SPLIT, 6, "6 2"), [f"{SPLIT}: line 6 has '2' as 1 for training, 0 for test"]),
        (set_line(SPLIT, 6, "6 -1"), [f"{SPLIT}: line 6 has '-1'"]),
        (set_line(SPLIT, 6, "77 1"), [f"{SPLIT}: line 6 has the id '77'", IMAGES]),
        (drop_line(SPLIT, 18), [f"{SPLIT}: no line for 1 ids", "line 18 of", IMAGES]),
        (no_training_image, [f"{SPLIT}: no training image"]),
        (set_line("classes.txt", 2, "x y"), ["classes.txt: line 2 has 'x' as class"]),
        (set_line("classes.txt", 2, "4 y"), ["classes.txt: line 2 has '4'", "from 1 to 3"]),
        (set_line("classes.txt", 2, f"2 {BIRDS[0]}"), ["classes.txt: line 2 has the name"]),
        (drop_line("classes.txt", 3), [f"{LABELS}: line 13 has '3' as class", "from 1 to 2"]),
        (set_line("classes.txt", 2, "2 Other"), [f"{LABELS}: line 7 gives the class 'Other'"]),
        (removed("images"), [f"{IMAGES}: line 1", "18 of 18 images are missing"]),
        (removed(f"images/{BIRDS[1]}"), [f"{IMAGES}: line 7", "6 of 18 images are missing"]),
        (
            removed(f"images/{BIRDS[2]}/Sooty_Albatross_0003_4.jpg"),
            [f"{IMAGES}: line 16", "Sooty_Albatross_0003_4.jpg; 1 of 18 images are missing"],
        ),
    ],
)
def test_damage_is_refused_by_file_and_line(
    tmp_path: Path, damage: Damage, says: list[str]
) -> None:
    top = make_cub_200_2011(tmp_path)
    damage(top)
    assert_refused(lambda: read(top), str(top), *says)


def test_an_image_listed_under_two_ids_is_refused(tmp_path: Path) -> None:
    top = make_cub_200_2011(tmp_path)
    first = (top / IMAGES).read_text().splitlines()[0]
    set_line(IMAGES, 3, f"3 {first.split()[1]}")(top)
    assert_refused(lambda: read(top), f"{top / IMAGES}: line 3 names", "earlier line")
