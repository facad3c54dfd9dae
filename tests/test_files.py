"""Files appear whole or not at all, and what cannot be written or read is named."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
import torch
from conftest import hand_made_detector, make_run, refused, tdctl
from processes import forked, result_of

from tdctl.detector import Detector, save_detector
from tdctl.errors import RunError
from tdctl.files import atomic_path, load_tensors, read_json, save_tensors, write_text


def limited(size: int) -> None:
    """No file of this process grows larger, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"

    def write() -> str:
        limited(4096)
        try:
            write_text(path, "x" * 10_000)
        except OSError as error:
            return f"{error.filename}: {error.strerror}"
        return "written"

    assert result_of(forked(write)) == f"{path}: File too large"
    assert not list(tmp_path.iterdir())


def test_a_detector_on_a_full_disk_is_an_error_of_the_system(tmp_path: Path) -> None:
    def write() -> str:
        limited(4096)
        try:
            save_detector(tmp_path / "d", Detector(hand_made_detector()))
        except OSError as error:
            return str(error.filename)
        return "written"

    assert result_of(forked(write)) == str(tmp_path / "d.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="is a pipe or a device") as caught, atomic_path(pipe):
        pass
    assert caught.value.filename == str(pipe) and pipe.is_fifo()
    run = make_run(tmp_path / "r")
    given = tdctl("detect", "--td", run, "--score", "aum", "--out", pipe, "--overwrite")
    refused(given, "is a pipe or a device; expected a file name")
    assert pipe.is_fifo()


def test_a_file_of_tensors_that_is_cut_off_anywhere_is_said_to_be(tmp_path: Path) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    save_tensors(whole, {"a": torch.arange(5000)})
    content = whole.read_bytes()
    for kept in range(0, len(content), 997):
        part.write_bytes(content[:kept])
        with pytest.raises(ValueError, match=r"."):
            load_tensors(part)


@pytest.mark.parametrize("text", ["{", "[]", '{"a": NaN}', '{"a": -Infinity}', "[" * 100_000, ""])
def test_what_is_no_json_object_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(RunError, match=r"a.json: ") as caught:
        read_json(path)
    assert "\n" not in str(caught.value)
