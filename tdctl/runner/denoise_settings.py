"""The settings of a denoising: those of the run that it starts from, and what must not differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tdctl.config import Config, RetrainConfig
from tdctl.errors import ConfigError, RunError
from tdctl.files import read_json
from tdctl.run import CONFIG_FILE, MANIFEST_FILE, read_config
from tdctl.versions import changed_versions

__all__ = [
    "OF_THE_DATA",
    "PINNED",
    "as_the_run",
    "check_as_recorded",
    "settings_of_run",
    "without_test_images",
]

# These settings come from the run and cannot change: they determine the given labels and the
# held-out images.
FIXED = (
    "data.num_valid",
    "noise.noise_type",
    "noise.noise_ratio",
    "noise.noise_seed",
    "noise.oracle",
)
# A config file for denoise does not change these settings of the run; only flags change them.
PINNED = ("seed", "data", "noise", "net")
# Settings of a training that depend on the images, for example whether they may be mirrored.
OF_THE_DATA = ("augment", "flip", "crop_padding")


def settings_of_run(folder: Path) -> dict[str, Any] | None:
    """The nested settings of a run, as a base for denoising; None for runs of other programs.

    The seeds of noise and splits are written as numbers. So another ``seed`` changes the
    retraining, but not the labels and the test set. What the run was told about its images, such
    as whether they may be mirrored, also holds for the retraining, unless the run's settings say
    something else.

    Raises:
        RunError: the folder does not exist.
    """
    if not folder.is_dir():
        raise RunError(
            f"{folder}: no such run folder; expected a folder that tdctl generate-td wrote"
        )
    if not (folder / CONFIG_FILE).exists():
        return None
    config = read_config(folder)
    settings = config.model_dump(mode="json")
    settings["noise"]["noise_seed"] = config.noise_seed
    settings["data"]["split_seed"] = config.split_seed
    settings["retrain"] |= _of_the_data(config)
    return settings


def without_test_images(run: Path) -> bool:
    """Whether a run says that it has no test images, so that nothing tells retrainings apart."""
    file = run / MANIFEST_FILE
    return file.exists() and dict(read_json(file).get("dataset") or {}).get("test") == 0


def _of_the_data(config: Config) -> dict[str, Any]:
    """What the run was told about its images, where its retraining has default settings.

    Whether images may be mirrored, shifted or changed is a property of the images.
    """
    usual = {name: field.default for name, field in RetrainConfig.model_fields.items()}
    return {
        name: getattr(config.train, name)
        for name in OF_THE_DATA
        if getattr(config.retrain, name) == usual[name] != getattr(config.train, name)
    }


def check_as_recorded(config: Config, run: Path) -> None:
    """Refuses settings that would give other labels or held-out images than the run has.

    Raises:
        ConfigError: a setting differs; names it.
    """
    base = settings_of_run(run)
    if base is None:
        return
    now = config.model_dump(mode="json")
    now["noise"]["noise_seed"] = config.noise_seed
    for key in FIXED:
        section, _, name = key.partition(".")
        was, asked = base[section][name], now[section][name]
        if was != asked:
            raise ConfigError(
                f"{key}: {asked} is asked for, but {run} was recorded with {was}, which stays; "
                "leave it out, or record another run"
            )


def as_the_run(config: Config, run: Path) -> list[str]:
    """Notes on settings that the retraining takes from the run, and on another version of tdctl."""
    if not (run / CONFIG_FILE).exists():
        return []
    told = read_config(run)
    alike = {
        name: value
        for name, value in _of_the_data(told).items()
        if getattr(config.retrain, name) == value
    }
    notes = []
    if alike:
        names = ", ".join(f"retrain.{name} {value}" for name, value in alike.items())
        notes.append(
            f"images are treated as in {run}: {names}; give your own settings to change it"
        )
    versions = read_json(run / MANIFEST_FILE).get("versions")
    if (differ := changed_versions(versions)) is not None:
        then, now = differ
        notes.append(f"{run}: recorded with {then}, retrained with {now}: last bits may differ")
    return notes
