"""Photographs of phones: HEIC with the extra, AVIF, and one line where they cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import refused, tdctl
from PIL import Image, features

from tdctl.config import DataConfig
from tdctl.data import open_dataset, picture
from tdctl.folders import image_suffixes
from tdctl.folders.pictures import readers

COLOURS = {"dark": (40, 20, 10), "light": (200, 220, 240)}


def folder(root: Path, suffix: str) -> Path:
    for name, colour in COLOURS.items():
        (root / name).mkdir(parents=True)
        for number in range(3):
            image = Image.new("RGB", (48, 36), colour)
            image.paste((255, 0, 0), (0, 0, 24, 18))
            image.save(root / name / f"{number}{suffix}")
    return root


@pytest.mark.parametrize("suffix", [".heic", ".HIF", ".avif"])
def test_they_are_read_like_any_other(tmp_path: Path, suffix: str) -> None:
    if suffix == ".avif":
        if not features.check("avif"):
            pytest.skip("this Pillow was built without AVIF")
    else:
        pytest.importorskip("pillow_heif")
        assert "HEIF" in readers()
    data = open_dataset(
        DataConfig(dataset="folder", data_dir=folder(tmp_path / "d", suffix), image_size=16)
    )
    (pixels,) = data.train.batches([np.arange(6)])
    for row in range(6):
        colour = list(COLOURS.values())[data.train.targets[row]]
        assert np.abs(pixels[row, :, 12, 12].numpy().astype(int) - colour).max() < 12
        assert pixels[row, 0, 3, 3] > 230 and pixels[row, 2, 3, 3] < 25


def test_without_the_extra_the_error_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pillow_heif")
    root = folder(tmp_path / "d", ".heic")
    known = tuple(name for name in readers() if name != "HEIF")
    monkeypatch.setattr(picture, "readers", lambda: known)
    asked = ("generate-td", "--data-dir", root, "--out", tmp_path / "r", "--image-size", 16)
    refused(
        tdctl(*asked), "6 images do not decode", "HEIC, which Pillow does not read",
        "pip install 'tdctl[heif]', or give --skip-unreadable",
    )  # fmt: skip


def test_without_avif_in_pillow_the_error_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "d"
    for name in COLOURS:
        (root / name).mkdir(parents=True)
        (root / name / "a.avif").write_bytes(b"\0\0\0\x20ftypavif" + bytes(40))
    known = tuple(name for name in readers() if name != "AVIF")
    monkeypatch.setattr(picture, "readers", lambda: known)
    asked = ("generate-td", "--data-dir", root, "--out", tmp_path / "r")
    refused(tdctl(*asked), "AVIF, which this Pillow was built without", "pip install -U pillow")


def test_they_are_images_by_their_name_in_any_case() -> None:
    assert {".heic", ".heif", ".hif", ".avif"} <= image_suffixes()
