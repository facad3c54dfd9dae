from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_image_folder, pixels_of, tiny_config
from PIL import Image
from typer.testing import CliRunner

from tdctl import runner
from tdctl.cli import app
from tdctl.config import DataConfig
from tdctl.data import DataSet, decode, image_storage, open_dataset
from tdctl.errors import ConfigError, DataError
from tdctl.files import read_json
from tdctl.training import Progress

WAYS = ("memory", "cache", "stream")


def open_way(tmp_path: Path, images: str, **more: Any) -> DataSet:
    settings: dict[str, Any] = {"cache_dir": tmp_path / "cache", "workers": 2} | more
    return open_dataset(
        DataConfig(dataset="folder", data_dir=tmp_path / "photos", images=images, **settings)
    )


def shuffled_pixels(data: DataSet, size: int = 5) -> torch.Tensor:
    rows = np.random.default_rng(1).permutation(len(data.train))
    parts = np.split(rows, range(size, len(rows), size))
    return torch.cat(list(data.train.batches(parts)))[np.argsort(rows)]


@pytest.mark.parametrize("more", [{}, {"image_size": 9}, {"limit": 7}], ids=str)
def test_all_ways_give_the_same_pixels(
    tmp_path: Path, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_image_folder(tmp_path / "photos")
    monkeypatch.setattr(decode, "SLAB_BYTES", 5 * 3 * 12 * 12)  # several slabs, the last not full
    memory, cache, stream = (open_way(tmp_path, way, **more) for way in WAYS)
    held = pixels_of(memory.train)
    assert held is not None and held.float().std() > 10
    for data in (memory, cache, stream):
        assert (shuffled_pixels(data) == held).all()
        assert data.test is not None and memory.test is not None
        tested = next(iter(data.test.batches([np.arange(12)])))
        assert (tested == pixels_of(memory.test)).all()
        assert (data.mean, data.std) == (memory.mean, memory.std)
        assert data.fingerprint() == memory.fingerprint()
        assert data.train.shape == tuple(held.shape[1:])
    assert (pixels_of(cache.train) == held).all()
    assert [data.train.resident for data in (memory, cache, stream)] == [True, False, False]
    assert memory.pixel_digest() == cache.pixel_digest() is not None
    assert stream.pixel_digest() is None


@pytest.mark.parametrize("way", WAYS)
def test_taking_images_copies_none_and_reads_the_right_ones(tmp_path: Path, way: str) -> None:
    make_image_folder(tmp_path / "photos")
    memory, data = (open_way(tmp_path, w) for w in ("memory", way))
    mask = np.arange(12) % 3 != 0
    some = data.train.take(mask).take(np.array([6, 0, 1, 2]), np.arange(4))
    assert some.store is data.train.store
    assert some.targets.tolist() == [0, 1, 2, 3] and some.index.tolist() == [10, 1, 2, 4]
    wanted = pixels_of(memory.train)[[10, 1, 2, 4]]
    first, second, none = some.batches([np.array([3, 0]), np.array([1]), np.array([], dtype=int)])
    assert (first == wanted[[3, 0]]).all() and (second == wanted[[1]]).all() and len(none) == 0
    assert (pixels_of(some) == wanted).all()
    assert way == "stream" or some.store.digest(some.rows) == memory.train.store.digest(some.rows)
    assert list(some.batches([])) == []


@pytest.mark.parametrize("way", ["memory", "cache"])
def test_a_changed_image_of_the_same_size_is_noticed_by_its_pixels(
    tmp_path: Path, way: str
) -> None:
    root = make_image_folder(tmp_path / "photos")
    image = root / "train/dark/zz.bmp"
    Image.new("RGB", (12, 12), (1, 2, 3)).save(image)
    before = open_way(tmp_path, way)
    Image.new("RGB", (12, 12), (1, 2, 4)).save(image)
    os.utime(image, ns=(1, 1))
    after = open_way(tmp_path, way)
    assert before.fingerprint() == after.fingerprint()
    assert before.pixel_digest() != after.pixel_digest()
    image.write_bytes(image.read_bytes() + b"x")
    assert open_way(tmp_path, way).fingerprint() != before.fingerprint()


def test_auto_takes_the_first_way_that_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_image_folder(tmp_path / "photos")
    needed = 24 * 3 * 12 * 12
    room: dict[str, Any] = {"memory": 2 * needed, "disk": (0, 0)}
    monkeypatch.setattr(image_storage, "available_memory", lambda: room["memory"])
    monkeypatch.setattr(image_storage, "free_bytes", lambda folder: room["disk"])

    def chosen() -> str:
        data = open_way(tmp_path, "auto")
        assert data.notes[0].startswith("images: 24 of 3x12x12 need 0.0 MB")
        kind = data.train.store.kind
        says = {"memory": "held in memory", "cache": "in the cache", "stream": "by 2 processes"}
        assert says[kind] in data.notes[0]
        return kind

    assert chosen() == "memory"
    room["memory"] -= 1
    assert chosen() == "stream"
    room["disk"] = (needed + 99, 1000)
    assert chosen() == "stream", "a tenth of the disk stays free"
    room["disk"] = (needed + 100, 1000)
    assert chosen() == "cache"
    room["disk"] = (0, 1000)
    assert chosen() == "cache", "it is there already"


def test_memory_that_does_not_fit_is_refused_with_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_image_folder(tmp_path / "photos", per_class=500)
    monkeypatch.setattr(image_storage, "available_memory", lambda: 1_000_000)
    with pytest.raises(DataError, match=r"2,000 images of 3x12x12 need 0\.9 MB and 1\.0 MB"):
        open_way(tmp_path, "memory")


def test_available_memory_heeds_a_control_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_storage, "CGROUP", tmp_path)
    free = image_storage.available_memory()
    assert free > 1_000_000
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("700000\n")
    (tmp_path / "memory.stat").write_text("anon 100000\ninactive_file 200000\n")
    assert image_storage.available_memory() > 1_000_000
    (tmp_path / "memory.max").write_text("1000000\n")
    assert image_storage.available_memory() == 500_000


def test_statistics_of_many_streamed_images_are_a_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_image_folder(tmp_path / "photos", per_class=50)
    whole = open_way(tmp_path, "stream")
    monkeypatch.setattr(image_storage, "SAMPLED", 60)
    first, second = (open_way(tmp_path, "stream") for _ in range(2))
    assert (first.mean, first.std) == (second.mean, second.std)
    assert first.mean != whole.mean
    assert np.allclose(first.mean, whole.mean, atol=0.06)
    assert any("60 of the 100 training images" in note for note in first.notes)
    assert len(whole.notes) == 1


def test_a_bad_image_in_a_worker_is_the_same_one_line(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path / "photos")
    data = open_way(tmp_path, "stream")
    (root / "train/light/003_light.png").write_bytes(b"\x89PNG not really")
    with pytest.raises(DataError) as streamed:
        shuffled_pixels(data)
    with pytest.raises(DataError) as decoded:
        open_way(tmp_path, "memory")
    assert str(streamed.value) == str(decoded.value)
    assert "003_light.png: does not decode" in str(streamed.value)


def test_a_worker_that_dies_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_image_folder(tmp_path / "photos")
    data = open_way(tmp_path, "stream")
    monkeypatch.setattr(decode.Decoder, "batch", lambda self, rows: os.kill(os.getpid(), 9))
    with pytest.raises(DataError, match="fewer --workers"):
        shuffled_pixels(data)


def test_a_stream_left_early_goes_quietly(tmp_path: Path) -> None:
    make_image_folder(tmp_path / "photos")
    for way in ("cache", "stream"):
        batches = open_way(tmp_path, way).train.batches([np.array([i]) for i in range(12)])
        assert len(list(itertools.islice(batches, 2))) == 2
        batches.close()


def test_streaming_draws_nothing_from_torchs_own_stream(tmp_path: Path) -> None:
    make_image_folder(tmp_path / "photos")
    torch.manual_seed(0)
    before = torch.get_rng_state()
    shuffled_pixels(open_way(tmp_path, "stream"))
    assert (torch.get_rng_state() == before).all()


@pytest.mark.parametrize("way", ["cache", "stream"])
def test_what_comes_as_pixels_is_always_in_memory(way: str) -> None:
    with pytest.raises(ConfigError, match="held in memory"):
        open_dataset(DataConfig(images=way, limit=20))
    assert open_dataset(DataConfig(limit=20, images="memory")).train.resident


def run_config(tmp_path: Path, way: str, **more: Any) -> Any:
    settings = {
        "data__dataset": "folder", "data__data_dir": str(tmp_path / "photos"),
        "data__cache_dir": str(tmp_path / "cache"), "data__workers": 2, "data__limit": None,
        "train__batch_size": 5, "data__images": way, "noise__noise_ratio": 0.2,
    }  # fmt: skip
    return tiny_config(**(settings | more))


FILES = ("training_dynamics.npz", "model.pth.last", "train_log.csv", "results_valid.csv")


@pytest.mark.parametrize("capture", ["in-loop", "eval-pass"])
def test_a_run_is_the_same_bits_whichever_way(tmp_path: Path, capture: str) -> None:
    make_image_folder(tmp_path / "photos")
    runs = [
        runner.generate_td(
            run_config(tmp_path, way, train__epochs=1, train__capture=capture), tmp_path / way
        ).folder
        for way in WAYS
    ]
    for name in FILES:
        assert len({(run / name).read_bytes() for run in runs}) == 1, name
    facts = [read_json(run / "manifest.json") for run in runs]
    assert len({fact["data_fingerprint"] for fact in facts}) == 1
    assert facts[0]["pixel_digest"] == facts[1]["pixel_digest"] is not None
    assert facts[2]["pixel_digest"] is None


def test_a_run_goes_on_another_way_to_the_same_bits(
    tmp_path: Path, detector_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        image_storage, "SAMPLED", 8
    )  # streamed afresh, it would be normalised otherwise
    root = make_image_folder(tmp_path / "photos")
    image = root / "train/dark/zz.bmp"
    Image.new("RGB", (12, 12), (1, 2, 3)).save(image)
    whole = runner.generate_td(run_config(tmp_path, "memory"), tmp_path / "whole").folder

    def stop(progress: Progress) -> None:
        if progress.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.generate_td(run_config(tmp_path, "memory"), tmp_path / "r", report=stop)
    Image.new("RGB", (12, 12), (1, 2, 4)).save(image)
    with pytest.raises(DataError, match="pixels differ"):
        runner.generate_td(run_config(tmp_path, "cache"), tmp_path / "r", resume=True)
    Image.new("RGB", (12, 12), (1, 2, 3)).save(image)
    stream = run_config(tmp_path, "stream")
    assert runner.generate_td(stream, tmp_path / "r", resume=True).resumed
    for name in FILES:
        assert (tmp_path / "r" / name).read_bytes() == (whole / name).read_bytes(), name
    digest = read_json(whole / "manifest.json")["pixel_digest"]
    assert read_json(tmp_path / "r" / "manifest.json")["pixel_digest"] == digest
    rows = [
        runner.denoise(
            run_config(tmp_path, way), whole, detector_file, [0.2], out=tmp_path / way
        ).rows[0]
        for way in ("memory", "stream")
    ]
    models = [(Path(row.folder) / "model.pth.last").read_bytes() for row in rows]
    assert models[0] == models[1]
    Image.new("RGB", (12, 12), (1, 2, 4)).save(image)
    with pytest.raises(DataError, match="pixels differ"):
        runner.denoise(
            run_config(tmp_path, "cache"), whole, detector_file, [0.2], out=tmp_path / "o"
        )


def test_the_choice_is_told_before_and_after(tmp_path: Path) -> None:
    make_image_folder(tmp_path / "photos")
    command = [
        "generate-td", "--dataset", "folder", "--data-dir", str(tmp_path / "photos"),
        "--images", "cache", "--cache-dir", str(tmp_path / "cache"), "--epochs", "1",
        "--recipe", "paper", "--depth", "8", "--no-amp", "--quiet", "--out", str(tmp_path / "r"),
    ]  # fmt: skip
    told = f"note: images: 24 of 3x12x12 need 0.0 MB: held in the cache {tmp_path / 'cache'}"
    for options in (["--dry-run"], []):
        result = CliRunner().invoke(app, [*command, *options])
        assert result.exit_code == 0 and told in result.stderr
