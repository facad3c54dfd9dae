"""The input of a training: the images, their given labels, and which images are not trained on."""

from __future__ import annotations

from tdctl.inputs.given_labels import (
    Given,
    TrainingRows,
    given_labels,
    list_training_data,
    open_training_data,
)
from tdctl.inputs.left_out import LeftOut, RankingFile, find_left_out, read_ranking
from tdctl.inputs.prepare import (
    SPLIT_BY,
    Channels,
    Prepared,
    channels_of_run,
    check_same_data,
    normalised_alike,
    prepare,
    settled,
    split_rule,
    valid_targets,
    with_whole_paths,
)

__all__ = [
    "SPLIT_BY",
    "Channels",
    "Given",
    "LeftOut",
    "Prepared",
    "RankingFile",
    "TrainingRows",
    "channels_of_run",
    "check_same_data",
    "find_left_out",
    "given_labels",
    "list_training_data",
    "normalised_alike",
    "open_training_data",
    "prepare",
    "settled",
    "read_ranking",
    "split_rule",
    "valid_targets",
    "with_whole_paths",
]
