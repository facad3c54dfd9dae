"""Large JPEGs are decoded at a reduced size: nearly the same pixels, in a fraction of the work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import pixels_of, tiny_config
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from tdctl import runner
from tdctl.config import DataConfig
from tdctl.data import DataSet, open_dataset
from tdctl.data.picture import Fit, Reading, quiet, read_rgb
from tdctl.errors import DataError, RunError
from tdctl.run import read_config
from tdctl.settings import load_config
from tdctl.sources import Files


def scene(serial: int, size: tuple[int, int]) -> Image.Image:
    """Coloured shapes under grain, as large as a photograph."""
    rng = np.random.default_rng(serial)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3)).astype(np.uint8))
    whole = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC)).astype(np.int16)
    grain = rng.normal(0, 8, whole.shape)
    return Image.fromarray(np.clip(whole + grain, 0, 255).astype(np.uint8))


def written(path: Path, image: Image.Image, turn: int = 1, **more: Any) -> Path:
    exif = Image.Exif()
    exif[0x0112] = turn
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=92, exif=exif, **more)
    return path


def pixels(path: Path, size: int, fit: Fit = "crop", reduced: bool = True) -> NDArray[np.uint8]:
    with quiet():
        reading = Reading(size=size, fit=fit, reduced=reduced)
        return read_rgb(Files(path.parent, [path.name]), 0, reading)


def decoded_sizes(path: Path, monkeypatch: pytest.MonkeyPatch, **how: Any) -> tuple[int, int]:
    """The size to which Pillow decodes a picture."""
    seen: list[tuple[int, int]] = []
    turned = ImageOps.exif_transpose

    def watched(image: Image.Image, *, in_place: bool) -> Any:
        seen.append(image.size)
        return turned(image, in_place=in_place)

    with monkeypatch.context() as patch:
        patch.setattr(ImageOps, "exif_transpose", watched)
        pixels(path, **how)
    return seen[0]


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
@pytest.mark.parametrize("size", [(1600, 1200), (1200, 1600), (2000, 500), (997, 1003)])
def test_the_pixels_are_nearly_those_of_the_whole_picture(
    tmp_path: Path, size: tuple[int, int], fit: Fit
) -> None:
    path = written(tmp_path / "a.jpg", scene(1, size), progressive=True)
    whole, less = (pixels(path, 48, fit, reduced).astype(int) for reduced in (False, True))
    assert whole.shape == less.shape == (48, 48, 3)
    # A size that eight does not divide is rounded up: the far edge moves by a part of a pixel.
    even = all(side % 8 == 0 for side in size)
    assert np.abs(whole - less).mean() < (1 if even else 2) and np.abs(whole - less).max() <= 16
    assert np.abs(whole.mean((0, 1)) - less.mean((0, 1))).max() < 0.5


@pytest.mark.parametrize(
    ("size", "side", "fit", "decoded"),
    [
        ((1600, 1200), 64, "crop", (200, 150)),
        ((1600, 1200), 80, "crop", (400, 300)),
        ((1600, 1200), 64, "pad", (200, 150)),
        ((1600, 1200), 100, "pad", (200, 150)),
        ((1600, 1200), 300, "crop", (800, 600)),
        ((1600, 1200), 301, "crop", (1600, 1200)),
        ((1600, 400), 64, "squash", (534, 134)),
        ((256, 256), 64, "crop", (128, 128)),
        ((255, 256), 64, "crop", (255, 256)),
        ((64, 64), 64, "crop", (64, 64)),
    ],
)
def test_at_least_twice_the_wanted_size_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], side: int, fit: Fit,
    decoded: tuple[int, int],
) -> None:  # fmt: skip
    path = written(tmp_path / "a.jpg", Image.new("RGB", size))
    found = decoded_sizes(path, monkeypatch, size=side, fit=fit)
    if size == (1600, 400):
        decoded = (400, 100) if found == (400, 100) else (800, 200)
        assert min(found) >= 2 * side
    assert found == decoded
    full = decoded_sizes(path, monkeypatch, size=side, fit=fit, reduced=False)
    assert full == size


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_turned_photograph_is_upright(tmp_path: Path, turn: int) -> None:
    left = Image.new("RGB", (1200, 900), "black")
    left.paste((255, 0, 0), (0, 0, 600, 450))
    left.paste((0, 255, 0), (600, 0, 1200, 450))
    path = written(tmp_path / "a.jpg", left.filter(ImageFilter.GaussianBlur(3)), turn)
    whole, less = (pixels(path, 32, "squash", reduced).astype(int) for reduced in (False, True))
    upright = ImageOps.exif_transpose(Image.open(path)).resize((2, 2), Image.Resampling.BOX)
    corners = less[[8, 8, 24, 24], [8, 24, 8, 24]].reshape(2, 2, 3)
    assert np.abs(corners - np.asarray(upright).astype(int)).max() < 16
    assert np.abs(whole - less).mean() < 1


def test_other_formats_and_modes_are_read_as_before(tmp_path: Path) -> None:
    image = scene(2, (640, 480))
    for name, made in {
        "a.png": image, "g.jpg": image.convert("L"), "c.jpg": image.convert("CMYK"),
        "p.png": image.convert("P"), "w.webp": image,
    }.items():  # fmt: skip
        made.save(tmp_path / name)
        whole, less = (
            pixels(tmp_path / name, 32, "crop", how).astype(int) for how in (False, True)
        )
        assert np.abs(whole - less).mean() < (1 if name.endswith("jpg") else 1e-9)


def photos(root: Path, count: int = 16, size: tuple[int, int] = (320, 240)) -> Path:
    for number in range(count):
        split = "train" if number < count * 3 // 4 else "test"
        written(root / split / "ab"[number % 2] / f"{number:03}.jpg", scene(number, size))
    return root


def read(root: Path, decode: str, images: str = "memory") -> DataSet:
    return open_dataset(
        DataConfig(
            dataset="folder", data_dir=root, image_size=24, images=images, decode=decode,
            cache_dir=root.parent / "cache",
        )
    )  # fmt: skip


def test_the_cache_and_the_fingerprint_know_how_the_pictures_were_decoded(tmp_path: Path) -> None:
    root = photos(tmp_path / "photos")
    whole, less = read(root, "full", "cache"), read(root, "reduced", "cache")
    assert len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()]) == 2
    for data, decode in ((whole, "full"), (less, "reduced")):
        held = read(root, decode)
        assert (pixels_of(held.train) == pixels_of(data.train)).all()
        assert held.fingerprint() == data.fingerprint()
        assert held.pixel_digest() == data.pixel_digest()
    assert (pixels_of(whole.train) != pixels_of(less.train)).any()
    assert whole.fingerprint() != less.fingerprint()
    assert "large JPEGs decoded" in less.reading and not whole.reading


def test_a_run_keeps_to_the_way_it_began_with(tmp_path: Path) -> None:
    settings = {
        "data__dataset": "folder", "data__data_dir": str(photos(tmp_path / "photos")),
        "data__limit": None, "data__image_size": 24, "train__epochs": 1,
    }  # fmt: skip
    config, out = tiny_config(**settings, data__decode="full"), tmp_path / "run"
    runner.generate_td(config, out)
    with pytest.raises(RunError, match=r"data\.decode: full, now reduced"):
        runner.generate_td(tiny_config(**settings), out, resume=True)
    # A run of a version before there were two ways decoded whole pictures.
    file = out / "config.yaml"
    tree = yaml.safe_load(file.read_text())
    del tree["data"]["decode"]
    file.write_text(yaml.safe_dump(tree))
    assert read_config(out).data.decode == "full"
    assert runner.generate_td(config, out, resume=True).notes == ("already complete",)
    again = load_config(None, runner.settings_of_run(out))
    assert again.data.decode == "full"
    other = again.model_copy(update={"data": again.data.model_copy(update={"decode": "reduced"})})
    with pytest.raises(DataError, match="large JPEGs decoded, pixels differ"):
        runner.denoise(other, out, runner_score(), [0.2], out=tmp_path / "d", dry_run=True)
    assert runner.denoise(again, out, runner_score(), [0.2], out=tmp_path / "d", dry_run=True).rows
    # Without a size, nothing was ever reduced.
    tree["data"]["image_size"] = None
    file.write_text(yaml.safe_dump(tree))
    assert read_config(out).data.decode == "reduced"


def runner_score() -> Any:
    from tdctl.scores import find_score

    return find_score("aum")
