from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from archives_made import (
    GARMENTS,
    assert_refused,
    drop_line,
    emptied,
    make_clothing100k,
    removed,
    seen,
    set_line,
    with_crlf,
    write_lines,
)

from tdctl.config import DataConfig
from tdctl.sources.archives import clothing
from tdctl.sources.archives.clothing import list_clothing100k
from tdctl.sources.listing import Listing

Damage = Callable[[Path], None]
KEYS, LABELS = "annotations/noisy_train_key_list.txt", "annotations/noisy_label_kv.txt"
TEST, CLEAN = "annotations/clean_test_key_list.txt", "annotations/clean_label_kv.txt"
NAMES = "annotations/category_names_eng.txt"
TRAINED = [(5 * n % 14, n) for n in range(28)]
TESTED = [(13 - n, n) for n in range(14)]


def read(top: Path, split_seed: int = 0) -> Listing:
    return list_clothing100k(top, DataConfig(dataset="clothing100k", data_dir=top), split_seed)


@pytest.mark.parametrize("place", ["annotations", "."])
def test_labels_split_order_and_index(tmp_path: Path, place: str) -> None:
    listing = read(make_clothing100k(tmp_path, annotations=place))
    assert listing.class_names == list(GARMENTS) and not listing.trusted and not listing.one_list
    assert listing.labels.index.tolist() == list(range(28))
    assert listing.labels.assigned.tolist() == [label for label, _ in TRAINED]
    assert (listing.labels.true == listing.labels.assigned).all(), "clean labels are not used"
    assert listing.test_index.tolist() == list(range(14))
    assert listing.test_targets.tolist() == list(range(13, -1, -1))
    assert listing.names is not None and listing.names[:2] == [
        "images/0/00/000,77.jpg", "images/1/01/100,77.jpg",
    ]  # fmt: skip
    assert seen(listing) == TRAINED + TESTED
    (note,) = listing.notes
    assert "noisy_train_key_list.txt has 28 keys, fewer than 100,000: all are used" in note


def test_a_seeded_part_is_drawn_and_keeps_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clothing, "DRAWN", 10)
    top = make_clothing100k(tmp_path)
    listing = read(top)
    rows = listing.labels.index.tolist()
    assert len(rows) == 10 and rows == sorted(set(rows)) and listing.notes == ()
    assert seen(listing) == [TRAINED[row] for row in rows] + TESTED
    assert read(top).labels.index.tolist() == rows
    draws = [set(read(top, seed).labels.index.tolist()) for seed in range(40)]
    assert draws[0] == set(rows) != draws[1]
    often = np.bincount([row for draw in draws for row in draw], minlength=28)
    assert often.min() >= 4 and often.max() <= 27, "about 40 * 10 / 28 each"
    keep = {f"images/{n % 10}/0{n % 3}/{n}00,77.jpg" for n in rows}
    for path in (top / "images").rglob("*77.jpg"):
        if path.relative_to(top).as_posix() not in keep:
            path.unlink()
    assert len(read(top).labels) == 10, "images that are not drawn need not be there"


def test_as_many_keys_as_are_drawn_need_no_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clothing, "DRAWN", 28)
    assert read(make_clothing100k(tmp_path)).notes == ()


def test_class_names_may_be_latin_and_lines_as_windows_has_them(tmp_path: Path) -> None:
    top = make_clothing100k(tmp_path)
    for file in (KEYS, LABELS, TEST, CLEAN, NAMES):
        with_crlf(file)(top)
    before = seen(read(top))
    set_line(NAMES, 4, "Chiffoné".encode("latin-1"))(top)
    listing = read(top)
    assert seen(listing) == before and listing.class_names[3] == "Chiffoné"


def test_an_image_in_both_sets_is_noted(tmp_path: Path) -> None:
    top = make_clothing100k(tmp_path)
    set_line(TEST, 2, "images/3/00/300,77.jpg")(top)
    assert any("1 images are both among" in note for note in read(top).notes)


@pytest.mark.parametrize("file", [KEYS, TEST, LABELS, CLEAN])
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (removed, "cannot be read"),
        (emptied, "empty"),
        (lambda file: set_line(file, 2, ""), "line 2 is blank"),
        (lambda file: set_line(file, 2, "a.jpg 1 2"), "line 2 has 3 fields; expected "),
        (lambda file: set_line(file, 2, b"\xe9\xff"), "line 2 is not UTF-8"),
    ],
)
def test_each_list_is_refused_by_name_and_line(
    tmp_path: Path, file: str, damage: Callable[[str], Damage], says: str
) -> None:
    top = make_clothing100k(tmp_path)
    damage(file)(top)
    where = top / file if damage is not removed else top / Path(file).name
    assert_refused(lambda: read(top), f"{where}: {says}")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (set_line(KEYS, 5, "images/9.jpg"), [f"{KEYS}: line 5", "no label in", LABELS]),
        (set_line(KEYS, 5, "../9.jpg"), [f"{KEYS}: line 5 names '../9.jpg'"]),
        (set_line(KEYS, 5, "/images/9.jpg"), [f"{KEYS}: line 5 names '/images/9.jpg'"]),
        (set_line(KEYS, 5, "images/0/00/000,77.jpg"), [f"{KEYS}: line 5 has the key", "earlier"]),
        (set_line(TEST, 5, "images/9.jpg"), [f"{TEST}: line 5", "no label in", CLEAN]),
        (set_line(TEST, 5, "images/9/../../9.jpg"), [f"{TEST}: line 5 names"]),
        (set_line(TEST, 5, "images/9/99/0.jpg"), [f"{TEST}: line 5 has the key", "earlier"]),
        (set_line(LABELS, 3, "images/x.jpg"), [f"{LABELS}: line 3 has 1 fields; expected 2"]),
        (set_line(LABELS, 3, "images/x.jpg 14"), [f"{LABELS}: line 3 has '14'", "from 0 to 13"]),
        (set_line(LABELS, 3, "images/x.jpg -1"), [f"{LABELS}: line 3 has '-1' as label"]),
        (set_line(LABELS, 3, "images/x.jpg 1.5"), [f"{LABELS}: line 3 has '1.5' as label"]),
        (set_line(LABELS, 30, "images/0/00/000,77.jpg 1"), [f"{LABELS}: line 30 has the key"]),
        (drop_line(LABELS, 28), [f"{KEYS}: line 1 names the key 'images/0/00/000,77.jpg'"]),
        (set_line(CLEAN, 3, "images/x.jpg"), [f"{CLEAN}: line 3 has 1 fields; expected 2"]),
        (set_line(CLEAN, 3, "images/x.jpg 14"), [f"{CLEAN}: line 3 has '14'", "from 0 to 13"]),
        (set_line(CLEAN, 3, "images/x.jpg x"), [f"{CLEAN}: line 3 has 'x' as label"]),
        (drop_line(CLEAN, 16), [f"{TEST}: line 1 names the key 'images/9/99/0.jpg'"]),
        (removed(NAMES), ["category_names_eng.txt: cannot be read"]),
        (emptied(NAMES), [f"{NAMES}: empty"]),
        (drop_line(NAMES, 3), [f"{NAMES}: 13 lines; expected 14"]),
        (set_line(NAMES, 15, "Hat"), [f"{NAMES}: 15 lines; expected 14"]),
        (set_line(NAMES, 4, "Shirt"), [f"{NAMES}: line 4 has the name 'Shirt'"]),
        (set_line(NAMES, 4, " "), [f"{NAMES}: line 4 is blank"]),
        (removed("images/3/01/1300,77.jpg"), [f"{KEYS}: line 14", "1 of 28 images are missing"]),
        (removed("images/9/99"), [f"{TEST}: line 1", "14 of 14 images are missing"]),
        (removed("images"), [f"{KEYS}: line 1", "28 of 28 images are missing"]),
    ],
)
def test_damage_is_refused_by_file_and_line(
    tmp_path: Path, damage: Damage, says: list[str]
) -> None:
    top = make_clothing100k(tmp_path)
    damage(top)
    assert_refused(lambda: read(top), str(top), *says)


def test_a_label_that_is_said_twice_is_refused(tmp_path: Path) -> None:
    top = make_clothing100k(tmp_path)
    lines = (top / LABELS).read_text().splitlines()
    write_lines(top / LABELS, [*lines, lines[0]])
    assert_refused(lambda: read(top), f"{LABELS}: line 30 has the key")
