"""Data set, corruption and split: what generate-td and denoise start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.config import Config
from tdctl.config.section import Section
from tdctl.data import DataSet, Images
from tdctl.errors import ConfigError, DataError, RunError
from tdctl.files import read_json
from tdctl.inputs.given_labels import Given, TrainingRows, given_labels, open_training_data
from tdctl.labels import Labels, stratified_holdout
from tdctl.run import MANIFEST_FILE
from tdctl.training import World

__all__ = [
    "SPLIT_BY",
    "Channels",
    "Prepared",
    "channels_of_run",
    "check_same_data",
    "normalised_alike",
    "prepare",
    "split_rule",
    "valid_targets",
    "with_whole_paths",
]

# Mean and standard deviation of each colour channel, over 255.
Channels = tuple[Sequence[float], Sequence[float]]
# What held-out images and folds are spread evenly over. Labels before noise is drawn: another
# seed of the noise then holds out the same images.
SPLIT_BY = "labels before noise"
# So were they spread before manifests said it.
SPLIT_BY_GIVEN = "given labels"


@dataclass(frozen=True)
class Prepared:
    """A data set with given labels, split into what is trained on and what is held out.

    Attributes:
        dataset: as it was read.
        given: the given labels of all training images, those of ``valid`` among them.
        labels: given and true labels of ``train``, row by row.
        train: training images whose targets are the given labels; with ``noise.oracle`` only
            those whose given label is the true one.
        valid: held-out images with the labels that ``data.valid_labels`` says, or None.
        split_by: over which labels held-out images and folds are spread evenly.
    """

    dataset: DataSet
    given: Given
    labels: Labels
    train: Images
    valid: Images | None
    split_by: str = SPLIT_BY

    @property
    def valid_indices(self) -> NDArray[np.int64]:
        """Int64 [m], indices of the held-out images."""
        return np.zeros(0, dtype=np.int64) if self.valid is None else self.valid.index

    @property
    def names(self) -> list[str] | None:
        """The file names of ``train``, row by row; None where the images have none."""
        names = self.dataset.file_names
        if names is None:
            return None
        return [names[row] for row in self.dataset.train.rows_of(self.train.index)]

    @property
    def strata(self) -> NDArray[np.int64]:
        """Int64 [n], the labels of ``train`` that folds are spread evenly over."""
        return _strata(self.given, self.split_by)[self.dataset.train.rows_of(self.labels.index)]

    def facts(self) -> dict[str, Any]:
        """What the manifest says of data and noise.

        ``flipped`` and ``realised_rate`` are of the labels that are trained on; the rates within
        ``noise`` are of all that it was drawn for, those of ``--num-valid`` included.
        """
        flipped = int(self.labels.flipped.sum())
        return {
            "dataset": {
                "name": self.dataset.name,
                "class_names": self.dataset.class_names,
                "train": len(self.train),
                "valid": 0 if self.valid is None else len(self.valid),
                "test": 0 if self.dataset.test is None else len(self.dataset.test),
                "skipped": len(self.dataset.skipped),
                "image": list(self.train.shape),
            },
            "data_fingerprint": self.dataset.fingerprint(),
            "data_identity": self.dataset.identity(),
            "pixel_digest": self.dataset.pixel_digest(),
            "channels": {"mean": self.dataset.mean, "std": self.dataset.std},
            "noise": self.given.noise,
            "split_by": self.split_by,
            "given_fingerprint": self.given.labels.fingerprint(),
            "flipped": flipped,
            "realised_rate": flipped / len(self.labels),
        }


def with_whole_paths(config: Config) -> Config:
    """The settings with absolute paths, so that a run finds its data from any folder."""
    sections = {}
    for name, section in config:
        if isinstance(section, Section):
            paths = {key: value.absolute() for key, value in section if isinstance(value, Path)}
            sections[name] = section.model_copy(update=paths)
    return config.model_copy(update=sections)


def check_same_data(run: Path, dataset: DataSet) -> None:
    """Refuses data that has changed since a run, where the run says what it was made from.

    Raises:
        DataError: it has; says what differs.
    """
    manifest = run / MANIFEST_FILE
    facts = read_json(manifest) if manifest.exists() else {}
    was, now = facts.get("data_identity"), dataset.identity()
    differ = []
    if was is not None:
        differ = [part for part in {**was, **now} if was.get(part) != now.get(part)]
    # Streamed images have no digest, then or now.
    digests = {facts.get("pixel_digest"), dataset.pixel_digest()} - {None}
    if len(digests) > 1:
        differ.append("pixels")
    if differ:
        raise DataError(
            f"{dataset.name}: not the data that {run} was made with ({', '.join(differ)} differ); "
            "give that data with --data-dir, or record it anew with --overwrite or another --out"
        )


def channels_of_run(run: Path, config: Config) -> Channels | None:
    """The means and deviations of the channels that a run began with.

    None where it does not state them, or took them from elsewhere than ``config`` does.
    """
    manifest = run / MANIFEST_FILE
    facts = read_json(manifest) if manifest.exists() else {}
    if facts.get("normalise") != config.data.normalise or not facts.get("channels"):
        return None
    return facts["channels"]["mean"], facts["channels"]["std"]


def normalised_alike(dataset: DataSet, began: Channels | None, world: World) -> DataSet:
    """The data set with the channels' mean and deviation that all processes use.

    They are those that a run ``began`` with, else the first process's. Of streamed images they
    come from a sample, of images in memory from all: without this a run that goes on with its
    images held in the other way would not give the same bits.
    """
    mean, std = world.shared((dataset.mean, dataset.std) if began is None else began)
    return replace(dataset, mean=tuple(mean), std=tuple(std))


def split_rule(run: Path) -> str:
    """Over which labels a run that is resumed spread its held-out images and folds.

    Raises:
        RunError: this version does not know what the manifest says.
    """
    found = read_json(run / MANIFEST_FILE).get("split_by", SPLIT_BY_GIVEN)
    if found not in (SPLIT_BY, SPLIT_BY_GIVEN):
        raise RunError(
            f"{run / MANIFEST_FILE}: split_by is {found!r}, which this version of tdctl does not "
            "know; go on with the version that began the run, or start again with --overwrite"
        )
    return str(found)


def prepare(config: Config, *, dry: bool = False, split_by: str = SPLIT_BY) -> Prepared:
    """Reads the data set, corrupts its labels and holds out the validation images.

    ``dry`` decodes no image but the first, unless the noise looks at them.

    The corruption covers the images that ``--num-valid`` holds out too: a user's labels would be
    as wrong there. Those that the data set itself holds out keep the labels they have.

    ``split_by`` is ``SPLIT_BY``, or what ``split_rule`` gives of a run that is resumed.

    Raises:
        DataError: the data set, or a table that noise comes from, is missing or malformed.
        ConfigError: no image is left to train on, the noise does not go with the classes, or
            none of the labels is right where only such are to be trained on.
    """
    dataset = open_training_data(config, dry=dry)
    given = given_labels(config, TrainingRows.of(dataset))
    labels = given.labels
    held = _held_out(config, dataset, _strata(given, split_by))
    if held.all():
        raise ConfigError(
            f"limit: all {len(held)} images that are read are held out for validation by "
            f"{dataset.name} itself; give a larger --limit"
        )
    kept = ~held & ~labels.flipped if config.noise.oracle else ~held
    if not kept.any():
        raise ConfigError(
            "noise.oracle: no training image has a label that is right; leave out --oracle"
        )
    valid = dataset.train.take(held, valid_targets(config, labels)[held]) if held.any() else None
    train = dataset.train.take(kept, labels.assigned[kept])
    return Prepared(dataset, given, labels.take(kept), train, valid, split_by)


def valid_targets(config: Config, labels: Labels) -> NDArray[np.int64]:
    """The labels that held-out images are judged by, as ``data.valid_labels`` says; int64 [n]."""
    return labels.true if config.data.valid_labels == "true" else labels.assigned


def _strata(given: Given, split_by: str) -> NDArray[np.int64]:
    return given.before if split_by == SPLIT_BY else given.labels.assigned


def _held_out(config: Config, dataset: DataSet, strata: NDArray[np.int64]) -> NDArray[np.bool_]:
    if dataset.held is None or not dataset.held.any():
        return stratified_holdout(strata, config.data.num_valid, config.split_seed)
    if config.data.num_valid:
        raise ConfigError(
            f"num_valid: {dataset.name} itself holds out {int(dataset.held.sum())} training "
            "images for validation; leave out --num-valid"
        )
    return dataset.held
