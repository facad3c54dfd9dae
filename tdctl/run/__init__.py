"""The run folder: its files, its settings, its class and file names, and how a run is resumed."""

from __future__ import annotations

from tdctl.run.class_and_file_names import class_names, file_names, names_something
from tdctl.run.folder import (
    BOARD_FOLDER,
    CHECKPOINT_FILE,
    CONFIG_FILE,
    DROPPED_FILE,
    HELD,
    LOG_FILE,
    MANIFEST_FILE,
    SECOND,
    SKIPPED_FILE,
    RunFolder,
    Status,
    read_config,
    refuse_existing,
)
from tdctl.run.outside import refuse_in_data, refuse_in_data_of
from tdctl.run.resuming import (
    check_places,
    default_denoising,
    denoising_to_resume,
    settings_to_resume,
)

__all__ = [
    "BOARD_FOLDER",
    "CHECKPOINT_FILE",
    "CONFIG_FILE",
    "DROPPED_FILE",
    "HELD",
    "LOG_FILE",
    "MANIFEST_FILE",
    "SECOND",
    "SKIPPED_FILE",
    "RunFolder",
    "Status",
    "check_places",
    "class_names",
    "default_denoising",
    "denoising_to_resume",
    "file_names",
    "names_something",
    "read_config",
    "refuse_existing",
    "refuse_in_data",
    "refuse_in_data_of",
    "settings_to_resume",
]
