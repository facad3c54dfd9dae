"""The start of a recording or a robust training, before any image is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tdctl.config import Config
from tdctl.files import read_json
from tdctl.inputs import SPLIT_BY, Channels, RankingFile, channels_of_run, split_rule
from tdctl.pretrained import check_start
from tdctl.run import MANIFEST_FILE, RunFolder, Status, check_places, refuse_in_data

__all__ = ["Begun", "begin"]


@dataclass(frozen=True)
class Begun:
    """What the first process finds out before any image is read.

    Attributes:
        status: status of the folder.
        resumed: whether a training that has begun is continued.
        manifest: of a complete run; otherwise empty.
        ranking: the ranking that the settings name; None without one.
        split_by: the labels by which held-out images and folds are stratified.
        channels: the channel means and deviations that the run began with; None for a new run.
        computation: how the run was computed when it began; None for a new run.
        other_versions: a note for the user if another version of tdctl began the run.
    """

    status: Status
    resumed: bool = False
    manifest: dict[str, Any] = field(default_factory=dict)
    ranking: RankingFile | None = None
    split_by: str = SPLIT_BY
    channels: Channels | None = None
    computation: dict[str, Any] | None = None
    other_versions: str | None = None


def begin(
    run: RunFolder,
    config: Config,
    read: Callable[[], RankingFile | None],
    resume: bool,
    overwrite: bool,
) -> Begun:
    """Checks the folder and the files that the settings name; changes nothing but leftovers.

    Args:
        run: the folder.
        config: all settings.
        read: reads the ranking that the settings name.
        resume, overwrite: as in ``generate_td``.

    Raises:
        RunError: the folder is occupied, is inside the data, or has a run with other settings.
        DataError: the ranking is missing or malformed.
        ConfigError: the weights do not fit.
    """
    check_start(config)  # checked before the images, whose reading may take minutes
    status = run.open(config, resume, overwrite)
    if status == "complete":
        run.tidy()
        return Begun(status, manifest=read_json(run.path / MANIFEST_FILE))
    if status == "new":
        refuse_in_data(config.data, run.path)
        return Begun(status, ranking=read())
    check_places(config, run.path)
    ranking = read()
    if not run.checkpoint.exists():  # the run ended before its first complete epoch
        return Begun(status, ranking=ranking)
    return Begun(
        status,
        resumed=True,
        ranking=ranking,
        split_by=split_rule(run.path),
        channels=channels_of_run(run.path, config),
        computation=run.began_with(),
        other_versions=run.other_versions(),
    )
