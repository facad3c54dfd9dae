"""Small data sets as their archives unpack, whose pixels tell the class and the image.

Each ``make_...(root)`` writes the archive's own top folder below ``root`` and gives its path. The
left half of an image is as bright as its class says, the right half as its serial number says:
``shown(path)`` reads both back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tdctl.errors import TdctlError
from tdctl.sources.listing import Listing

STEP = 5  # JPEG keeps a flat grey within a unit or two


def write_image(path: Path, label: int, serial: int, size: int = 16) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.empty((size, size, 3), dtype=np.uint8)
    pixels[:, : size // 2], pixels[:, size // 2 :] = STEP * label, STEP * serial
    Image.fromarray(pixels).save(path, format="JPEG", quality=100)


def shown(path: str) -> tuple[int, int]:
    """The class and the serial number that an image shows."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"), dtype=float)
    half = pixels.shape[1] // 2
    return round(pixels[:, :half].mean() / STEP), round(pixels[:, half:].mean() / STEP)


def seen(listing: Listing) -> list[tuple[int, int]]:
    """What the images of a listing show, row by row."""
    assert listing.names is not None and len(listing.images) == len(listing.names)
    found = []
    for row, name in enumerate(listing.names):
        path = listing.images.open(row)  # type: ignore[union-attr]
        assert isinstance(path, str) and path.endswith(name)
        found.append(shown(path))
    return found


def write_lines(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())


WNIDS = ("n02124075", "n01443537", "n04067472")  # not in sorted order, as in the archive


def make_tiny_imagenet(root: Path, per_class: int = 4) -> Path:
    """Three classes; serial numbers count a class's training images, and its test images."""
    top = root / "tiny-imagenet-200"
    write_lines(top / "wnids.txt", WNIDS)
    label_of = {wnid: label for label, wnid in enumerate(sorted(WNIDS))}
    for wnid, label in label_of.items():
        names = [f"{wnid}_{serial}.JPEG" for serial in range(per_class)]
        for serial, name in enumerate(names):
            write_image(top / "train" / wnid / "images" / name, label, serial)
        boxes = [f"{name}\t0\t0\t15\t15" for name in names]
        write_lines(top / "train" / wnid / f"{wnid}_boxes.txt", boxes)
    lines = []
    for number in range(2 * len(WNIDS)):
        wnid, serial = WNIDS[number % len(WNIDS)], number // len(WNIDS)
        write_image(top / f"val/images/val_{number}.JPEG", label_of[wnid], serial)
        lines.append(f"val_{number}.JPEG\t{wnid}\t0\t0\t15\t{number}")
    write_lines(top / "val/val_annotations.txt", lines)
    write_image(top / "test/images/test_0.JPEG", 40, 40)
    return top


BIRDS = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross")


def make_cub_200_2011(root: Path, per_class: int = 6) -> Path:
    """Three classes, each third image of which is for testing; serials count a class's images."""
    top = root / "CUB_200_2011"
    paths, labels, split = [], [], []
    for label, bird in enumerate(BIRDS):
        for serial in range(per_class):
            paths.append(f"{bird}/{bird[4:]}_{serial:04}_{7 - serial}.jpg")
            labels.append(label + 1)
            split.append(int(serial % 3 != 1))
            write_image(top / "images" / paths[-1], label, serial)
    for name, values in {
        "images": paths, "image_class_labels": labels, "train_test_split": split, "classes": BIRDS
    }.items():  # fmt: skip
        write_lines(top / f"{name}.txt", [f"{n} {value}" for n, value in enumerate(values, 1)])
    write_lines(top / "bounding_boxes.txt", [f"{n} 0.0 0.0 9.0 9.0" for n in range(1, 3)])
    return top


OBJECTS = ("001.ak47", "002.american-flag", "003.backpack", "257.clutter")


def make_caltech256(root: Path, per_class: int = 6) -> Path:
    """Three classes and clutter, with what else the archive holds; serials count from 1."""
    top = root / "256_ObjectCategories"
    for label, name in enumerate(OBJECTS):
        for serial in range(1, per_class + 1):
            write_image(top / name / f"{name[:3]}_{serial:04}.jpg", label, serial)
    (top / "002.american-flag/greg/vision309").mkdir(parents=True)
    (top / "003.backpack/RENAME2").write_text("mv 1 2\n")
    return top


def make_webvision50(root: Path, per_class: int = 3) -> Path:
    """Classes 0, 1, 48 and 49 of the 50, and 50 and 57, whose images are not there.

    Serial numbers count a class's images.
    """
    top = root / "WebVision"
    write_lines(top / "info/synsets.txt", [f"n{n:08} class {n}, number {n}" for n in range(60)])
    lines = []
    for query, label in enumerate((0, 1, 50, 48, 49, 57), start=1):
        for serial in range(per_class):
            name = f"google/q{query:04}/{'abcdefghijk'[-1 - serial]}-_Q.jpg"
            lines.append(f"{name} {label}")
            if label < 50:
                write_image(top / name, label, serial)
    write_lines(top / "info/train_filelist_google.txt", lines)
    tests = (49, 57, 0, 1, 48, 0, 50, 49)
    names = [f"val{n:06}.jpg" for n in range(1, len(tests) + 1)]
    for serial, (name, label) in enumerate(zip(names, tests, strict=True)):
        if label < 50:
            write_image(top / "val_images_256" / name, label, serial)
    pairs = [f"{name} {label}" for name, label in zip(names, tests, strict=True)]
    write_lines(top / "info/val_filelist.txt", pairs)
    return top


GARMENTS = (
    "T-Shirt", "Shirt", "Knitwear", "Chiffon", "Sweater", "Hoodie", "Windbreaker", "Jacket",
    "Down Coat", "Suit", "Shawl", "Dress", "Vest", "Underwear",
)  # fmt: skip


def make_clothing100k(root: Path, per_class: int = 2, annotations: str = "annotations") -> Path:
    """All 14 classes: training keys by serial number, which count through, then test keys.

    ``annotations`` is the folder of the lists; ``.`` puts them beside the images.
    """
    top = root / "Clothing1M"
    lists = top / annotations
    write_lines(lists / "category_names_eng.txt", GARMENTS)
    noisy = [(f"images/{n % 10}/0{n % 3}/{n}00,77.jpg", 5 * n % 14) for n in range(14 * per_class)]
    test = [(f"images/9/99/{n}.jpg", 13 - n) for n in range(14)]
    for part in (noisy, test):
        for serial, (key, label) in enumerate(part):
            write_image(top / key, label, serial)
    both, unused = (noisy[3][0], 9), ("images/8/88/1.jpg", 3)  # a clean label beside the noisy one
    write_lines(lists / "noisy_train_key_list.txt", [key for key, _ in noisy])
    write_lines(lists / "noisy_label_kv.txt", [f"{k} {v}" for k, v in [*noisy[::-1], unused]])
    write_lines(lists / "clean_test_key_list.txt", [key for key, _ in test])
    write_lines(lists / "clean_val_key_list.txt", [unused[0]])
    write_lines(lists / "clean_train_key_list.txt", [both[0]])
    write_lines(lists / "clean_label_kv.txt", [f"{k} {v}" for k, v in [unused, both, *test[::-1]]])
    return top


def set_line(file: str, number: int, text: str | bytes) -> Callable[[Path], None]:
    """Damage: another text in a line, counted from 1; one past the last adds a line."""

    def damage(top: Path) -> None:
        lines = (top / file).read_bytes().splitlines()
        lines[number - 1 : number] = [text.encode() if isinstance(text, str) else text]
        (top / file).write_bytes(b"\n".join(lines) + b"\n")

    return damage


def drop_line(file: str, number: int) -> Callable[[Path], None]:
    """Damage: a line is gone."""

    def damage(top: Path) -> None:
        lines = (top / file).read_bytes().splitlines(keepends=True)
        del lines[number - 1]
        (top / file).write_bytes(b"".join(lines))

    return damage


def emptied(file: str) -> Callable[[Path], None]:
    """Damage: the file is there, and empty."""
    return lambda top: (top / file).write_bytes(b"\n\n") and None  # type: ignore[return-value]


def removed(path: str) -> Callable[[Path], None]:
    """Damage: a file or a folder is gone."""

    def damage(top: Path) -> None:
        (top / path).rename(top.parent / "gone")

    return damage


def with_crlf(file: str) -> Callable[[Path], None]:
    """No damage: lines end as Windows has them, with a byte order mark and a blank last line."""

    def change(top: Path) -> None:
        data = (top / file).read_bytes().replace(b"\n", b"\r\n")
        (top / file).write_bytes(b"\xef\xbb\xbf" + data + b"\r\n")

    return change


def assert_refused(read: Callable[[], object], *says: str) -> None:
    """The call is refused in one line that says all of these."""
    with pytest.raises(TdctlError) as caught:
        read()
    message = str(caught.value)
    assert "\n" not in message and len(message) < 1000
    for part in says:
        assert part in message, message
