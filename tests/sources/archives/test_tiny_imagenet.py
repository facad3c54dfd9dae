from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from archives_made import (
    WNIDS,
    assert_refused,
    drop_line,
    emptied,
    make_tiny_imagenet,
    removed,
    seen,
    set_line,
    with_crlf,
    write_image,
)

from tdctl.config import DataConfig
from tdctl.sources.archives.tiny_imagenet import list_tiny_imagenet
from tdctl.sources.listing import Listing

Damage = Callable[[Path], None]
ANNOTATIONS = "val/val_annotations.txt"
FIRST = f"val_0.JPEG\t{WNIDS[0]}\t0\t0\t15\t0"


def read(top: Path) -> Listing:
    return list_tiny_imagenet(top, DataConfig(dataset="tiny_imagenet", data_dir=top), 0)


def test_labels_split_order_and_index(tmp_path: Path) -> None:
    listing = read(make_tiny_imagenet(tmp_path))
    assert listing.class_names == sorted(WNIDS) and listing.trusted and not listing.one_list
    assert listing.labels.index.tolist() == list(range(12))
    assert (
        listing.labels.assigned.tolist()
        == listing.labels.true.tolist()
        == 4 * [0] + 4 * [1] + 4 * [2]
    )
    assert listing.test_index.tolist() == list(range(6))
    assert listing.test_targets.tolist() == [1, 0, 2, 1, 0, 2], "in the order of the annotations"
    assert listing.names is not None
    assert listing.names[4] == "train/n02124075/images/n02124075_0.JPEG"
    assert listing.names[12:14] == ["val/images/val_0.JPEG", "val/images/val_1.JPEG"]
    assert listing.first is not None and listing.first.tolist()[:4] == [0, 4, 8, 1]
    assert listing.notes == ()


def test_pixels_belong_to_their_rows(tmp_path: Path) -> None:
    listing = read(make_tiny_imagenet(tmp_path))
    train = [(label, serial) for label in range(3) for serial in range(4)]
    assert seen(listing) == [*train, (1, 0), (0, 0), (2, 0), (1, 1), (0, 1), (2, 1)]


def test_windows_line_ends_and_other_files_do_not_matter(tmp_path: Path) -> None:
    top = make_tiny_imagenet(tmp_path)
    before = seen(read(top))
    for file in ("wnids.txt", ANNOTATIONS):
        with_crlf(file)(top)
    (top / f"train/{WNIDS[0]}/images/Thumbs.db").write_text("x")
    (top / "val/images/._val_0.JPEG").write_text("x")
    listing = read(top)
    assert seen(listing) == before
    assert len(listing.notes) == 1 and "Thumbs.db" in listing.notes[0]


def stray_class(top: Path) -> None:
    write_image(top / "train/n09999999/images/n09999999_0.JPEG", 0, 0)


def stray_image(top: Path) -> None:
    write_image(top / "val/images/val_77.JPEG", 0, 0)


def image_is_a_folder(top: Path) -> None:
    (top / "val/images/val_2.JPEG").unlink()
    (top / "val/images/val_2.JPEG").mkdir()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (removed("wnids.txt"), ["wnids.txt: cannot be read"]),
        (emptied("wnids.txt"), ["wnids.txt: empty"]),
        (set_line("wnids.txt", 2, f"{WNIDS[1]} goldfish"), ["wnids.txt: line 2 has 2 fields"]),
        (set_line("wnids.txt", 2, ""), ["wnids.txt: line 2 is blank"]),
        (set_line("wnids.txt", 3, WNIDS[0]), ["wnids.txt: line 3 has the wnid", "earlier"]),
        (set_line("wnids.txt", 2, b"n\xe9"), ["wnids.txt: line 2 is not UTF-8"]),
        (set_line("wnids.txt", 4, "n00000001"), ["wnids.txt: line 4 names the class", "train"]),
        (set_line("wnids.txt", 4, "../n0"), ["wnids.txt: line 4", "'../n0'"]),
        (drop_line("wnids.txt", 2), [f"train/{WNIDS[1]}: no class", "wnids.txt"]),
        (removed("train"), ["train: is not there; unpack the archive anew"]),
        (removed(f"train/{WNIDS[1]}"), ["wnids.txt: line 2 names", WNIDS[1]]),
        (removed(f"train/{WNIDS[1]}/images"), [f"train/{WNIDS[1]}/images: is not there"]),
        (stray_class, ["train/n09999999: no class of this name", "wnids.txt"]),
        (removed(ANNOTATIONS), [f"{ANNOTATIONS}: cannot be read"]),
        (emptied(ANNOTATIONS), [f"{ANNOTATIONS}: empty"]),
        (removed("val/images"), [f"{ANNOTATIONS}: line 1", "val_0.JPEG; 6 of 6 images"]),
        (removed("val/images/val_3.JPEG"), [f"{ANNOTATIONS}: line 4", "val_3.JPEG; 1 of 6"]),
        (image_is_a_folder, [f"{ANNOTATIONS}: line 3", "val_2.JPEG; 1 of 6"]),
        (stray_image, [f"{ANNOTATIONS}: no line for 1 images, first val/images/val_77.JPEG"]),
        (drop_line(ANNOTATIONS, 6), [f"{ANNOTATIONS}: no line for 1 images", "val_5.JPEG"]),
        (set_line(ANNOTATIONS, 5, FIRST), [f"{ANNOTATIONS}: line 5 has the file 'val_0.JPEG'"]),
        (set_line(ANNOTATIONS, 1, FIRST[:-2]), [f"{ANNOTATIONS}: line 1 has 5 fields"]),
        (set_line(ANNOTATIONS, 1, FIRST + "\t9"), [f"{ANNOTATIONS}: line 1 has 7 fields"]),
        (set_line(ANNOTATIONS, 1, FIRST.replace("\t", " ")), ["line 1 has 1 fields"]),
        (set_line(ANNOTATIONS, 1, FIRST[:-1] + "x"), ["line 1 has 'x' as bottom"]),
        (set_line(ANNOTATIONS, 1, FIRST.replace(WNIDS[0], "n1")), ["line 1 has the class 'n1'"]),
        (set_line(ANNOTATIONS, 1, "../" + FIRST), ["line 1 names '../val_0.JPEG'"]),
        (set_line(ANNOTATIONS, 1, "/etc/" + FIRST), ["line 1 names '/etc/val_0.JPEG'"]),
        (set_line(ANNOTATIONS, 3, b"\xff\xfe"), [f"{ANNOTATIONS}: line 3 is not UTF-8"]),
        (set_line(ANNOTATIONS, 3, "a\x01b"), [f"{ANNOTATIONS}: line 3 holds the control"]),
    ],
)
def test_damage_is_refused_by_file_and_line(
    tmp_path: Path, damage: Damage, says: list[str]
) -> None:
    top = make_tiny_imagenet(tmp_path)
    damage(top)
    assert_refused(lambda: read(top), str(top), *says)


def test_a_class_without_images_is_named(tmp_path: Path) -> None:
    top = make_tiny_imagenet(tmp_path)
    for path in (top / f"train/{WNIDS[1]}/images").iterdir():
        path.unlink()
    assert_refused(lambda: read(top), f"train/{WNIDS[1]}/images: no image in it")
