"""Runs that end where nobody expected it, and go on to the same bits."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import content, tiny_config
from processes import forked, in_world, result_of
from torch._inductor.exc import InductorError

from tdctl import runner
from tdctl.errors import RunError
from tdctl.training import Progress, World

# The manifest alone differs: it holds times.
KILLS, MOST_KILLS = 8, 40


@pytest.mark.slow
def test_killed_at_any_instant_a_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    config = tiny_config(train__epochs=3, data__num_valid=30, train__capture="eval-pass")

    def run(folder: Path) -> bool:
        return runner.generate_td(config, folder, resume=True).manifest["status"] == "complete"

    runner.generate_td(config, tmp_path / "first")  # what is imported here no child waits for
    started = time.perf_counter()
    assert result_of(forked(lambda: run(tmp_path / "whole"))) is True
    seconds = time.perf_counter() - started
    whole = content(tmp_path / "whole")
    draw, kills, folder, seen = random.Random(0), 0, tmp_path / "killed", set()

    def goes_on() -> bool:
        # On a busy machine the first kills may all hit the same moment.
        return kills < KILLS or (len(seen) < 3 and kills < MOST_KILLS)

    while goes_on() or folder.exists():
        child = forked(lambda: run(folder))
        if goes_on():
            # The first kill comes early, before the run has written anything.
            time.sleep(draw.uniform(0, 1.1 * seconds) if kills else 0.02 * seconds)
            os.kill(child[0], signal.SIGKILL)
        outcome = result_of(child)
        if outcome is None:
            kills += 1
            seen.add(frozenset(content(folder)) if folder.exists() else frozenset())
            continue
        assert outcome is True
        assert content(folder) == whole
        shutil.rmtree(folder)
    # The kills hit different moments: before, within and after the epochs.
    assert len(seen) >= 3


def test_stopped_by_the_user_a_run_keeps_its_whole_epochs(tmp_path: Path) -> None:
    config = tiny_config(train__epochs=3)

    def stop(progress: Progress) -> None:
        if progress.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.generate_td(config, tmp_path / "a", report=stop)
    runner.generate_td(config, tmp_path / "a", resume=True)
    runner.generate_td(config, tmp_path / "b")
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_stopped_while_it_tidies_up_a_finished_run_keeps_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(train__epochs=2)
    remove = shutil.rmtree

    def stop(path: Any, **options: Any) -> None:
        remove(path, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("tdctl.run.folder.shutil.rmtree", stop)
        runner.generate_td(config, tmp_path / "a")
    runner.generate_td(config, tmp_path / "a", resume=True)
    runner.generate_td(config, tmp_path / "b")
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_resumed_by_more_processes_a_run_says_so(tmp_path: Path) -> None:
    config = tiny_config(train__epochs=3)

    def stop(progress: Progress) -> None:
        if progress.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.generate_td(config, tmp_path / "a", report=stop)

    def run() -> Any:
        with World.joined("cpu") as world:
            return runner.generate_td(config, tmp_path / "a", resume=True, world=world)

    result = in_world(2, run)[0]
    assert any("processes 1, now 2" in note for note in result.notes)
    assert result.manifest["processes"] == 1
    assert result.manifest["resumed"][0]["processes"] == 2


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "memory is full; start again with a sm"),
        (InductorError(ValueError("no compiler"), None), "compiling failed .*--no-compile"),
    ],
)
def test_what_torch_cannot_do_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: RuntimeError, says: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(import_module("tdctl.classifier.train_classifier"), "fit", fail)
    with pytest.raises(RunError, match=says):
        runner.generate_td(tiny_config(), tmp_path / "a")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk is not permitted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def fill(disk: Path) -> None:
    try:
        with (disk / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError as error:
        assert error.errno == errno.ENOSPC


@pytest.mark.parametrize("at", [1, 3])
def test_a_full_disk_ends_with_one_line_and_a_resumable_run(
    tmp_path: Path, small_disk: Path, at: int
) -> None:
    config = tiny_config(train__epochs=3)

    def report(progress: Progress) -> None:
        if progress.epoch == at and progress.step == progress.steps:
            fill(small_disk)

    with pytest.raises(RunError, match=r"disk is full; mend that and go on with --resume$"):
        runner.generate_td(config, small_disk / "a", report=report)
    (small_disk / "filler").unlink()
    runner.generate_td(config, small_disk / "a", resume=True)
    runner.generate_td(config, tmp_path / "b")
    assert content(small_disk / "a") == content(tmp_path / "b")


def test_what_will_not_fit_is_refused_before_it_starts(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(RunError, match="of disk"):
        runner.generate_td(tiny_config(train__epochs=3), small_disk / "a")
    assert not (small_disk / "a").exists()


def test_when_a_process_dies_the_run_says_so_and_goes_on(tmp_path: Path) -> None:
    config = tiny_config(train__epochs=3)

    def run(dies: bool) -> Any:
        def report(progress: Progress) -> None:
            if dies and progress.epoch == 2:
                os.kill(os.getpid(), signal.SIGKILL)

        with World.joined("cpu") as world:
            out = tmp_path / ("a" if dies is not None else "b")
            return runner.generate_td(config, out, resume=True, report=report, world=world)

    first, second = in_world(2, lambda: run(True))
    assert first is None
    assert isinstance(second, RunError) and "go on with --resume" in str(second)
    results = in_world(2, lambda: run(False))
    assert all(result.manifest["status"] == "complete" for result in results)


def test_when_another_process_dies_the_first_marks_the_run(tmp_path: Path) -> None:
    config = tiny_config(train__epochs=3)

    def run() -> Any:
        with World.joined("cpu") as world:
            if world.rank == 1:
                signal.setitimer(signal.ITIMER_REAL, 0)
                wait = world.average_buffers

                def die(net: Any) -> None:
                    if (tmp_path / "a" / "checkpoint.pth").exists():
                        os.kill(os.getpid(), signal.SIGKILL)
                    wait(net)

                world.average_buffers = die  # type: ignore[method-assign]
            return runner.generate_td(config, tmp_path / "a", resume=True, world=world)

    first, second = in_world(2, run)
    assert isinstance(first, RunError) and second is None
    assert '"status": "failed"' in (tmp_path / "a" / "manifest.json").read_text()
