"""Width and height from the first bytes of a file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tdctl.data.headers import first_other_size, size_in
from tdctl.sources import Files


def encoded(size: tuple[int, int], kind: str, mode: str = "RGB", **more: object) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, kind, **more)
    return file.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (300, 7), (4000, 3000)])
def test_the_size_is_the_one_that_pillow_reads(size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "x" * 900
    for content in (
        encoded(size, "PNG"), encoded(size, "PNG", "P"), encoded(size, "JPEG"),
        encoded(size, "JPEG", "L"), encoded(size, "JPEG", progressive=True),
        encoded(size, "JPEG", exif=exif, comment=b"y" * 500),
    ):  # fmt: skip
        assert size_in(content[:4096]) == size


def test_what_the_bytes_do_not_tell_is_none() -> None:
    jpeg = encoded((9, 9), "JPEG")
    for head in (b"", b"\xff\xd8", jpeg[:30], b"\xff\xd8" + bytes(40), encoded((9, 9), "GIF"),
                 b"\x89PNG\r\n\x1a\n" + bytes(40)):  # fmt: skip
        assert size_in(head) is None


def test_the_first_picture_of_another_size(tmp_path: Path) -> None:
    names = [f"{number:03}.{'png' if number % 2 else 'gif'}" for number in range(40)]
    for name in names:
        Image.new("RGB", (8, 6)).save(tmp_path / name)
    (tmp_path / names[5]).write_bytes(b"none")
    (tmp_path / names[6]).unlink()
    files = Files(tmp_path, names)
    assert first_other_size(files, (8, 6), None) is None
    assert first_other_size(files, (6, 8), None) == (8, 6)
    Image.new("RGB", (8, 7)).save(tmp_path / names[38])
    assert first_other_size(files, (8, 6), None) == (8, 7)
    assert first_other_size(files.take(np.arange(38)), (8, 6), None) is None
