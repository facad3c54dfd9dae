"""The first split of a robust training, from a ranking of the same samples."""

from __future__ import annotations

from collections.abc import Sequence

from tdctl.config import RobustConfig, TrainConfig
from tdctl.errors import ConfigError, DataError
from tdctl.inputs import LeftOut, RankingFile, find_left_out, read_ranking
from tdctl.labels import Labels

__all__ = ["find_first_split", "read_split_ranking"]


def read_split_ranking(config: RobustConfig) -> RankingFile | None:
    """The ranking that ``split_from`` names; None if it names none.

    Raises:
        DataError: the file is missing, or is not a ranking.
    """
    try:
        return read_ranking(_as_left_out(config))
    except DataError as error:
        raise DataError(_said_of_split(error)) from None


def find_first_split(
    found: RankingFile | None,
    config: RobustConfig,
    labels: Labels,
    class_names: Sequence[str],
    names: Sequence[str] | None,
) -> LeftOut:
    """Which labels the ranking takes as wrong: its worst share, at most half of each given class.

    Raises:
        DataError: the ranking has other samples or other given labels.
        ConfigError: the share takes no sample, or all samples.
    """
    try:
        return find_left_out(found, _as_left_out(config), labels, class_names, names)
    except (DataError, ConfigError) as error:
        raise type(error)(_said_of_split(error)) from None


def _as_left_out(config: RobustConfig) -> TrainConfig:
    """The same settings under the names of a second round, which reads its ranking in this way."""
    if config.split_from is None or config.split_ratio is None:
        return TrainConfig()
    return TrainConfig(leave_out=config.split_from, leave_out_ratio=config.split_ratio)


def _said_of_split(error: Exception) -> str:
    """The message with the names that these settings have here."""
    text = str(error).replace("--leave-out-ratio", "--split-ratio")
    text = text.replace("leave_out_ratio", "split_ratio").replace("--leave-out", "--split-from")
    text = text.replace("leave_out:", "split_from:")
    return text.replace("leaves out nothing", "takes no sample as wrong")
