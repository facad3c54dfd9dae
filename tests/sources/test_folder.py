from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_image_folder, pixels_of
from PIL import Image

from tdctl.config import DataConfig
from tdctl.data import open_dataset
from tdctl.errors import DataError


def config(root: Path, **more: Any) -> DataConfig:
    return DataConfig(dataset="folder", data_dir=root, **more)


def test_train_and_test_folders(tmp_path: Path) -> None:
    data = open_dataset(config(make_image_folder(tmp_path)))
    assert data.class_names == ["dark", "light"]
    assert pixels_of(data.train).shape == (12, 3, 12, 12)
    assert data.train.targets.tolist() == [0] * 6 + [1] * 6
    assert data.file_names is not None and data.file_names[0] == "train/dark/000_dark.jpg"
    assert data.test is not None and len(data.test) == 12
    means = pixels_of(data.train).float().mean(dim=(1, 2, 3))
    assert (means[:6] < 120).all() and (means[6:] > 120).all(), "pixels belong to their rows"


def test_val_serves_as_test_set(tmp_path: Path) -> None:
    make_image_folder(tmp_path)
    (tmp_path / "test").rename(tmp_path / "val")
    data = open_dataset(config(tmp_path))
    assert data.test is not None and len(data.test) == 12


def test_classes_without_splits_hold_out_a_fixed_share_of_each(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path, per_class=10, test=False)
    data = open_dataset(config(root, test_share=0.3))
    assert data.test is not None
    assert np.bincount(data.test.targets).tolist() == [3, 3]
    assert set(data.train.index) | set(data.test.index) == set(range(20))
    assert not set(data.train.index) & set(data.test.index)
    assert any("--test-share 0" in note for note in data.notes)
    everything = open_dataset(config(root, test_share=0.0))
    assert everything.test is None and len(everything.train) == 20


def test_limit_takes_the_first_by_file_name_and_keeps_the_index(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path)
    data = open_dataset(config(root, limit=5))
    assert data.file_names is not None
    names = [Path(name).name for name in data.file_names]
    assert sorted(names) == [
        "000_dark.jpg", "000_light.jpg", "001_dark.png", "001_light.png", "002_dark.jpg",
    ]  # fmt: skip
    full = open_dataset(config(root))
    assert (pixels_of(full.train)[data.train.index] == pixels_of(data.train)).all()


def test_a_limit_that_loses_classes_says_so(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path)
    (root / "train/third").mkdir()
    Image.new("RGB", (12, 12), 3).save(root / "train/third/zz.png")
    data = open_dataset(config(root, limit=4))
    assert any("2 of 3 classes" in note for note in data.notes)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "LA"])
def test_other_colour_modes_are_read_as_rgb(tmp_path: Path, mode: str) -> None:
    root = make_image_folder(tmp_path)
    suffix = "tif" if mode == "CMYK" else "png"
    Image.new("RGB", (12, 12), (200, 10, 10)).convert(mode).save(root / f"train/dark/z.{suffix}")
    assert open_dataset(config(root)).train.shape == (3, 12, 12)


def test_deep_greyscale_is_scaled_not_clipped(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path)
    ramp = np.linspace(0, 65535, 144).reshape(12, 12).astype(np.uint16)
    Image.fromarray(ramp).save(root / "train/dark/zz.png")
    pixels = pixels_of(open_dataset(config(root)).train)[6, 0].numpy()
    assert (pixels == ramp >> 8).all()
    Image.fromarray(ramp.astype(np.float32)).save(root / "train/dark/zzz.tif")
    with pytest.raises(DataError, match=r"zzz\.tif: .*floating point"):
        open_dataset(config(root))


def test_a_palette_with_transparency_warns_of_nothing(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path)
    image = Image.new("P", (12, 12))
    image.save(root / "train/dark/zz.png", transparency=bytes([0, 128, 255]))
    assert len(open_dataset(config(root)).train) == 13


def test_a_name_that_is_no_utf8_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path)
    name = os.fsdecode(os.fsencode(root) + b"/train/dark/\xff.png")
    Image.new("RGB", (12, 12)).save(name)
    with pytest.raises(DataError, match="not valid UTF-8"):
        open_dataset(config(root))


def test_linked_class_folders_are_followed_and_any_language_is_read(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path / "a")
    (root / "train/dark").rename(tmp_path / "elsewhere")
    (root / "train/猫 [x]").symlink_to(tmp_path / "elsewhere")
    (root / "test/dark").rename(root / "test/猫 [x]")
    data = open_dataset(config(root))
    assert data.class_names == ["light", "猫 [x]"] and len(data.train) == 12


def test_images_beyond_the_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tdctl.data.image_storage.available_memory", lambda: 5000)
    with pytest.raises(DataError, match="--image-size"):
        open_dataset(config(make_image_folder(tmp_path), images="memory"))


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path)
    image = Image.new("RGB", (12, 12))
    image.paste((255, 255, 255), (0, 0, 12, 6))  # white on top
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    image.save(root / "train/dark/zz.png", exif=exif)
    pixels = pixels_of(open_dataset(config(root)).train)[6]
    assert pixels[:, :5].float().mean() < 50 < 200 < pixels[:, 7:].float().mean()


def test_sizes_are_brought_to_one_only_when_asked(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path)
    Image.new("RGB", (40, 20)).save(root / "train/light/zz.png")
    with pytest.raises(DataError, match=r"zz\.png has 40x20 pixels .* --image-size"):
        open_dataset(config(root))
    assert pixels_of(open_dataset(config(root, image_size=16)).train).shape == (13, 3, 16, 16)


def test_files_that_are_no_images_are_left_out_and_named(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path)
    (root / "train/dark/Thumbs.db").write_text("x")
    (root / "train/dark/.hidden.png").write_text("x")
    data = open_dataset(config(root))
    assert len(data.train) == 12
    assert any("Thumbs.db" in note for note in data.notes)


def no_folder(root: Path) -> None:
    (root / "train").rename(root.parent / "gone")
    (root / "test").rename(root.parent / "gone2")
    root.rmdir()


def broken_image(root: Path) -> None:
    (root / "train/light/003_light.png").write_bytes(b"\x89PNG not really")


def truncated_image(root: Path) -> None:
    path = root / "train/light/002_light.jpg"
    path.write_bytes(path.read_bytes()[:-80])


def empty_image(root: Path) -> None:
    (root / "test/dark/000_dark.jpg").write_bytes(b"")


def postscript(root: Path) -> None:
    (root / "test/dark/000_dark.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 12 12\n%%EndComments\nshowpage\n%%EOF\n"
    )


def empty_class(root: Path) -> None:
    (root / "train/medium").mkdir()


def unknown_test_class(root: Path) -> None:
    (root / "test/medium").mkdir()
    Image.new("RGB", (12, 12)).save(root / "test/medium/a.png")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (no_folder, r"no such folder; expected DIR/train/<class>"),
        (broken_image, r"003_light\.png: does not decode"),
        (truncated_image, r"002_light\.jpg: does not decode.*truncated"),
        (empty_image, r"000_dark\.jpg: does not decode"),
        (postscript, r"000_dark\.jpg: does not decode .*no known image format"),
        (empty_class, r"medium: the class has no image"),
        (unknown_test_class, r"medium: the training images have no class"),
    ],
)
def test_bad_folders_are_refused_by_name(tmp_path: Path, damage: Any, says: str) -> None:
    root = make_image_folder(tmp_path / "images")
    damage(root)
    with pytest.raises(DataError, match=says) as caught:
        open_dataset(config(root))
    assert "\n" not in str(caught.value)


def test_a_folder_without_classes_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no class folders.*DIR/<class>/<image>"):
        open_dataset(config(tmp_path))
