"""Damaged images by the hundred: decoded or listed, and never at the cost of an intact one."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from archives_made import make_cub_200_2011, make_webvision50, set_line
from conftest import make_image_folder, pixels_of, refused, tdctl
from mutations import MUTATIONS, Mutation, chunk
from PIL import Image

from tdctl.config import DataConfig
from tdctl.data import open_dataset
from tdctl.data.decode import Decoder
from tdctl.data.picture import Reading, megapixels
from tdctl.errors import DataError
from tdctl.sources import Files

SIDE = 8
READING = Reading(SIDE, max_pixels=megapixels(None))
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 16, 3)).astype(np.uint8)
PIXELS[:8] = 90
RGB = Image.fromarray(PIXELS)
DEEP = RNG.integers(0, 65536, (12, 16)).astype(np.uint16)
GREY16 = Image.fromarray(DEEP)
PALETTE = RGB.quantize(16)
TURNED = RGB.rotate(180)


def encoded(image: Image.Image, kind: str, **how: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def exif() -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112], tags[0x010E] = 6, "a picture"
    tags.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    return tags


VALID = {
    "rgb.jpg": encoded(RGB, "JPEG", subsampling=0),
    "progressive.jpg": encoded(RGB, "JPEG", progressive=True),
    "cmyk.jpg": encoded(RGB.convert("CMYK"), "JPEG", subsampling=0),
    "turned.jpg": encoded(RGB, "JPEG", exif=exif()),
    "rgb.png": encoded(RGB, "PNG"),
    "grey16.png": encoded(GREY16, "PNG"),
    "palette.png": encoded(PALETTE, "PNG", transparency=bytes(range(0, 160, 10))),
    "turned.png": encoded(RGB.convert("RGBA"), "PNG", exif=exif()),
    "animated.png": encoded(RGB, "PNG", save_all=True, append_images=[TURNED]),
    "palette.gif": encoded(PALETTE, "GIF"),
    "animated.gif": encoded(PALETTE, "GIF", save_all=True, append_images=[PALETTE.rotate(180)]),
    "rgb.bmp": encoded(RGB, "BMP"),
    "palette.bmp": encoded(PALETTE, "BMP"),
    "rgb.tif": encoded(RGB, "TIFF"),
    "grey16.tif": encoded(GREY16, "TIFF"),
    "lzw.tiff": encoded(RGB, "TIFF", compression="tiff_lzw"),
    "lossy.webp": encoded(RGB, "WEBP"),
    "animated.webp": encoded(RGB, "WEBP", save_all=True, append_images=[TURNED], lossless=True),
    "rgb.ppm": encoded(RGB, "PPM"),
    "grey16.pgm": encoded(GREY16, "PPM"),
}


def zeroed(rng: np.random.Generator, content: bytes) -> bytes:
    start, length = int(rng.integers(len(content))), int(rng.integers(1, 200))
    length = min(length, len(content) - start)
    return content[:start] + bytes(length) + content[start + length :]


def head_overwritten(rng: np.random.Generator, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        place = rng.integers(min(len(content), 120))
        changed[place] = rng.choice([0, 1, 127, 128, 255, int(rng.integers(256))])
    return bytes(changed)


OF_BYTES = (
    "bits flipped", "bytes overwritten", "cut short", "cut within", "a part twice", "all twice",
    "zero bytes", "line ends", "line ends of a Mac", "line ends lost", "latin 1",
)  # fmt: skip
KINDS: dict[str, tuple[Mutation, int]] = {
    **{kind: (MUTATIONS[kind], 1) for kind in OF_BYTES},
    "zeroed": (zeroed, 2),
    "head overwritten": (head_overwritten, 5),
}


def mutants(name: str) -> Iterator[bytes]:
    """Malformed copies of a valid image, the same ones in every run."""
    for kind, (mutation, count) in KINDS.items():
        for number in range(count):
            yield mutation(np.random.default_rng([number, *f"{kind}{name}".encode()]), VALID[name])


def png(width: int, height: int, *more: bytes, data: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + body + chunk(b"IEND", b"")


def with_tag(tiff: bytes, tag: int, value: int) -> bytes:
    """A little-endian TIFF in which the value of one tag is another."""
    changed = bytearray(tiff)
    start = struct.unpack_from("<I", tiff, 4)[0]
    for entry in range(struct.unpack_from("<H", tiff, start)[0]):
        place = start + 2 + 12 * entry
        if struct.unpack_from("<H", tiff, place)[0] == tag:
            struct.pack_into("<HII", changed, place + 2, 4, 1, value)
    assert bytes(changed) != tiff
    return bytes(changed)


def patched(content: bytes, place: int, new: bytes) -> bytes:
    return content[:place] + new + content[place + len(new) :]


def with_bad_exif(tags: bytes) -> bytes:
    segment = b"Exif\0\0" + tags
    head = b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment
    return VALID["rgb.jpg"][:2] + head + VALID["rgb.jpg"][2:]


def looped(tiff: bytes) -> bytes:
    start = struct.unpack_from("<I", tiff, 4)[0]
    end = start + 2 + 12 * struct.unpack_from("<H", tiff, start)[0]
    return patched(tiff, end, struct.pack("<I", start))


EMPTY_GIF = b"GIF89a" + struct.pack("<HHBBB", 16, 12, 0, 0, 0) + b";"
LONG_TEXT = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(3_000_000)))
# What says of itself that it is larger than any memory, or than is sane.
ABSURD = {
    "bomb.png": png(60_000, 60_000),
    "wide.png": png(2**31 - 1, 1),
    "text.png": png(16, 12, LONG_TEXT, data=bytes(12 * 49)),
    "bomb.gif": patched(VALID["palette.gif"], 6, b"\xff" * 4),
    "bomb.bmp": patched(VALID["rgb.bmp"], 18, struct.pack("<ii", 2**31 - 1, 2**31 - 1)),
    "tall.bmp": patched(VALID["rgb.bmp"], 22, struct.pack("<i", -(2**31))),
    "bomb.tif": with_tag(with_tag(VALID["rgb.tif"], 256, 60_000), 257, 60_000),
    "bomb.ppm": b"P6\n60000 60000\n255\n" + bytes(99),
    "digits.ppm": b"P6\n" + b"9" * 5000 + b" 12\n255\n",
    "bomb.webp": patched(VALID["animated.webp"], 24, b"\xff" * 6),
    "truncated.png": png(13_000, 13_000),
}
REFUSED = ABSURD | {
    "empty.png": b"",
    "text.jpg": b"no image at all\n",
    "page.jpg": b"<!DOCTYPE html><title>404</title>",
    "no frame.gif": EMPTY_GIF,
    "no width.png": png(0, 12),
    "no side.bmp": patched(VALID["rgb.bmp"], 18, bytes(8)),
    "strips.tif": with_tag(VALID["rgb.tif"], 273, 2**31),
    "float.tif": encoded(Image.fromarray(DEEP.astype(np.float32)), "TIFF"),
    "deep.tif": encoded(Image.fromarray(DEEP.astype(np.int32) << 8), "TIFF"),
    "half.jpg": VALID["rgb.jpg"][: len(VALID["rgb.jpg"]) // 2],
    "zeros.jpg": bytes(4000),
}
ALPHA = Image.new("RGBA", RGB.size, "white")
ALPHA.alpha_composite(Image.open(io.BytesIO(VALID["palette.png"])).convert("RGBA"))
# And what each shows: of moving ones the first picture, of rotated ones the upright.
DECODED: dict[str, tuple[bytes, Any]] = {
    "a png.jpg": (VALID["rgb.png"], PIXELS),
    "a bmp.png": (VALID["rgb.bmp"], PIXELS),
    "more at the end.png": (VALID["rgb.png"] + b"more", PIXELS),
    "animated.png": (VALID["animated.png"], PIXELS),
    "animated.gif": (VALID["animated.gif"], PALETTE.convert("RGB")),
    "animated.webp": (VALID["animated.webp"], PIXELS),
    "turned.png": (VALID["turned.png"], np.rot90(PIXELS, -1)),
    "alpha.png": (VALID["palette.png"], ALPHA.convert("RGB")),
    "grey16.png": (VALID["grey16.png"], (DEEP >> 8)[..., None].repeat(3, 2)),
    "grey16.tif": (VALID["grey16.tif"], (DEEP >> 8)[..., None].repeat(3, 2)),
    "grey16.pgm": (VALID["grey16.pgm"], (DEEP >> 8)[..., None].repeat(3, 2)),
    "strip sizes.tif": (with_tag(VALID["rgb.tif"], 279, 5), PIXELS),
    "looped.tif": (looped(VALID["rgb.tif"]), PIXELS),
    "narrow.png": (encoded(Image.new("RGB", (1, 3000)), "PNG"), np.zeros((3000, 1, 3))),
    "cmyk.jpg": (VALID["cmyk.jpg"], None),
    "exif of nothing.jpg": (with_bad_exif(b""), None),
    "exif cut.jpg": (with_bad_exif(b"MM\0*\0\0\0\x08\0\x09"), None),
    "exif far away.jpg": (with_bad_exif(b"II*\0\xff\xff\xff\x7f"), None),
    "exif of zeros.jpg": (with_bad_exif(bytes(64)), None),
    "exif turned by 77.jpg": (
        with_bad_exif(b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x112, 3, 1, 77) + bytes(4)),
        None,
    ),
}


def all_damaged() -> dict[str, bytes]:
    """Hundreds of files by name; in what they are damaged is known of few."""
    files = {}
    for name in VALID:
        for number, content in enumerate(mutants(name)):
            files[f"{number:02}_{name}"] = content
    files |= {f"x_{name}": content for name, content in REFUSED.items()}
    return files | {f"y_{name}": content for name, (content, _) in DECODED.items()}


@dataclass(frozen=True)
class Damaged:
    """Damaged files in one folder, and which of them decode alone."""

    root: Path
    files: dict[str, bytes]
    decode: dict[str, np.ndarray[Any, Any]]


def alone(root: Path, name: str, size: int | None) -> np.ndarray[Any, Any] | str:
    """Pixels [C, H, W] of one image, or why there are none; by all ways to ask the same."""
    files = Files(root, [name])
    try:
        decoder = Decoder.of(files, size)
    except DataError as error:
        message = str(error)
        whole = "megapixels" in message or "bits a pixel" in message
        what = "is not read (" if whole else "does not decode as an image ("
        assert message.startswith(f"{root}/{name}: {what}"), message
        assert message.isprintable() and len(message) < 500, message
        with pytest.raises(DataError, match=r"does not decode|is not read"):
            Decoder(files, READING, (3, SIDE, SIDE), 0).batch(np.zeros(1, dtype=np.int64))
        assert not Decoder(files, READING, (3, SIDE, SIDE), 0).decodes(0)
        return message
    pixels = decoder.batch(np.zeros(1, dtype=np.int64)).numpy()[0]
    (slab,) = decoder.read_all()
    assert decoder.decodes(0) and (slab[0] == pixels).all()
    return pixels


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Damaged:
    root, files, decode = tmp_path_factory.mktemp("damaged"), all_damaged(), {}
    for name, content in files.items():
        (root / name).write_bytes(content)
        pixels = alone(root, name, SIDE)
        if not isinstance(pixels, str):
            assert pixels.shape == (3, SIDE, SIDE) and pixels.dtype == np.uint8
            decode[name] = pixels
    return Damaged(root, files, decode)


def test_the_damaged_images_are_many_and_of_both_kinds(damaged: Damaged) -> None:
    assert len(set(damaged.files.values()) - set(VALID.values())) > 350
    broken = len(damaged.files) - len(damaged.decode)
    assert broken > 150 and len(damaged.decode) > 100
    assert damaged.files == all_damaged(), "the same in every run"


@pytest.mark.parametrize("name", DECODED)
def test_odd_images_decode_to_what_they_show(damaged: Damaged, name: str) -> None:
    pixels, expected = alone(damaged.root, f"y_{name}", None), DECODED[name][1]
    assert not isinstance(pixels, str), pixels
    if expected is None:
        assert pixels.shape == (3, 12, 16)
        assert np.abs(pixels[:, :8].astype(int) - 90).max() < 3, "lossy, but upright"
    else:
        assert (pixels.transpose(1, 2, 0) == np.asarray(expected)).all()


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_whole_image_is_refused(damaged: Damaged, name: str) -> None:
    assert isinstance(alone(damaged.root, f"x_{name}", SIDE), str)


def whole_image(serial: int, label: int) -> np.ndarray[Any, Any]:
    pixels = np.random.default_rng(serial).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    pixels[0, 0] = label, serial % 256, serial // 256
    return pixels


def folder_among(root: Path, files: dict[str, bytes]) -> dict[str, tuple[int, bool]]:
    """Damaged images with intact ones before and after each few, in two classes and two splits.

    Returns:
        By name below the folder: the label, and whether the image is intact.
    """
    placed = {}
    for number, (name, content) in enumerate(files.items()):
        label, split = number % 2, "test" if number % 7 == 3 else "train"
        folder = root / split / "ab"[label]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:04}_{name}").write_bytes(content)
        placed[f"{split}/{'ab'[label]}/{number:04}_{name}"] = label, False
        if number % 3 == 0:
            whole = f"{number:04}.png"  # sorts before the damaged one of its number
            Image.fromarray(whole_image(number, label)).save(folder / whole)
            placed[f"{split}/{'ab'[label]}/{whole}"] = label, True
    return placed


def opened(root: Path, way: str, **more: Any) -> Any:
    return open_dataset(
        DataConfig(
            dataset="folder", data_dir=root, images=way, cache_dir=root.parent / "cache",
            image_size=SIDE, workers=1, **more,
        )
    )  # fmt: skip


def broken_of(placed: dict[str, tuple[int, bool]], damaged: Damaged) -> set[str]:
    """Those that do not decode alone; their names begin with a number of four digits."""
    names = {name for name, (_, whole) in placed.items() if not whole}
    return {name for name in names if Path(name).name[5:] not in damaged.decode}


@pytest.mark.parametrize(("way", "step"), [("memory", 1), ("cache", 1), ("stream", 6)])
def test_what_does_not_decode_is_listed_and_nothing_else_moves(
    tmp_path: Path, damaged: Damaged, way: str, step: int
) -> None:
    files = dict(list(damaged.files.items())[::step])
    root = tmp_path / "photos"
    placed = folder_among(root, files)
    data = opened(root, way, skip_unreadable=True)
    broken = broken_of(placed, damaged)
    assert {one.file_name for one in data.skipped} == broken and len(broken) > 20
    for one in data.skipped:
        assert one.reason and one.reason.isprintable() and len(one.reason) < 300
        assert "0x" not in one.reason, "the same in every run"
    seen = 0
    for split, images, names in (
        ("train", data.train, data.file_names), ("test", data.test, data.test_names),
    ):  # fmt: skip
        listed = sorted(name for name in placed if name.startswith(split))
        assert names == [name for name in listed if name not in broken]
        assert [listed[index] for index in images.index] == names, "each keeps its index"
        assert images.targets.tolist() == [placed[name][0] for name in names]
        for name, pixels in zip(names, pixels_of(images).numpy(), strict=True):
            label, whole = placed[name]
            if whole:
                seen += 1
                expected = whole_image(int(Path(name).name[:4]), label).transpose(2, 0, 1)
            else:
                expected = damaged.decode[Path(name).name[5:]]
            assert (pixels == expected).all(), name
    assert seen == sum(whole for _, whole in placed.values())
    assert data.labels.assigned.tolist() == data.labels.true.tolist() == data.train.targets.tolist()


@pytest.mark.parametrize("way", ["memory", "cache"])
def test_without_skipping_one_line_names_all(tmp_path: Path, damaged: Damaged, way: str) -> None:
    files = dict(list(damaged.files.items())[::6])
    placed = folder_among(tmp_path / "photos", files)
    broken = broken_of(placed, damaged)
    with pytest.raises(DataError) as caught:
        opened(tmp_path / "photos", way)
    message = str(caught.value)
    assert message.isprintable() and message.startswith(f"{len(broken)} images do not decode: ")
    assert {name for name in placed if f"/{name}," in message or f"/{name} (" in message} == broken


def test_streamed_what_does_not_decode_ends_the_pass_in_one_line(
    tmp_path: Path, damaged: Damaged
) -> None:
    root = tmp_path / "photos"
    placed = folder_among(root, {"a.jpg": VALID["rgb.jpg"], "b.png": ABSURD["bomb.png"]})
    assert len(placed) == 3
    with pytest.raises(DataError, match=r"0001_b\.png: is not read .*megapixels") as caught:
        opened(root, "stream")
    assert str(caught.value).isprintable()


def test_absurd_sizes_take_no_memory(tmp_path: Path) -> None:
    for name, content in ABSURD.items():
        (tmp_path / name).write_bytes(content)
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from tdctl.data.decode import Decoder\n"
        "from tdctl.errors import DataError\n"
        "from tdctl.sources import Files\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "before = peak()\n"
        "for name in sys.argv[2:]:\n"
        "    try:\n        Decoder.of(Files(Path(sys.argv[1]), [name]), 8)\n"
        "    except DataError:\n        print(name)\n"
        "print(peak() - before)"
    )
    outcome = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, tmp_path, *ABSURD],
        capture_output=True, text=True, timeout=120, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr
    *names, megabytes = outcome.stdout.split("\n")[:-1]
    assert names == list(ABSURD)
    assert int(megabytes) < 100


SMALL = ("--recipe", "paper", "--depth", 8, "--epochs", 1, "--no-amp", "--quiet")


def test_a_damaged_folder_reaches_the_command_line(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path / "photos")
    broken = ["train/dark/bomb.png", "train/light/text.jpg", "test/dark/no frame.gif"]
    for name in broken:
        (root / name).write_bytes(REFUSED[Path(name).name])
    for name in ("animated.gif", "exif cut.jpg", "cmyk.jpg"):
        (root / "train/dark" / name).write_bytes(DECODED[name][0])
    run = ("generate-td", "--dataset", "folder", "--data-dir", root, "--image-size", 8, *SMALL)
    refused(tdctl(*run, "--out", tmp_path / "r"), "3 images do not decode", *broken)
    assert not (tmp_path / "r").exists()
    result = tdctl(*run, "--out", tmp_path / "r", "--skip-unreadable")
    assert result.exit_code == 0, result.output
    assert "3 images do not decode and were left out" in result.stderr
    table = pd.read_csv(tmp_path / "r" / "skipped.csv")
    assert set(table["file_name"]) == set(broken)
    assert len(pd.read_csv(tmp_path / "r" / "samples.csv")) == 15


def test_damaged_file_lists_reach_the_command_line(tmp_path: Path) -> None:
    birds, web = make_cub_200_2011(tmp_path / "birds"), make_webvision50(tmp_path / "web")
    damage = [
        ("cub-200-2011", birds, "images.txt", 3, b"3"),
        ("cub-200-2011", birds, "image_class_labels.txt", 2, "2 99"),
        ("cub-200-2011", birds, "train_test_split.txt", 5, b"\xff\xfe"),
        ("webvision50", web, "info/train_filelist_google.txt", 1, "google/../x.jpg 0"),
        ("webvision50", web, "info/val_filelist.txt", 2, "val000002.jpg zero"),
    ]
    for name, top, file, line, text in damage:
        intact = (top / file).read_bytes()
        set_line(file, line, text)(top)
        given = ("--dataset", name, "--data-dir", top, "--noise-ratio", 0.2)
        result = tdctl("corrupt", *given, "--out", tmp_path / "n.csv")
        refused(result, f"{top / file}", f"line {line}")
        (top / file).write_bytes(intact)
        assert tdctl("corrupt", *given, "--out", tmp_path / "n.csv", "--dry-run").exit_code == 0
    assert not (tmp_path / "n.csv").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"file_name,label\ntrain/dark/000_dark.jpg\n", "line 2 has 1 values"),
        (b"file_name,label\ntrain/dark/000_dark.jpg,dark\0\n", "line 2 holds a zero byte"),
        (b"file_name,label\n../photos/x.png,dark\n", "leads out of a folder"),
        ("file_name,label\ntrain/dark/000_dark.jpg,é\n".encode("latin-1"), "not UTF-8"),
        (b"", "the table is empty"),
    ],
)
def test_damaged_tables_reach_the_command_line(tmp_path: Path, text: bytes, says: str) -> None:
    root, table = make_image_folder(tmp_path / "photos"), tmp_path / "t.csv"
    table.write_bytes(text)
    given = ("--dataset", "table", "--data-dir", root, "--labels", table)
    refused(tdctl("generate-td", *given, *SMALL, "--out", tmp_path / "r"), str(table), says)
    assert not (tmp_path / "r").exists()
