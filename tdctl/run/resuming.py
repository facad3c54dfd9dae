"""Resuming a run: its settings, the place of its data, and the default folder of a denoising."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tdctl.config import Config
from tdctl.errors import DataError, RunError
from tdctl.files import read_json
from tdctl.run.folder import CONFIG_FILE, HELD, MANIFEST_FILE, read_config
from tdctl.settings import differences

__all__ = [
    "check_places",
    "default_denoising",
    "denoising_to_resume",
    "settings_to_resume",
]

PAPERS = "computation4td_seed"


def settings_to_resume(folder: Path) -> dict[str, Any] | None:
    """The nested settings that a run began with, as the base for resuming it.

    None if the run ended before it wrote its settings.

    Raises:
        RunError: no run has begun in the folder.
        ConfigError: the settings are malformed.
    """
    _check_begun(folder, _occupied(folder))
    if not (folder / CONFIG_FILE).exists():
        return None
    return read_config(folder).model_dump(mode="json")


def denoising_to_resume(base: Path) -> dict[str, Any] | None:
    """The nested settings that all retrainings of a denoising began with.

    None if the settings differ between retrainings (as they may for several detectors), or if
    no retraining has written its settings.

    Raises:
        RunError: no retraining has begun in the folder.
        ConfigError: the settings are malformed.
    """
    folders = _retrainings(base)
    rounds = base.glob(f"*/*/*/{MANIFEST_FILE}")  # recordings between two rankings
    _check_begun(base, bool(folders) or any(rounds))
    found = [read_config(folder) for folder in folders if (folder / CONFIG_FILE).exists()]
    if not found or any(differences(found[0], one, ("device",), HELD) for one in found):
        return None
    return found[0].model_dump(mode="json")


def _check_begun(path: Path, begun: bool) -> None:
    """Refuses to resume if nothing has begun, for example because a name is mistyped.

    Raises:
        RunError: nothing has begun.
    """
    if not begun:
        raise RunError(
            f"{path}: nothing to go on with, no run has begun there; check --out, or leave out "
            "--resume to begin"
        )


def _occupied(folder: Path) -> bool:
    # A path that is a file, or a folder with other content, is refused when the run is opened.
    return folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))


def _retrainings(base: Path) -> list[Path]:
    """The folders of the retrainings of a denoising, sorted by path."""
    patterns = (f"*/{MANIFEST_FILE}", f"*/*/{MANIFEST_FILE}")
    files = sorted(file for pattern in patterns for file in base.glob(pattern))
    return [file.parent for file in files if read_json(file).get("command") == "denoise"]


def default_denoising(runs: Sequence[Path], seed: int) -> Path:
    """The default folder of a denoising: next to the first run, and named after the runs.

    A run folder with the paper's name ``computation4td_seed3`` gives ``prune4retrain_seed3``.
    """
    first, *_ = whole = [run.resolve() for run in runs]
    papers = f"{PAPERS}{seed}"
    rest = first.name.removeprefix(papers)
    if len(runs) == 1 and first.name.startswith(papers) and not rest[:1].isdigit():
        return first.parent / f"prune4retrain_seed{seed}{rest}"
    names = "+".join(run.name for run in whole)[:120]
    return first.parent / f"prune4retrain_{names}_seed{seed}"


def check_places(config: Config, run: Path) -> None:
    """Refuses to use a run if its data or its label table is no longer where the run found it.

    Paths that the user has given anew are not checked here; the reader of the data checks them.

    Raises:
        DataError: a path is missing; the message names the option to give.
    """
    if not (run / CONFIG_FILE).exists():
        return
    began = read_config(run)
    for name in ("data_dir", "labels"):
        was, now = getattr(began.data, name), getattr(config.data, name)
        if was is not None and was == now and not was.exists():
            raise DataError(
                f"{was}: is no longer there, and {run} was made with it; say where it is now: "
                f"give --{name.replace('_', '-')} NEW"
            )
