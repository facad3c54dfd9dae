"""Rendered characters: the same arguments give the same files, and nothing is written over."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib")
SCRIPT = Path(__file__).parents[1] / "scripts" / "experiments" / "glyphs.py"


def glyphs(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), str(folder), "--each", "2", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.png")}


def test_characters_are_classes_and_a_seed_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert glyphs(tmp_path / name, "--characters", "λ7", "--seed", "3").returncode == 0
    found = files(tmp_path / "a")
    names = ["0000.png", "0001.png"]
    assert sorted(found) == sorted(f"train/{c}/{name}" for c in "λ7" for name in names)
    assert found == files(tmp_path / "b") and len(set(found.values())) == 4
    again = glyphs(tmp_path / "a")
    assert again.returncode == 1 and again.stderr.startswith("glyphs: error: ")
    assert len(again.stderr.splitlines()) == 1 and files(tmp_path / "a") == found


def test_without_clutter_there_is_ink_and_paper(tmp_path: Path) -> None:
    for clutter, plain in (("0", True), ("1", False)):
        assert glyphs(tmp_path / clutter, "--characters", "i", "--clutter", clutter).returncode == 0
        for path in (tmp_path / clutter).rglob("*.png"):
            image = np.asarray(Image.open(path))
            assert image.shape == (28, 28)
            # More than half of the image is bare paper, of one grey.
            assert bool(np.bincount(image.ravel()).max() > 400) is plain
