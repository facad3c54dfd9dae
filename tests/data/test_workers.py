"""Processes that decode: they give what one process gives, in order, and their errors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_image_folder, pixels_of
from PIL import Image

from tdctl.config import DataConfig
from tdctl.data import decode, open_dataset
from tdctl.data.workers import in_processes
from tdctl.errors import DataError

PARTS = [np.arange(at, at + 3) for at in range(0, 12, 3)]


def doubled(rows: Any) -> tuple[torch.Tensor, int]:
    return torch.from_numpy(2 * rows), os.getpid()


def test_results_come_in_order_from_other_processes() -> None:
    found = list(in_processes(doubled, PARTS, 2, "these"))
    assert torch.cat([one for one, _ in found]).tolist() == list(range(0, 24, 2))
    assert len({process for _, process in found} - {os.getpid()}) == 2
    assert list(in_processes(doubled, [], 2, "these")) == []


def test_errors_and_a_death_are_told_in_a_line() -> None:
    def refuse(rows: Any) -> None:
        raise DataError("row 3 is bad; mend it")

    with pytest.raises(DataError, match="row 3 is bad; mend it"):
        list(in_processes(refuse, PARTS, 2, "these"))
    with pytest.raises(DataError, match="these: a process that decodes images was ended"):
        list(in_processes(lambda rows: os._exit(9), PARTS, 2, "these"))


@pytest.mark.parametrize("images", ["memory", "cache"])
def test_processes_decode_to_the_same_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: str
) -> None:
    root = make_image_folder(tmp_path / "photos", per_class=30)
    broken = sorted((root / "train/dark").iterdir())[-1]
    broken.write_bytes(b"none")
    told: list[tuple[int, int]] = []

    def opened(place: str) -> Any:
        config = DataConfig(
            dataset="folder", data_dir=root, images=images, skip_unreadable=True,
            cache_dir=tmp_path / place,
        )  # fmt: skip
        return open_dataset(config, told=lambda done, count: told.append((done, count)))

    monkeypatch.setattr(decode, "SLAB_BYTES", 25 * 3 * 12 * 12)
    alone = opened("a")
    started: list[int] = []

    def watched(*arguments: Any) -> Any:
        started.append(arguments[2])
        return in_processes(*arguments)

    monkeypatch.setattr(decode, "in_processes", watched)
    monkeypatch.setattr(decode, "own_processors", lambda: 2)
    monkeypatch.setattr(decode, "PROCESSES_PAY", -1.0)
    several = opened("b")
    assert started == [2]
    assert (pixels_of(several.train) == pixels_of(alone.train)).all()
    assert several.skipped == alone.skipped and len(alone.skipped) == 1
    assert several.pixel_digest() == alone.pixel_digest()
    assert several.mean == alone.mean
    half = len(told) // 2
    assert told[:half] == told[half:] and told[-1] == (120, 120)
    assert [done for done, _ in told[:half]] == sorted({done for done, _ in told})


def test_a_picture_of_another_size_is_told_from_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_image_folder(tmp_path / "photos", per_class=30)
    path = sorted((root / "test/light").iterdir())[-1]
    Image.new("RGB", (20, 30)).save(path)
    monkeypatch.setattr(decode, "own_processors", lambda: 2)
    monkeypatch.setattr(decode, "PROCESSES_PAY", -1.0)
    with pytest.raises(DataError, match=f"{path.name} has 20x30 pixels and .* has 12x12; give"):
        open_dataset(DataConfig(dataset="folder", data_dir=root, images="memory"))
