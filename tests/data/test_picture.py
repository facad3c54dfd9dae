"""A picture is read as a person sees it: its form, its depth, its size, its shape."""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import pixels_of, refused, tdctl, tiny_config
from mutations import chunk
from numpy.typing import NDArray
from PIL import Image

from tdctl import runner
from tdctl.config import DataConfig
from tdctl.data import DataSet, open_dataset
from tdctl.data.decode import Decoder
from tdctl.data.picture import quiet
from tdctl.errors import ConfigError, DataError
from tdctl.settings import load_config
from tdctl.sources import Files

WAYS = ("memory", "cache", "stream")
Grey = NDArray[np.uint8]


def form(serial: int, side: int = 12) -> Grey:
    """A blurred square somewhere, uint8 [side, side]."""
    at = np.random.default_rng(serial).integers(2, side - 5, 2)
    values = np.zeros((side, side), np.uint8)
    values[at[0] : at[0] + 4, at[1] : at[1] + 4] = 255
    values[at[0], at[1]] = 100 + serial % 50
    return values


def folder(root: Path, write: Callable[[int, Path], object], count: int = 12) -> Path:
    """Two classes in both splits; ``write`` gets a number and a path without a suffix."""
    for number in range(count):
        split = "train" if number < count * 2 // 3 else "test"
        place = root / split / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        write(number, place / f"{number:03}")
    return root


def read(root: Path, way: str = "memory", **more: Any) -> DataSet:
    return open_dataset(
        DataConfig(dataset="folder", data_dir=root, images=way, cache_dir=root.parent / "c", **more)
    )


def grey(data: DataSet) -> Grey:
    """The first channel of all training images."""
    return pixels_of(data.train)[:, 0].numpy()


def numbers(data: DataSet) -> list[int]:
    return [int(Path(name).stem) for name in data.file_names or []]


def noted(data: DataSet, *texts: str) -> str:
    (note,) = [note for note in data.notes if all(text in note for text in texts)]
    assert "\n" not in note
    return note


# Pictures whose form is in the alpha channel alone, of a colour that is black unless told.


def rgba(alpha: Grey, value: int = 0) -> Image.Image:
    colour = np.full((*alpha.shape, 3), value, np.uint8)
    return Image.fromarray(np.dstack([colour, alpha]))


def la(alpha: Grey) -> Image.Image:
    return Image.fromarray(np.dstack([np.zeros_like(alpha), alpha]))


def palette(alpha: Grey) -> tuple[Image.Image, dict[str, Any]]:
    """Index i is black with the opacity i."""
    image = Image.fromarray(alpha).convert("P")
    image.putdata(alpha.ravel().tolist())
    image.putpalette([0] * 768)
    return image, {"transparency": bytes(range(256))}


def key(alpha: Grey) -> tuple[Image.Image, dict[str, Any]]:
    """RGB of which one colour is see-through; black beside nearly black."""
    rgb = np.repeat((alpha < 128)[..., None], 3, 2).astype(np.uint8)
    return Image.fromarray(rgb), {"transparency": (1, 1, 1)}


def one_grey(alpha: Grey) -> tuple[Image.Image, dict[str, Any]]:
    return Image.fromarray((alpha < 128).astype(np.uint8)), {"transparency": 1}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("make", "suffix"),
    [
        (rgba, "png"), (la, "png"), (palette, "png"), (key, "png"), (one_grey, "png"),
        (rgba, "webp"), (rgba, "tif"),
    ],
)  # fmt: skip
def test_a_form_in_alpha_alone_is_black_on_white(
    tmp_path: Path, way: str, make: Callable[[Grey], Any], suffix: str
) -> None:
    def write(number: int, path: Path) -> None:
        made = make(form(number))
        image, how = made if isinstance(made, tuple) else (made, {})
        lossless = {"lossless": True, "exact": True} if suffix == "webp" else {}
        image.save(path.with_suffix(f".{suffix}"), **how, **lossless)

    data = read(folder(tmp_path / "d", write), way)
    expected = np.stack([255 - form(number) for number in numbers(data)])
    if make in (key, one_grey):
        expected = np.where(expected > 127, 255, 0)
    assert np.abs(grey(data).astype(int) - expected).max() <= 1
    assert "12 images have transparent parts: all such are laid on white" in noted(data, "laid")
    assert not [note for note in data.notes if "one colour" in note]


def test_white_forms_are_laid_on_black_and_a_mixture_on_a_ground_that_shows_all(
    tmp_path: Path,
) -> None:
    for name, values, ground in (
        ("white", [255], "black"), ("both", [0, 255], "grey"), ("three", [0, 128, 255], "magenta"),
    ):  # fmt: skip
        root = folder(
            tmp_path / name,
            lambda n, path, values=values: rgba(form(n), values[n % len(values)]).save(
                f"{path}.png"
            ),
        )
        data = read(root)
        assert f"laid on {ground}, where fewer lose" in noted(data, "laid")
        pixels = pixels_of(data.train).flatten(2)
        contrast = (pixels.amax(2).int() - pixels.amin(2).int()).amax(1)
        assert int(contrast.min()) > 60, "every form shows"


def test_pictures_without_a_transparent_pixel_keep_their_bits_and_are_not_mentioned(
    tmp_path: Path,
) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (12, 12, 12, 3)).astype(np.uint8)
    opaque = np.full((12, 12, 1), 255, np.uint8)

    def write(number: int, path: Path) -> None:
        whole = colours[number]
        pixels = (whole, np.dstack([whole, opaque]))[number // 2 % 2]
        Image.fromarray(pixels).save(f"{path}.png")

    data = read(folder(tmp_path / "d", write))
    assert (pixels_of(data.train).permute(0, 2, 3, 1).numpy() == colours[numbers(data)]).all()
    assert len(data.notes) == 1 and "ground" not in str(data.identity())


def test_the_ground_is_one_for_a_data_set_and_its_padding(tmp_path: Path) -> None:
    def write(number: int, path: Path) -> None:
        rgba(np.hstack([form(number), form(number)])).save(f"{path}.png")

    data = read(folder(tmp_path / "d", write), image_size=12, fit="pad")
    assert (grey(data)[:, :3] == 255).all() and (grey(data)[:, -3:] == 255).all()
    assert grey(data)[:, 3:9].min() < 100
    assert "ground of transparent images" in data.identity()


# Deep greyscale.


def deep(factor: int) -> Callable[[int, Path], None]:
    def write(number: int, path: Path) -> None:
        suffix = ("png", "tif", "pgm")[number % 2]
        values = np.arange(144, dtype=np.uint16).reshape(12, 12) + number
        Image.fromarray(values * np.uint16(factor)).save(f"{path}.{suffix}")

    return write


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("factor", "bits"), [(1, 8), (4, 10), (16, 12), (64, 14), (256, 16)]
)  # fmt: skip
def test_deep_greyscale_keeps_its_levels_by_the_range_of_the_data_set(
    tmp_path: Path, way: str, factor: int, bits: int
) -> None:
    data = read(folder(tmp_path / "d", deep(factor)), way)
    expected = np.arange(144).reshape(1, 12, 12) + np.array(numbers(data))[:, None, None]
    assert (grey(data) == expected).all()
    assert ("bits in use of 16" in data.identity()) == (bits < 16)
    if bits < 16:
        assert f"taken for {bits} bits" in noted(data, "16 bits a pixel")


def test_the_deepest_value_of_all_decides_a_test_picture_too(tmp_path: Path) -> None:
    root = folder(tmp_path / "d", deep(16))
    last = max(root.glob("test/*/*.png"))
    values = np.full((12, 12), 65535, np.uint16)
    values[0, 0] = 0
    Image.fromarray(values).save(last)
    data = read(root)
    assert grey(data).max() <= (16 * 160) >> 8, "divided by 256 as the rest is"
    assert not [note for note in data.notes if "16 bits" in note]
    eight = np.arange(144, dtype=np.uint8).reshape(12, 12)
    Image.fromarray(eight).save(root / "train/a/shallow.png")
    whole = read(root)
    assert (grey(whole)[numbers_of(whole).index("shallow")] == eight).all(), "8 bits stay 8 bits"


def numbers_of(data: DataSet) -> list[str]:
    return [Path(name).stem for name in data.file_names or []]


def test_a_decoder_of_some_files_finds_their_range_itself(tmp_path: Path) -> None:
    root = folder(tmp_path / "d", deep(1))
    names = sorted(path.relative_to(root).as_posix() for path in root.glob("train/*/*"))
    (slab,) = Decoder.of(Files(root, names), None).read_all()
    assert len(np.unique(slab[0])) == 144


def test_one_value_of_deep_greyscale_may_be_transparent(tmp_path: Path) -> None:
    def write(number: int, path: Path) -> None:
        values = np.where(form(number) > 0, 9, 500).astype(np.uint16)
        Image.fromarray(values).save(f"{path}.png", transparency=500)

    data = read(folder(tmp_path / "d", write))
    assert set(np.unique(grey(data))) == {9 >> 2, 255}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.linspace(0, 1, 144, dtype=np.float32), "32-bit floating point"),
        (np.linspace(-1024, 3071, 144).astype(np.int32), "values from -1024 to 3071"),
        (np.linspace(0, 1e6, 144).astype(np.int32), "values from 0 to 1000000"),
    ],
)
def test_what_has_no_known_range_is_one_line_with_the_way_out(
    tmp_path: Path, values: NDArray[Any], says: str
) -> None:
    root = folder(tmp_path / "d", deep(1))
    Image.fromarray(values.reshape(12, 12)).save(root / "train/a/odd.tif")
    with pytest.raises(DataError) as caught:
        read(root)
    assert says in str(caught.value) and "write it with 8 or 16 bits a pixel" in str(caught.value)
    assert "broken" not in str(caught.value) and "\n" not in str(caught.value)


def test_sixteen_bits_a_channel_in_colour_say_which_are_read(tmp_path: Path) -> None:
    def write(number: int, path: Path) -> None:
        values = np.full((12, 12, 3), 256 * number + 7, ">u2")
        lines = b"".join(b"\0" + line.tobytes() for line in values)
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", 12, 12, 16, 2, 0, 0, 0))
        body = chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
        path.with_suffix(".png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + body)

    data = read(folder(tmp_path / "d", write))
    assert grey(data)[:, 0, 0].tolist() == numbers(data)
    assert "12 images have 16 bits a channel in colour" in noted(data, "upper 8 are read")


# Large ones.


def test_a_large_picture_names_the_limit_and_is_read_with_another(tmp_path: Path) -> None:
    root = folder(tmp_path / "d", deep(1))
    Image.new("1", (2000, 600)).save(root / "train/a/scan.png")
    Image.new("1", (2000, 900)).save(root / "train/b/scan.png")
    sized = ("--dataset", "folder", "--data-dir", root, "--image-size", 12)
    run = ("generate-td", *sized, "--max-megapixels", 1, "--out", tmp_path / "r")
    says = "2 images do not decode: ", "1.20 megapixels", "limit of 1.00", "--max-megapixels 2 to"
    refused(tdctl(*run), *says)
    with pytest.raises(DataError, match=r"scan\.png: is not read \(1\.80 megapixels"):
        read(root, image_size=12, max_megapixels=1.5)
    assert len(read(root, image_size=12, max_megapixels=1.8).train) == 10
    kept = read(root, image_size=12, max_megapixels=1, skip_unreadable=True)
    assert [one.file_name for one in kept.skipped] == ["train/a/scan.png", "train/b/scan.png"]


def test_the_cache_keeps_no_picture_that_a_lower_limit_refuses(tmp_path: Path) -> None:
    root = folder(tmp_path / "d", deep(1))
    Image.new("1", (2000, 600)).save(root / "train/a/scan.png")
    assert len(read(root, "cache", image_size=12).train) == 9
    with pytest.raises(DataError, match="megapixels"):
        read(root, "cache", image_size=12, max_megapixels=1)


def test_pillows_own_limit_holds_where_none_is_given_and_is_there_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder(tmp_path / "d", deep(1))
    Image.new("1", (2000, 600)).save(root / "train/a/scan.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500_000)
    with pytest.raises(DataError, match=r"1\.20 megapixels, over the limit of 1\.00"):
        read(root, image_size=12)
    assert len(read(root, image_size=12, max_megapixels=2).train) == 9
    assert Image.MAX_IMAGE_PIXELS == 500_000
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert len(read(root, image_size=12).train) == 9


def test_the_limit_comes_back_when_the_last_of_several_threads_leaves() -> None:
    before, entered, go = Image.MAX_IMAGE_PIXELS, threading.Event(), threading.Event()

    def stay() -> None:
        with quiet():
            entered.set()
            go.wait(20)

    thread = threading.Thread(target=stay)
    with quiet():
        thread.start()
        assert entered.wait(20)
    assert Image.MAX_IMAGE_PIXELS is None, "another thread is at work"
    go.set()
    thread.join()
    assert before is not None and before == Image.MAX_IMAGE_PIXELS


# Shapes.


def wide(number: int, path: Path) -> None:
    pixels = np.zeros((12, 48), np.uint8)
    pixels[:, :12] = form(number)
    Image.fromarray(pixels).save(f"{path}.png")


@pytest.mark.parametrize("way", WAYS)
def test_wide_pictures_are_cropped_padded_or_squashed_as_asked(tmp_path: Path, way: str) -> None:
    root = folder(tmp_path / "d", wide)
    crop, pad, squash = (read(root, way, image_size=12, fit=f) for f in ("crop", "pad", "squash"))
    assert not grey(crop).any()
    assert grey(pad)[:, 4:7, :3].max() > 30 and not grey(pad)[:, [0, 1, 2, 9, 10, 11]].any()
    assert grey(squash)[:, :, :3].max() > 100 and not grey(squash)[:, :, 4:].any()
    assert len({one.fingerprint() for one in (crop, pad, squash)}) == 3
    assert "--fit pad keeps the whole" in noted(crop, "lose more than half to the crop: 12")
    for one in (pad, squash):
        assert not [note for note in one.notes if "the crop" in note or "one colour" in note]


def test_square_pictures_are_the_same_however_they_fit(tmp_path: Path) -> None:
    root = folder(tmp_path / "d", lambda n, path: Image.fromarray(form(n)).save(f"{path}.png"))
    sets = [read(root, image_size=8, fit=fit) for fit in ("crop", "pad", "squash")]
    assert (grey(sets[0]) == grey(sets[1])).all() and (grey(sets[1]) == grey(sets[2])).all()


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
def test_a_line_of_one_pixel_comes_to_a_square(tmp_path: Path, fit: str) -> None:
    root = folder(tmp_path / "d", lambda n, path: Image.new("L", (300, 1), n).save(f"{path}.png"))
    assert read(root, image_size=12, fit=fit).train.shape == (3, 12, 12)


def test_fit_without_a_size_is_refused() -> None:
    with pytest.raises(ConfigError, match="fit: 'pad' says how images come to --image-size"):
        load_config(None, {"data.dataset": "digits", "data.fit": "pad"})


def test_a_denoising_reads_pictures_as_the_run_did(tmp_path: Path, detector_file: Path) -> None:
    root = folder(tmp_path / "d", wide, 24)
    settings = {
        "data__dataset": "folder", "data__data_dir": str(root), "data__limit": None,
        "data__image_size": 12, "noise__noise_ratio": 0.2, "data__images": "stream",
    }  # fmt: skip
    run = runner.generate_td(tiny_config(**settings, data__fit="pad"), tmp_path / "r").folder
    again = load_config(None, runner.settings_of_run(run))
    assert again.data.fit == "pad"
    with pytest.raises(DataError, match="fit differ"):
        runner.denoise(tiny_config(**settings), run, detector_file, [0.2], out=tmp_path / "o")


def test_what_the_system_refuses_is_no_broken_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder(tmp_path / "d", lambda serial, path: save(form(serial), path))
    (root / "train/a/zz.png").symlink_to(tmp_path / "away.png")
    with pytest.raises(
        DataError, match=r"zz\.png: is not read \(No such file .* put the file back"
    ):
        read(root)
    refused = str(root / "train/a/002.png")
    opens = Image.open

    def open_some(place: Any, **more: Any) -> Any:
        if str(place) == refused:
            raise PermissionError(13, "Permission denied", refused)
        return opens(place, **more)

    (root / "train/a/zz.png").unlink()
    monkeypatch.setattr(Image, "open", open_some)
    with pytest.raises(DataError, match=r"002\.png: is not read \(Permission .*the right to read"):
        read(root)


def save(values: Grey, path: Path) -> None:
    Image.fromarray(values).save(path.with_suffix(".png"))
