from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import make_image_folder, pixels_of, tiny_config
from PIL import EpsImagePlugin, Image

from tdctl import runner
from tdctl.cache import entries
from tdctl.config import DataConfig
from tdctl.data import open_dataset
from tdctl.errors import DataError, RunError
from tdctl.files import read_json
from tdctl.sources import Files, list_dataset
from tdctl.sources.listing import spread_over_classes
from tdctl.training import Progress

WAYS = ("memory", "cache", "stream")


def damaged(root: Path) -> Path:
    """Twelve training images of which rows 2 and 9 do not decode, nor one of the test's."""
    make_image_folder(root)
    (root / "train/dark/002_dark.jpg").write_bytes(b"")
    (root / "train/light/003_light.png").write_bytes(b"\x89PNG no more")
    (root / "test/light/001_light.png").unlink()
    (root / "test/light/001_light.png").symlink_to("nowhere")
    return root


def config(root: Path, way: str, **more: Any) -> DataConfig:
    return DataConfig(
        dataset="folder", data_dir=root, images=way, cache_dir=root.parent / "cache", **more
    )


@pytest.mark.parametrize("way", WAYS)
def test_what_does_not_decode_is_skipped_and_listed_and_the_rest_keeps_its_index(
    tmp_path: Path, way: str
) -> None:
    root = damaged(tmp_path / "photos")
    data = open_dataset(config(root, way, skip_unreadable=True))
    assert data.train.index.tolist() == [0, 1, 3, 4, 5, 6, 7, 8, 10, 11]
    assert data.labels.assigned.tolist() == [0] * 5 + [1] * 5
    assert data.file_names is not None and data.file_names[2] == "train/dark/003_dark.png"
    assert [(s.index, s.file_name, s.split) for s in data.skipped] == [
        (2, "train/dark/002_dark.jpg", "train"),
        (9, "train/light/003_light.png", "train"),
        (7, "test/light/001_light.png", "test"),
    ]
    assert "No such file" in data.skipped[2].reason
    assert data.test is not None and data.test.index.tolist() == [*range(7), *range(8, 12)]
    whole = open_dataset(config(make_image_folder(tmp_path / "whole"), "memory"))
    kept = pixels_of(whole.train)[data.train.index]
    assert (pixels_of(data.train) == kept).all()
    assert any("3 images do not decode and were left out" in note for note in data.notes)
    values = kept.float().mean(dim=(0, 2, 3)) / 255
    assert np.allclose(values, data.mean, atol=1e-6), "black stand-ins count in no statistics"


def test_the_ways_agree_on_a_damaged_folder(tmp_path: Path) -> None:
    root = damaged(tmp_path / "photos")
    sets = [open_dataset(config(root, way, skip_unreadable=True)) for way in WAYS]
    assert len({data.fingerprint() for data in sets}) == 1
    assert len({(data.mean, data.std) for data in sets}) == 1
    assert sets[0].pixel_digest() == sets[1].pixel_digest()


@pytest.mark.parametrize("way", ["memory", "cache"])
def test_without_skipping_all_that_do_not_decode_are_named_in_one_line(
    tmp_path: Path, way: str
) -> None:
    root = damaged(tmp_path / "photos")
    with pytest.raises(DataError) as caught:
        open_dataset(config(root, way))
    message = str(caught.value)
    for name in ("train/dark/002_dark.jpg", "train/light/003_light.png", "001_light.png"):
        assert name in message
    assert "3 images" in message and "--skip-unreadable" in message and "\n" not in message


@pytest.mark.parametrize("way", WAYS)
def test_a_set_none_of_which_decodes_is_refused_even_so(tmp_path: Path, way: str) -> None:
    root = make_image_folder(tmp_path / "photos")
    for image in root.glob("train/*/*"):
        image.write_bytes(b"none")
    with pytest.raises(DataError, match="12 images do not decode"):
        open_dataset(config(root, way, skip_unreadable=True))


def test_a_run_lists_what_it_skipped_and_denoises_the_same_images(
    tmp_path: Path, detector_file: Path
) -> None:
    root = damaged(tmp_path / "photos")
    settings = tiny_config(
        data__dataset="folder", data__data_dir=str(root), data__skip_unreadable=True,
        data__limit=None, noise__noise_ratio=0.3,
    )  # fmt: skip
    run = runner.generate_td(settings, tmp_path / "run").folder
    table = pd.read_csv(run / "skipped.csv")
    assert table["index"].tolist() == [2, 9, 7] and table["split"].tolist()[-1] == "test"
    assert read_json(run / "manifest.json")["dataset"]["skipped"] == 3
    rows = runner.denoise(settings, run, detector_file, [0.2], out=tmp_path / "out").rows
    assert rows[0].kept == 8


def test_what_differs_from_the_runs_data_is_said(tmp_path: Path, detector_file: Path) -> None:
    root = make_image_folder(tmp_path / "photos")
    settings = tiny_config(
        data__dataset="folder", data__data_dir=str(root), data__limit=None, noise__noise_ratio=0.3
    )
    run = runner.generate_td(settings, tmp_path / "run").folder

    def differs() -> str:
        with pytest.raises(DataError) as caught:
            runner.denoise(settings, run, detector_file, [0.2], out=tmp_path / "out")
        assert "\n" not in str(caught.value)
        return str(caught.value)

    name = root / "test/dark/001_dark.png"
    name.rename(root / "test/dark/001_other.png")
    assert "(test file names differ)" in differs()
    (root / "test/dark/001_other.png").rename(name)
    name.write_bytes(name.read_bytes() + b"x")
    assert "(test file sizes differ)" in differs()
    name.unlink()
    assert "test order, test labels differ" in differs()
    (root / "train/dark").rename(root / "train/gloomy")
    (root / "test/dark").rename(root / "test/gloomy")
    assert "(class names, file names, test file names" in differs()


def test_the_split_has_a_seed_of_its_own(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path / "photos", per_class=20, test=False)
    folder = DataConfig(dataset="folder", data_dir=root, test_share=0.2)
    tests = [list_dataset(folder, seed).test_index.tolist() for seed in (0, 0, 1)]
    assert tests[0] == tests[1] != tests[2]
    assert tiny_config(seed=3).split_seed == 3
    assert tiny_config(seed=3, data__split_seed=5).split_seed == 5


def test_a_limit_over_sorted_classes_takes_each_in_turn() -> None:
    targets = np.array([0, 0, 0, 1, 2, 2, 2, 2])
    assert spread_over_classes(targets).tolist() == [0, 3, 4, 1, 5, 2, 6, 7]


def test_a_limit_keeps_index_labels_names_and_pixels_together(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path / "photos")
    whole, part = (open_dataset(config(root, "memory", limit=n)) for n in (None, 5))
    at = part.train.index
    assert len(at) == 5 and (whole.labels.assigned[at] == part.labels.assigned).all()
    assert part.file_names == [whole.file_names[row] for row in at]  # type: ignore[index]
    assert (pixels_of(part.train) == pixels_of(whole.train)[at]).all()
    assert part.test is not None and len(part.test) == 12


def test_auto_reads_into_memory_what_the_cache_has(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path / "photos")
    cached = open_dataset(config(root, "cache"))
    again = open_dataset(config(root, "auto"))
    assert again.train.resident and "read from the cache" in again.notes[0]
    assert (pixels_of(again.train) == pixels_of(cached.train)).all()
    assert again.pixel_digest() == cached.pixel_digest()


def test_names_with_odd_characters_are_read(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path / "photos")
    for name in ("ein Bild.png", "写真.png", "50%.png", "a'b\"c.png", "-x.png"):
        Image.new("RGB", (12, 12)).save(root / "train/dark" / name)
    data = open_dataset(config(root, "memory"))
    assert len(data.train) == 17 and "train/dark/写真.png" in (data.file_names or [])


@pytest.mark.parametrize("way", WAYS)
def test_odd_metadata_of_the_first_image_is_passed_over(tmp_path: Path, way: str) -> None:
    root = make_image_folder(tmp_path / "photos")
    first = min(root.glob("train/dark/*"))
    odd = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x05\x00\x12\x01\x03"
    with Image.open(first) as image:
        image.save(first, "JPEG", exif=odd)
    assert len(open_dataset(config(root, way)).train) == 12  # a warning would be an error here


def test_one_long_name_does_not_make_all_long(tmp_path: Path) -> None:
    names = ["a/" * 1000 + "x.png", *(f"{row}.png" for row in range(5000)), "\udcff.png"]
    files = Files(tmp_path, names)
    assert len(pickle.dumps(files)) < 200_000
    assert [files.name(row) for row in (0, 7)] == [f"{tmp_path}/{names[r]}" for r in (0, 7)]
    some = files.take(np.array([5001, 0, 3]))
    assert [some.name(row) for row in range(3)] == [f"{tmp_path}/{names[r]}" for r in (5001, 0, 3)]


def test_the_cache_of_a_table_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_image_folder(tmp_path / "photos")
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.*"))
    rows = [f"{name},{name.split('/')[1]}" for name in names]
    (root / "t.csv").write_text("\n".join(["file_name,label", *rows]))
    for folder in (tmp_path, root, Path("/")):
        monkeypatch.chdir(folder)
        open_dataset(
            DataConfig(
                dataset="table", labels=root / "t.csv", images="cache", cache_dir=tmp_path / "c"
            )
        )
    assert [entry.name for entry in entries(tmp_path / "c")] == [str(root)]


def test_no_program_is_run_to_decode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_image_folder(tmp_path / "photos")
    Image.new("RGB", (4, 4)).save(tmp_path / "x.eps")
    (root / "train/dark/002_dark.jpg").write_bytes((tmp_path / "x.eps").read_bytes())
    run: list[Any] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *parts: run.append(parts))
    with pytest.raises(DataError, match=r"002_dark\.jpg: .* \(of no known image format"):
        open_dataset(config(root, "memory"))
    assert not run


def test_an_unfinished_run_goes_on_where_its_data_were_moved_to(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path / "photos")
    settings = {"data__dataset": "folder", "data__limit": None, "train__epochs": 3}

    def stop(progress: Progress) -> None:
        if progress.epoch == 1:
            raise KeyboardInterrupt

    before = tiny_config(data__data_dir=str(root), **settings)
    with pytest.raises(KeyboardInterrupt):
        runner.generate_td(before, tmp_path / "r", report=stop)
    moved = root.rename(tmp_path / "elsewhere")
    after = tiny_config(data__data_dir=str(moved), **settings)
    assert runner.generate_td(after, tmp_path / "r", resume=True).resumed
    runner.generate_td(after, tmp_path / "whole")
    model = "model.pth.last"
    assert (tmp_path / "r" / model).read_bytes() == (tmp_path / "whole" / model).read_bytes()
    make_image_folder(root)
    with pytest.raises(RunError, match=r"data\.data_dir"):
        runner.generate_td(before, tmp_path / "r", resume=True)
