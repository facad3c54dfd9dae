"""A run folder is written by one process at a time."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from conftest import tiny_config
from processes import forked, killed, result_of, waits_for

from tdctl import runner
from tdctl.claims import check_unclaimed, claim, in_turn, release
from tdctl.errors import RunError
from tdctl.training import Progress


def holding(folder: Path, mark: Path) -> tuple[int, int]:
    """A process that claims a folder, says so with a file, and waits to be killed."""

    def act() -> None:
        claim(folder)
        mark.touch()
        time.sleep(60)

    child = forked(act)
    waits_for(mark)
    return child


def another_process_claims(folder: Path) -> bool:
    """Whether it may; the claim ends with it."""

    def act() -> bool:
        try:
            claim(folder)
        except RunError:
            return False
        return True

    found = result_of(forked(act))
    assert found is not None
    return bool(found)


def test_another_process_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    folder.mkdir()
    child = holding(folder, tmp_path / "mark")
    for ask in (claim, check_unclaimed):
        with pytest.raises(RunError, match=r"r: another process is writing it; wait"):
            ask(folder)
    killed(child)
    claim(folder)
    claim(folder)
    check_unclaimed(folder)
    release(folder)
    release(folder)


def test_a_worker_does_not_keep_what_its_killed_parent_had_claimed(tmp_path: Path) -> None:
    def act() -> None:
        claim(tmp_path)
        if not os.fork():
            # The worker says so itself, once it runs; renamed, so that nobody reads half a number.
            (tmp_path / "pid").write_text(str(os.getpid()))
            (tmp_path / "pid").rename(tmp_path / "mark")
        time.sleep(60)

    child = forked(act)
    waits_for(tmp_path / "mark")
    os.kill(child[0], signal.SIGKILL)
    os.waitpid(child[0], 0)
    os.close(child[1])
    try:
        assert another_process_claims(tmp_path)
    finally:
        os.kill(int((tmp_path / "mark").read_text()), signal.SIGKILL)


def test_a_look_claims_nothing(tmp_path: Path) -> None:
    check_unclaimed(tmp_path)
    assert another_process_claims(tmp_path)
    check_unclaimed(tmp_path)
    claim(tmp_path)
    check_unclaimed(tmp_path)  # nor does it give up what this process has claimed
    assert not another_process_claims(tmp_path)
    release(tmp_path)


@pytest.mark.parametrize("how", ["resume", "overwrite"])
def test_a_run_that_is_being_recorded_is_left_alone(tmp_path: Path, how: str) -> None:
    folder, mark = tmp_path / "r", tmp_path / "mark"

    def wait(progress: Progress) -> None:
        if progress.epoch == 1:
            mark.touch()
            time.sleep(60)

    child = forked(lambda: runner.generate_td(tiny_config(), folder, report=wait))
    waits_for(mark)
    before = sorted(path.name for path in folder.rglob("*"))
    for step in (runner.plan_generate, runner.generate_td):
        with pytest.raises(RunError, match="another process is writing it"):
            step(tiny_config(), folder, **{how: True})
    assert sorted(path.name for path in folder.rglob("*")) == before
    killed(child)
    again = runner.generate_td(tiny_config(), folder, **{how: True})
    assert again.manifest["status"] == "complete" and again.resumed is (how == "resume")


def test_a_finished_run_and_one_that_ended_early_are_given_up(tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.generate_td(tiny_config(train__epochs=1), tmp_path / "r", report=stop)
    runner.generate_td(tiny_config(train__epochs=1), tmp_path / "s")
    for name in ("r", "s"):
        (tmp_path / name).mkdir(exist_ok=True)
        assert another_process_claims(tmp_path / name), name


def test_processes_that_change_a_file_take_turns(tmp_path: Path) -> None:
    count = tmp_path / "count"
    count.write_text("0")

    def add() -> None:
        for _ in range(200):
            with in_turn(tmp_path):
                count.write_text(str(int(count.read_text()) + 1))

    for child in [forked(add) for _ in range(3)]:
        assert result_of(child) is None
    assert count.read_text() == "600"
