"""The default settings and the default folder of a robust training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tdctl.config import Config, RetrainConfig
from tdctl.errors import RunError
from tdctl.run import CONFIG_FILE
from tdctl.runner.denoise import OF_THE_DATA, settings_of_run
from tdctl.runner.generate_td import default_folder

__all__ = ["default_training", "settings_to_train_on"]


def settings_to_train_on(folder: Path) -> dict[str, Any]:
    """The nested settings of a run, as a base for a robust training on its data and labels.

    Raises:
        RunError: the folder does not exist, or contains no settings of tdctl.
    """
    settings = settings_of_run(folder)
    if settings is None:
        raise RunError(
            f"{folder}: holds no {CONFIG_FILE} of tdctl, so its data is not known; give "
            "--dataset, --data-dir and --labels instead of --td"
        )
    # What the user said about the images is in ``retrain``; the algorithm sets everything else.
    usual = {name: RetrainConfig.model_fields[name].default for name in OF_THE_DATA}
    told = settings["retrain"]
    settings["robust"] = {name: told[name] for name in OF_THE_DATA if told[name] != usual[name]}
    return settings


def default_training(config: Config, td: Path | None, root: Path) -> Path:
    """The default folder of a training: next to the run that it starts from, or in ``root``."""
    name = f"train_{config.robust.algorithm}_seed{config.seed}"
    if td is not None:
        run = td.resolve()
        return run.parent / f"{name}_{run.name}"
    return default_folder(config, root).parent / name
