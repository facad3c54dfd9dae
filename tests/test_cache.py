from __future__ import annotations

import json
import os
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_image_folder, pixels_of
from typer.testing import CliRunner

from tdctl.cache import default_cache_dir, entries, evict, locked
from tdctl.cli import app
from tdctl.config import DataConfig
from tdctl.data import DataSet, cached, decode, open_dataset
from tdctl.data.picture import Reading
from tdctl.errors import DataError
from tdctl.sources.encoded import Encoded


def open_way(root: Path, cache: Path, images: str = "cache", **more: Any) -> DataSet:
    config = DataConfig(dataset="folder", data_dir=root, images=images, cache_dir=cache, **more)
    return open_dataset(config)


def right(root: Path, cache: Path, **more: Any) -> bool:
    """Whether the cache gives the pixels that the memory has."""
    ours, theirs = (open_way(root, cache, way, **more) for way in ("cache", "memory"))
    return bool((pixels_of(ours.train) == pixels_of(theirs.train)).all())


def names(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir())


def only_one_whole_entry(cache: Path) -> bool:
    return names(cache) == [entry.path.name for entry in entries(cache)] and len(names(cache)) == 1


def forked(work: Callable[[], bool]) -> int:
    """A process that runs ``work`` and ends with 0 where it gives True."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: threads and forks
        child = os.fork()
    if child:
        return child
    code = 1
    try:
        code = 0 if work() else 1
    finally:
        os._exit(code)


def ended_well(child: int) -> bool:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def wait_for(there: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def slow_decoder(monkeypatch: pytest.MonkeyPatch, seconds: float, in_this: int) -> None:
    """Slabs of two images, each image slow in all processes but this one."""
    read = decode.read_rgb

    def slowly(images: Encoded, row: int, reading: Reading) -> Any:
        if os.getpid() != in_this:
            time.sleep(seconds)
        return read(images, row, reading)

    monkeypatch.setattr(decode, "read_rgb", slowly)
    monkeypatch.setattr(decode, "SLAB_BYTES", 2 * 3 * 12 * 12)


def test_an_entry_is_made_once_and_then_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, cache = make_image_folder(tmp_path / "photos"), tmp_path / "cache"
    assert right(root, cache)
    assert only_one_whole_entry(cache)
    entry = entries(cache)[0]
    assert entry.name == str(root) and entry.shape == (24, 3, 12, 12)
    os.utime(entry.path / "entry.json", (1, 1))
    monkeypatch.setattr(cached, "_build", None)
    open_way(root, cache)
    assert entries(cache)[0].last_used > 1, "marked as used"


def test_another_file_or_size_is_another_entry(tmp_path: Path) -> None:
    root, cache = make_image_folder(tmp_path / "photos"), tmp_path / "cache"
    before = pixels_of(open_way(root, cache).train)
    assert right(root, cache, image_size=8)
    assert len(entries(cache)) == 2
    image = root / "train/dark/001_dark.png"
    (root / "train/light/001_light.png").replace(image)
    make_image_folder(tmp_path / "other")
    (tmp_path / "other/train/light/001_light.png").replace(root / "train/light/001_light.png")
    assert (pixels_of(open_way(root, cache).train) != before).any()
    assert right(root, cache) and len(entries(cache)) == 3
    os.utime(image, ns=(1, 1))
    assert right(root, cache) and len(entries(cache)) == 4
    assert right(root, cache, limit=5) and right(root, cache, limit=5, image_size=8)
    assert len(entries(cache)) == 6


def truncated(entry: Path) -> None:
    os.truncate(entry / "pixels.bin", 100)


def no_description(entry: Path) -> None:
    (entry / "entry.json").unlink()


def half_description(entry: Path) -> None:
    (entry / "entry.json").write_text((entry / "entry.json").read_text()[:40])


def changed(entry: Path, **fields: Any) -> None:
    content = json.loads((entry / "entry.json").read_text())
    (entry / "entry.json").write_text(json.dumps(content | fields))


def of_another_format(entry: Path) -> None:
    changed(entry, format=0)


def of_another_shape(entry: Path) -> None:
    changed(entry, shape=[48, 3, 12, 6])


def without_statistics(entry: Path) -> None:
    changed(entry, facts={"train": 12, "digest": "x", "mean": [0.1], "std": [0.1]})


def of_another_key(entry: Path) -> None:
    changed(entry, key="0" * 32)


def a_file(entry: Path) -> None:
    for path in entry.iterdir():
        path.unlink()
    entry.rmdir()
    entry.write_text("x")


@pytest.mark.parametrize(
    "damage",
    [
        truncated, no_description, half_description, of_another_format, of_another_shape,
        without_statistics, of_another_key, a_file,
    ],
)  # fmt: skip
def test_a_torn_or_foreign_entry_is_made_anew(tmp_path: Path, damage: Any) -> None:
    root, cache = make_image_folder(tmp_path / "photos"), tmp_path / "cache"
    whole, statistics = open_way(root, cache, "memory"), open_way(root, cache).mean
    damage(entries(cache)[0].path)
    again = open_way(root, cache)
    assert (pixels_of(again.train) == pixels_of(whole.train)).all()
    assert (again.mean, again.std) == (whole.mean, whole.std) and statistics == whole.mean
    assert only_one_whole_entry(cache)


def test_two_processes_at_once_build_one_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, cache = make_image_folder(tmp_path / "photos"), tmp_path / "cache"
    expected = pixels_of(open_way(root, cache, "memory").train)
    slow_decoder(monkeypatch, 0.02, in_this=os.getpid())
    build = cached._build

    def counted(*arguments: Any) -> None:
        with (tmp_path / "builds").open("a") as file:
            file.write("x")
        build(*arguments)

    monkeypatch.setattr(cached, "_build", counted)

    def work() -> bool:
        return bool((pixels_of(open_way(root, cache).train) == expected).all())

    children = [forked(work) for _ in range(3)]
    assert all([ended_well(child) for child in children])
    assert (tmp_path / "builds").read_text() == "x", "the others waited for the one that built"
    assert only_one_whole_entry(cache)


def test_a_killed_builder_is_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, cache = make_image_folder(tmp_path / "photos"), tmp_path / "cache"
    expected = pixels_of(open_way(root, cache, "memory").train)
    with monkeypatch.context() as patch:
        slow_decoder(patch, 0.2, in_this=os.getpid())
        builder = forked(lambda: bool(open_way(root, cache)))
        wait_for(lambda: list(cache.glob(".*.part/pixels.bin")))
    waiter = forked(lambda: bool((pixels_of(open_way(root, cache).train) == expected).all()))
    time.sleep(0.1)
    assert os.waitpid(waiter, os.WNOHANG) == (0, 0), "it waits"
    os.kill(builder, signal.SIGKILL)
    os.waitpid(builder, 0)
    assert ended_well(waiter)
    assert only_one_whole_entry(cache)


def test_a_builder_killed_alone_leaves_what_the_next_one_removes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, cache = make_image_folder(tmp_path / "photos"), tmp_path / "cache"
    slow_decoder(monkeypatch, 0.2, in_this=os.getpid())
    for remedy in (lambda: open_way(root, cache), lambda: evict(cache, 0)):
        builder = forked(lambda: bool(open_way(root, cache)))
        wait_for(lambda: list(cache.glob(".*.part/pixels.bin")))
        os.kill(builder, signal.SIGKILL)
        os.waitpid(builder, 0)
        assert list(cache.glob(".*.part")) and not entries(cache)
        remedy()
        assert not list(cache.glob(".*"))
        evict(cache, 0)
    assert names(cache) == []


def test_a_bad_image_is_named_until_it_is_mended_or_skipped(tmp_path: Path) -> None:
    root, cache = make_image_folder(tmp_path / "photos"), tmp_path / "cache"
    good = root / "train/light/003_light.png"
    content = good.read_bytes()
    good.write_bytes(b"\0" * len(content))
    os.utime(good, ns=(1, 1))
    for _ in range(2):
        with pytest.raises(DataError, match=r"003_light\.png: does not decode"):
            open_way(root, cache)
    skipping = open_way(root, cache, skip_unreadable=True)
    assert [one.index for one in skipping.skipped] == [9] and len(skipping.train) == 11
    assert len(names(cache)) == 1
    good.write_bytes(content)
    os.utime(good, ns=(1, 1))
    assert right(root, cache), "the same size and time, and yet the entry's verdict is not believed"


def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, cache = make_image_folder(tmp_path / "photos"), tmp_path / "cache"
    with monkeypatch.context() as patch:
        patch.setattr(cached, "free_bytes", lambda folder: (10_000, 10**9))
        with pytest.raises(DataError, match=r"24 images .* has 0\.0 MB free; .*cache --clear"):
            open_way(root, cache)
    assert names(cache) == []

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cached.os, "fsync", full)
    with pytest.raises(DataError, match=r"No space left on device.*--cache-dir") as caught:
        open_way(root, cache)
    assert "\n" not in str(caught.value) and names(cache) == []


def test_a_cache_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("x")
    with pytest.raises(DataError, match="--cache-dir"):
        open_way(make_image_folder(tmp_path / "photos"), tmp_path / "cache")


def three_entries(tmp_path: Path) -> list[Path]:
    """Entries in the order of their last use, each of 10,368 bytes."""
    cache = tmp_path / "cache"
    for number, name in enumerate("cab"):
        open_way(make_image_folder(tmp_path / name), cache)
        newest = next(e for e in entries(cache) if e.name == str(tmp_path / name))
        os.utime(newest.path / "entry.json", (1000 + number, 1000 + number))
    return [entry.path for entry in entries(cache)]


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    paths, cache = three_entries(tmp_path), tmp_path / "cache"
    assert [Path(entry.name).name for entry in entries(cache)] == ["c", "a", "b"]
    assert [e.path for e in evict(cache, 2 * 10_368, dry_run=True)] == paths[:1]
    assert len(entries(cache)) == 3
    assert evict(cache, 3 * 10_368) == []
    assert [e.path for e in evict(cache, 2 * 10_368 - 1)] == paths[:2]
    assert [e.path for e in entries(cache)] == paths[2:] and names(cache) == [paths[2].name]


def test_only_what_is_ours_is_evicted(tmp_path: Path) -> None:
    three_entries(tmp_path)
    cache = tmp_path / "cache"
    (cache / "letters").mkdir()
    (cache / ".mine.part").write_text("x")
    (cache / ("0" * 32)).mkdir()
    assert len(evict(cache, 0)) == 3
    assert names(cache) == [".mine.part", "0" * 32, "letters"]


def test_an_entry_that_is_being_built_is_left_alone(tmp_path: Path) -> None:
    paths, cache = three_entries(tmp_path), tmp_path / "cache"
    with locked(cache, paths[0].name):
        assert [e.path for e in evict(cache, 0)] == paths[1:]
    assert [e.path for e in entries(cache)] == paths[:1]


def test_an_evicted_entry_serves_those_who_use_it(tmp_path: Path) -> None:
    root, cache = make_image_folder(tmp_path / "photos"), tmp_path / "cache"
    expected = pixels_of(open_way(root, cache, "memory").train)
    images = open_way(root, cache).train
    evict(cache, 0)
    assert names(cache) == []
    rows = np.array([3, 4, 5, 0, 11])
    assert all((b == expected[torch.from_numpy(rows)]).all() for b in images.batches([rows] * 5))
    assert (pixels_of(images) == expected).all()


def test_the_default_folder_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    for value, folder in (
        ("", "/home/someone/.cache"),
        ("x", "/home/someone/.cache"),
        ("/c", "/c"),
    ):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert default_cache_dir() == Path(folder) / "tdctl"


def tdctl_cache(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["cache", *(str(argument) for argument in arguments)])


def test_the_command_lists_and_evicts(tmp_path: Path) -> None:
    paths, cache = three_entries(tmp_path), tmp_path / "cache"
    listed = json.loads(tdctl_cache("--cache-dir", cache, "--json").stdout)
    assert [row["key"] for row in listed["entries"]] == [path.name for path in paths]
    first = listed["entries"][0]
    assert (first["images"], first["bytes"]) == (24, 10_368) and first["name"].endswith("/c")
    assert first["last_used"].startswith("1970-01-0")
    dry = tdctl_cache("--cache-dir", cache, "--keep-gb", 0.00002, "--dry-run")
    assert dry.exit_code == 0 and "would drop" in dry.stdout and "/c: 24 images" in dry.stdout
    assert len(entries(cache)) == 3
    kept = json.loads(tdctl_cache("--cache-dir", cache, "--keep-gb", 0.000021, "--json").stdout)
    assert (len(kept["entries"]), len(kept["dropped"])) == (2, 1)
    assert "0 entries" in tdctl_cache("--cache-dir", cache, "--clear").stdout
    assert names(cache) == []
    assert "0 entries" in tdctl_cache("--cache-dir", tmp_path / "none").stdout


@pytest.mark.parametrize(
    "options", [("--clear", "--keep-gb", 1), ("--dry-run",), ("--keep-gb", "inf")]
)
def test_wishes_of_the_command_that_cannot_be_met(tmp_path: Path, options: Any) -> None:
    result = tdctl_cache("--cache-dir", tmp_path, *options)
    assert result.exit_code == 1 and result.stderr.startswith("tdctl: error: cache: --")
    assert len(result.stderr.splitlines()) == 1
