"""What a run that goes on takes over: its settings, where its data are, and what is said of it."""

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
    """The nested settings that a run began with, as a base for its resumption.

    None where it was ended before it wrote them.

    Raises:
        RunError: nothing began there.
        ConfigError: they are malformed.
    """
    _check_begun(folder, _occupied(folder))
    if not (folder / CONFIG_FILE).exists():
        return None
    return read_config(folder).model_dump(mode="json")


def denoising_to_resume(base: Path) -> dict[str, Any] | None:
    """The nested settings that all retrainings of a denoising began with.

    None where they differ, as those by several detectors may, or were never written.

    Raises:
        RunError: no retraining began there.
        ConfigError: they are malformed.
    """
    folders = _retrainings(base)
    _check_begun(base, bool(folders))
    found = [read_config(folder) for folder in folders if (folder / CONFIG_FILE).exists()]
    if not found or any(differences(found[0], one, ("device",), HELD) for one in found):
        return None
    return found[0].model_dump(mode="json")


def _check_begun(path: Path, begun: bool) -> None:
    """Refuses to go on where nothing began, as with a mistyped name.

    Raises:
        RunError: nothing did.
    """
    if not begun:
        raise RunError(
            f"{path}: nothing to go on with, no run has begun there; check --out, or leave out "
            "--resume to begin"
        )


def _occupied(folder: Path) -> bool:
    # A file, or a folder of other things, is refused where the run is opened.
    return folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))


def _retrainings(base: Path) -> list[Path]:
    """The folders of a denoising's retrainings, in turn."""
    patterns = (f"*/{MANIFEST_FILE}", f"*/*/{MANIFEST_FILE}")
    files = sorted(file for pattern in patterns for file in base.glob(pattern))
    return [file.parent for file in files if read_json(file).get("command") == "denoise"]


def default_denoising(runs: Sequence[Path], seed: int) -> Path:
    """Where a denoising goes by default, beside the (first) run: named after the run or the runs.

    A run in the paper's form, ``computation4td_seed3``, is retrained in ``prune4retrain_seed3``.
    """
    first, *_ = whole = [run.resolve() for run in runs]
    papers = f"{PAPERS}{seed}"
    rest = first.name.removeprefix(papers)
    if len(runs) == 1 and first.name.startswith(papers) and not rest[:1].isdigit():
        return first.parent / f"prune4retrain_seed{seed}{rest}"
    names = "+".join(run.name for run in whole)[:120]
    return first.parent / f"prune4retrain_{names}_seed{seed}"


def check_places(config: Config, run: Path) -> None:
    """Refuses a run whose data or tables are no longer where it found them.

    Those that are named anew are refused, if they are not there, by what reads them.

    Raises:
        DataError: names the option that says where they are now.
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
