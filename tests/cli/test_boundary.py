"""How a command ends, alone and among several processes."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from processes import forked, free_port, in_world, result_of, variables, waits_for
from torch.distributed.run import main as launch
from typer.testing import CliRunner

from tdctl.cli import app, main

SETTINGS = [
    "--recipe", "paper",
    "--depth", "8", "--limit", "151", "--noise-ratio", "0.2", "--no-amp", "--device", "cpu",
]  # fmt: skip


def status_of(folder: Path) -> str:
    return str(json.loads((folder / "manifest.json").read_text())["status"])


def test_a_termination_signal_keeps_what_is_whole(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"

    def run() -> None:
        sys.argv = ["tdctl", "generate-td", *SETTINGS, "--epochs", "500", "--out", str(folder)]
        main()

    pid, _ = forked(run)
    deadline = time.monotonic() + 30
    while not (folder / "checkpoint.pth").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)
    assert status_of(folder) == "interrupted"
    told = capfd.readouterr().err
    assert "tdctl: terminated; continue a run that finished an epoch with --resume" in told
    assert "SystemExit: 143" in told  # the test's own child shows how it ended


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("begun", [False, True])
def test_a_signal_ends_what_waits_for_other_processes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], number: signal.Signals, begun: bool
) -> None:
    folder, port = tmp_path / "run", free_port()

    def run() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = ["tdctl", "generate-td", *SETTINGS, "--epochs", "500", "--out", str(folder)]
        (tmp_path / f"there{os.environ['RANK']}").touch()
        main()

    children = [forked(run, variables(rank, 2, port))[0] for rank in range(1 + begun)]
    if begun:
        waits_for(folder / "checkpoint.pth")
        os.kill(children[1], signal.SIGSTOP)  # there, but it answers no more
    else:
        waits_for(tmp_path / "there0")
    time.sleep(1)
    start = time.monotonic()
    os.kill(children[0], number)
    _, status = os.waitpid(children[0], 0)
    assert time.monotonic() - start < 10
    if begun:
        os.kill(children[1], signal.SIGKILL)
        os.waitpid(children[1], 0)
        # The thread that sees the signal ends the process.
        assert os.waitstatus_to_exitcode(status) == 128 + number
        assert (folder / "checkpoint.pth").exists()
    told = capfd.readouterr().err
    word = {signal.SIGTERM: "terminated", signal.SIGINT: "interrupted"}[number]
    assert f"tdctl: {word}" in told


def test_of_several_processes_one_speaks(tmp_path: Path) -> None:
    folder = tmp_path / "run"

    def run(*arguments: str) -> Any:
        result = CliRunner().invoke(app, ["generate-td", *SETTINGS, "--epochs", "2", *arguments])
        return result.exit_code, result.stdout, result.stderr

    first, second = in_world(2, lambda: run("--out", str(folder), "--json"))
    assert first[0] == second[0] == 0, first[2] + second[2]
    assert json.loads(first[1])["processes"] == 2
    assert second[1:] == ("", "")
    first, second = in_world(2, lambda: run("--out", str(folder)))
    assert first[0] == second[0] == 1
    assert "tdctl: error: " in first[2] and "occupied" in first[2]
    assert second[1:] == ("", "")


def test_a_step_of_one_process_is_not_run_several_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables(0, 2, 29500).items():
        monkeypatch.setenv(name, value)
    command = ["train-detector", "--td", str(tmp_path), "--out", str(tmp_path / "d.pth.tar")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1 and "call it without torchrun" in result.stderr


# In place of a program that torchrun starts: tells the variables that it was given, and waits.
TELLS = """#!/bin/sh
env -0 > told.$RANK.part && mv told.$RANK.part told.$RANK
while [ ! -e done ]; do sleep 0.02; done
"""


def test_torchrun_starts_a_run_and_ranks_it(
    tmp_path: Path, detector_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real launcher; its two processes go on in children that need not import torch again."""
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "program"
    program.write_text(TELLS)
    program.chmod(0o755)

    def torchrun() -> None:
        launch(["--standalone", "--nproc-per-node", "2", "--no-python", str(program)])

    def ran(*command: str) -> Any:
        result = CliRunner().invoke(app, command)
        return result.exit_code, result.stdout, result.stderr

    launched = forked(torchrun, {"OMP_NUM_THREADS": "1"})
    told = [tmp_path / f"told.{rank}" for rank in range(2)]
    for file in told:
        waits_for(file)
    given = [dict(one.split("=", 1) for one in file.read_text().split("\0")[:-1]) for file in told]
    out = str(tmp_path / "run")
    step = ("generate-td", *SETTINGS, "--epochs", "3", "--out", out, "--json")
    first, second = map(result_of, [forked(lambda: ran(*step), one) for one in given])
    (tmp_path / "done").touch()
    assert result_of(launched) is None
    assert first[0] == 0, first
    assert json.loads(first[1])["processes"] == 2 and second[:2] == (0, "")

    command = ["detect", "--td", out, "--detector", str(detector_file), "--json"]
    first, second = in_world(2, lambda: CliRunner().invoke(app, command).stdout)
    found, same = json.loads(first), json.loads(CliRunner().invoke(app, command).stdout)
    assert second == ""
    assert [row["index"] for row in found["worst"]] == [row["index"] for row in same["worst"]]
    assert found["metrics"]["auc"] == pytest.approx(same["metrics"]["auc"])


def test_an_empty_argument_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tdctl", "compare", "--td", "r", "--out", ""])
    monkeypatch.setattr("tdctl.cli.commands.stop_on_sigterm", lambda: None)
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "the argument after --out is empty" in capsys.readouterr().err


def test_too_little_memory_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def none_left(*args: object, **more: object) -> None:
        raise MemoryError("Unable to allocate 74.5 GiB")

    monkeypatch.setattr("tdctl.runner.detect", none_left)
    result = CliRunner().invoke(app, ["detect", "--td", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr == "tdctl: error: not enough memory (Unable to allocate 74.5 GiB)\n"
