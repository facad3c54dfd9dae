"""``train_log.csv`` is there while a training runs, and each epoch is in it once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import tiny_config
from processes import in_world

from tdctl import runner
from tdctl.errors import RunError
from tdctl.files import read_json
from tdctl.training import Progress, World, loop, write_log
from tdctl.training.checkpoint import Checkpoint

# As the published code has them, and the test error.
COLUMNS = "epoch,train_error,train_loss,valid_error,valid_top5_error,valid_loss,test_error"


class Stop(Exception):
    """Stands for a kill."""


def log_of(folder: Path) -> Path:
    return folder / "train_log.csv"


@pytest.fixture(scope="module")
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in one go, without or with held-out images; tests only read it."""
    config = tiny_config(train__epochs=3, data__num_valid=request.param)
    return runner.generate_td(config, tmp_path_factory.mktemp("whole") / "r").folder


ALL = pytest.mark.parametrize("whole", [0], indirect=True)
HELD_OUT = pytest.mark.parametrize("whole", [30], indirect=True)


@pytest.mark.parametrize("split", [{}, {"data__num_valid": 30}, {"train__folds": 2}])
def test_the_log_gains_a_row_with_each_epoch(tmp_path: Path, split: dict[str, Any]) -> None:
    seen: list[str] = []

    def look(progress: Progress) -> None:
        if progress.epoch and progress.step == progress.steps:
            seen.append(log_of(tmp_path / "r").read_text())

    runner.generate_td(tiny_config(train__epochs=3, **split), tmp_path / "r", report=look)
    assert [len(text.splitlines()) for text in seen] == [2, 3, 4]
    assert all(text.splitlines()[0] == COLUMNS for text in seen)
    final = log_of(tmp_path / "r").read_text()
    # What stood there stays. The last row may get what is computed at the end alone.
    assert all(final.startswith(text.rstrip("\n")) for text in seen)


def test_the_test_error_is_in_the_log_where_it_is_known(tmp_path: Path) -> None:
    plain = runner.generate_td(tiny_config(train__epochs=3), tmp_path / "plain")
    log = pd.read_csv(log_of(plain.folder))
    assert (log["test_error"] == log["valid_error"]).all()
    assert log["test_error"].iloc[-1] == plain.manifest["test_error_last"]
    held = runner.generate_td(tiny_config(train__epochs=3, data__num_valid=30), tmp_path / "held")
    log = pd.read_csv(log_of(held.folder))
    assert list(log["test_error"].isna()) == [True, True, False]
    assert log["test_error"].iloc[-1] == held.manifest["test_error_last"]
    assert log["valid_error"].notna().all()
    every = tiny_config(train__epochs=3, train__eval_every=2)
    log = pd.read_csv(log_of(runner.generate_td(every, tmp_path / "every").folder))
    assert list(log["test_error"].isna()) == [True, False, False]


def half_a_row(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-17])


def a_row_more(file: Path) -> None:
    file.write_text(file.read_text() + "2,0.1,0.2,,,,\n")


def noise(file: Path) -> None:
    file.write_bytes(b"\xff\x00\n,,,")


def gone(file: Path) -> None:
    file.unlink()


@HELD_OUT
@pytest.mark.parametrize("damage", [half_a_row, a_row_more, noise, gone])
@pytest.mark.parametrize("stopped_after", [2, 3])
def test_a_damaged_log_does_not_hinder_resuming(
    tmp_path: Path, whole: Path, damage: Any, stopped_after: int
) -> None:
    config = tiny_config(train__epochs=3, data__num_valid=30)

    def stop(progress: Progress) -> None:
        if progress.epoch == stopped_after and progress.step == progress.steps:
            raise Stop

    with pytest.raises(Stop):
        runner.generate_td(config, tmp_path / "r", report=stop)
    damage(log_of(tmp_path / "r"))
    runner.generate_td(config, tmp_path / "r", resume=True)
    assert log_of(tmp_path / "r").read_bytes() == log_of(whole).read_bytes()


@ALL
def test_a_checkpoint_without_test_errors_goes_on(tmp_path: Path, whole: Path) -> None:
    """Those of earlier versions have none."""
    config = tiny_config(train__epochs=3)

    def stop(progress: Progress) -> None:
        if progress.epoch == 2 and progress.step == progress.steps:
            raise Stop

    with pytest.raises(Stop):
        runner.generate_td(config, tmp_path / "r", report=stop)
    saved = Checkpoint.read(tmp_path / "r" / "checkpoint.pth")
    assert saved is not None
    for row in saved.log:
        del row["test_error"]
    saved.write(tmp_path / "r" / "checkpoint.pth")
    runner.generate_td(config, tmp_path / "r", resume=True)
    assert log_of(tmp_path / "r").read_bytes() == log_of(whole).read_bytes()


@ALL
def test_a_kill_between_checkpoint_and_log_loses_no_epoch(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(train__epochs=3)

    def killed(path: Path, log: Any) -> None:
        if len(log) == 2:
            raise Stop
        write_log(path, log)

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(loop, "write_log", killed)
        runner.generate_td(config, tmp_path / "r")
    assert len(pd.read_csv(log_of(tmp_path / "r"))) == 1
    seen: list[int] = []

    def look(progress: Progress) -> None:
        seen.append(len(pd.read_csv(log_of(tmp_path / "r"))))

    runner.generate_td(config, tmp_path / "r", resume=True, report=look)
    assert seen[0] >= 2
    assert log_of(tmp_path / "r").read_bytes() == log_of(whole).read_bytes()


def test_a_full_disk_at_the_log_is_one_line_and_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(train__epochs=2)

    def full(path: Path, log: Any) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch, pytest.raises(RunError, match=r"full; .*--resume"):
        patch.setattr(loop, "write_log", full)
        runner.generate_td(config, tmp_path / "r")
    assert read_json(tmp_path / "r" / "manifest.json")["status"] == "failed"
    assert runner.generate_td(config, tmp_path / "r", resume=True).resumed


def test_the_retrainings_of_a_denoising_have_such_logs(digits_run: Path, tmp_path: Path) -> None:
    seen: dict[str, list[int]] = {}
    config = tiny_config(data__num_valid=30)

    def look(progress: Progress) -> None:
        if progress.epoch and progress.step == progress.steps and progress.stage != "ranking":
            lengths = [len(pd.read_csv(file)) for file in sorted(tmp_path.rglob("train_log.csv"))]
            seen.setdefault(progress.stage, []).append(lengths[-1])

    runner.denoise(config, digits_run, Path("builtin"), [0.1], out=tmp_path, report=look)
    assert seen == {"pruned 0.1": [1, 2]}


def test_only_the_first_process_writes_it(tmp_path: Path) -> None:
    folder = tmp_path / "r"

    def run() -> Any:
        written: list[int] = []

        def counted(path: Path, log: Any) -> None:
            written.append(len(log))
            write_log(path, log)

        loop.write_log = counted  # this process is a fork of its own
        with World.joined("cpu") as world:
            runner.generate_td(tiny_config(), folder, world=world)
        return written

    assert in_world(2, run) == [[1, 2], []]
    assert len(pd.read_csv(log_of(folder))) == 2
