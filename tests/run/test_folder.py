from __future__ import annotations

from pathlib import Path

import pytest
from conftest import tiny_config

from tdctl.errors import ConfigError, RunError
from tdctl.files import atomic_path, read_json, write_json
from tdctl.run import RunFolder, read_config, refuse_existing


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "sub" / "file.txt"
    with pytest.raises(ZeroDivisionError), atomic_path(target) as part:
        part.write_text("half")
        raise ZeroDivisionError
    assert not target.exists() and not list(target.parent.iterdir())
    target.write_text("old")
    with atomic_path(target) as part:
        part.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


def test_nan_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_an_occupied_folder_names_both_ways_out(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "r", "generate-td")
    folder.start(tiny_config(), {}, "new")
    with pytest.raises(RunError, match=r"--resume.*--overwrite"):
        folder.open(tiny_config(), resume=False, overwrite=False)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_without_a_run_is_left_alone(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "theirs.txt").write_text("x")
    with pytest.raises(RunError, match="no run of tdctl, and is left alone; give another --out"):
        RunFolder(tmp_path, "generate-td").open(tiny_config(), resume=False, overwrite=overwrite)


def test_overwriting_leaves_what_is_not_ours(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "generate-td")
    folder.start(tiny_config(), {}, "new")
    (tmp_path / "theirs.txt").write_text("x")
    (tmp_path / "model.pth").write_text("old")
    status = folder.open(tiny_config(), resume=False, overwrite=True)
    folder.start(tiny_config(), {}, status)
    assert (tmp_path / "theirs.txt").read_text() == "x"
    assert not (tmp_path / "model.pth").exists()


def test_a_start_that_is_killed_halfway_can_be_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "r"
    with monkeypatch.context() as patch:
        patch.setattr("tdctl.run.folder.write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            RunFolder(folder, "generate-td").start(tiny_config(), {}, "new")
    run = RunFolder(folder, "generate-td")
    assert run.open(tiny_config(), resume=False, overwrite=True) == "new"


def test_a_folder_that_is_no_run_is_never_cleared(tmp_path: Path) -> None:
    (tmp_path / "capture").mkdir()
    (tmp_path / "config.yaml").write_text("mine")
    with pytest.raises(RunError, match="left alone"):
        RunFolder(tmp_path, "generate-td").open(tiny_config(), resume=False, overwrite=True)
    assert (tmp_path / "config.yaml").read_text() == "mine"


def test_a_run_of_another_command_is_not_resumed(tmp_path: Path) -> None:
    RunFolder(tmp_path, "denoise").start(tiny_config(), {}, "new")
    with pytest.raises(RunError, match="written by denoise"):
        RunFolder(tmp_path, "generate-td").open(tiny_config(), resume=True, overwrite=False)


@pytest.mark.parametrize("content", ["", "seed: 0\n"])
def test_settings_that_were_cut_off_are_not_taken_as_defaults(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(ConfigError, match="cut off"):
        read_config(tmp_path)


def test_resuming_with_other_settings_names_them(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "r", "generate-td")
    folder.start(tiny_config(), {}, "new")
    with pytest.raises(RunError, match=r"train\.epochs: 2, now 5"):
        folder.open(tiny_config(train__epochs=5), resume=True, overwrite=False)
    again = tiny_config(device="cpu", retrain__epochs=77)
    assert folder.open(again, resume=True, overwrite=False) == "unfinished"


def test_resuming_what_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs.txt").write_text("x")
    with pytest.raises(RunError, match="no run that could be resumed"):
        RunFolder(tmp_path, "generate-td").open(tiny_config(), resume=True, overwrite=False)


def test_the_manifest_tells_how_it_ended(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "r", "generate-td")
    folder.start(tiny_config(), {"seed": 3}, "new")
    manifest = tmp_path / "r" / "manifest.json"
    assert read_json(manifest)["status"] == "running"
    folder.checkpoint.write_text("an epoch")
    folder.stop("failed", "why")
    assert read_json(manifest)["reason"] == "why"
    folder.start(tiny_config(), {"seed": 3}, "unfinished")
    folder.finish({"test_error_last": 0.5})
    content = read_json(manifest)
    assert "reason" not in content
    assert content["status"] == "complete" and content["seed"] == 3
    assert {"python", "torch", "torchvision", "tdctl"} <= set(content["versions"])


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is a folder"):
        refuse_existing([tmp_path], overwrite=True)
    file = tmp_path / "f"
    file.write_text("x")
    with pytest.raises(RunError, match="cannot be written"):
        refuse_existing([file / "below" / "x.csv"], overwrite=True)
    with pytest.raises(RunError, match="is a file"):
        RunFolder(file, "generate-td").open(tiny_config(), resume=False, overwrite=True)
    with pytest.raises(RunError, match="--overwrite"):
        refuse_existing([file], overwrite=False)
    refuse_existing([file], overwrite=True)
