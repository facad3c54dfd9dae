"""The images of a denoising: those of the run, with its given labels and its held-out images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tdctl.config import Config
from tdctl.data import DataSet, Images
from tdctl.errors import DataError
from tdctl.files import read_json
from tdctl.inputs import (
    TrainingRows,
    check_same_data,
    given_labels,
    open_training_data,
    valid_targets,
)
from tdctl.labels import Labels
from tdctl.rankers import DetectResult
from tdctl.run import MANIFEST_FILE
from tdctl.training import Report

__all__ = ["RunImages", "images_of_run"]


@dataclass(frozen=True)
class RunImages:
    """The data set, the run's images with its given labels, and the images that it held out."""

    dataset: DataSet
    images: Images
    valid: Images | None


def images_of_run(
    config: Config, run: Path, detection: DetectResult, report: Report | None = None
) -> RunImages:
    """The data set, after a check that it is the one that the run was made with."""
    dataset = open_training_data(config, report=report)
    check_same_data(run, dataset)
    images = _images_of(dataset, detection.labels)
    return RunImages(dataset, images, _valid_of(run, dataset, detection.valid_indices, config))


def _images_of(dataset: DataSet, labels: Labels) -> Images:
    """The run's training images with its given labels, after a check that they belong together."""
    rows = dataset.train.rows_of(labels.index)
    # For a label that is known to be wrong, the right one may be unknown (-1).
    differ = np.flatnonzero((dataset.labels.true[rows] != labels.true) & (labels.true >= 0))
    if len(differ):
        index = labels.index[differ[0]]
        raise DataError(
            f"{dataset.name}: {len(differ)} labels differ from those of the run, first at index "
            f"{index}; give the data set that the run was made with"
        )
    return dataset.train.take(rows, labels.assigned)


def _valid_of(
    run: Path, dataset: DataSet, index: NDArray[np.int64], config: Config
) -> Images | None:
    """The images that the run held out, with the labels that they had in the run."""
    if not len(index):
        return None
    given = given_labels(config, TrainingRows.of(dataset))
    manifest = run / MANIFEST_FILE
    was = read_json(manifest).get("given_fingerprint") if manifest.exists() else None
    if was is not None and was != given.labels.fingerprint():
        raise DataError(
            f"{run}: its settings give other labels now than when it was made; restore the table, "
            "pairs or matrix of its noise, or record it anew"
        )
    rows = dataset.train.rows_of(index)
    return dataset.train.take(rows, valid_targets(config, given.labels)[rows])
