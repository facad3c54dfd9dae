"""The data set, its given labels and the split: the start of generate-td and denoise."""

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
from tdctl.nets import check_name, own_input
from tdctl.run import MANIFEST_FILE
from tdctl.training import Report, World

__all__ = [
    "SPLIT_BY",
    "Channels",
    "Prepared",
    "channels_of_run",
    "check_same_data",
    "normalised_alike",
    "prepare",
    "settled",
    "split_rule",
    "valid_targets",
    "with_whole_paths",
]

# Mean and standard deviation of each colour channel, for pixel values divided by 255.
Channels = tuple[Sequence[float], Sequence[float]]
# The labels by which held-out images and folds are stratified. Labels before noise are used, so
# that another noise seed holds out the same images.
SPLIT_BY = "labels before noise"
# Runs whose manifest has no ``split_by`` were stratified by these labels.
SPLIT_BY_GIVEN = "given labels"


@dataclass(frozen=True)
class Prepared:
    """A data set with given labels, split into training and validation images.

    Attributes:
        dataset: the data set as it was read.
        given: the given labels of all training images, including those in ``valid``.
        labels: given and true labels of ``train``, row by row.
        train: training images; their targets are the given labels. With ``noise.oracle`` it has
            only the images whose given label is right.
        valid: held-out images with the labels that ``data.valid_labels`` asks for, or None.
        split_by: the labels by which held-out images and folds are stratified.
    """

    dataset: DataSet
    given: Given
    labels: Labels
    train: Images
    valid: Images | None
    split_by: str = SPLIT_BY

    @property
    def valid_indices(self) -> NDArray[np.int64]:
        """Int64 [m], the indices of the held-out images."""
        return np.zeros(0, dtype=np.int64) if self.valid is None else self.valid.index

    @property
    def names(self) -> list[str] | None:
        """The file names of ``train``, row by row; None if the images have no names."""
        names = self.dataset.file_names
        if names is None:
            return None
        return [names[row] for row in self.dataset.train.rows_of(self.train.index)]

    @property
    def strata(self) -> NDArray[np.int64]:
        """Int64 [n], the labels of ``train`` by which folds are stratified."""
        return _strata(self.given, self.split_by)[self.dataset.train.rows_of(self.labels.index)]

    def facts(self) -> dict[str, Any]:
        """The facts about data and noise for the manifest.

        ``flipped`` and ``realised_rate`` describe the labels that are trained on. The rates in
        ``noise`` describe all labels that noise was drawn for, including the images that
        ``--num-valid`` holds out.
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
    """The settings with absolute paths, so that the run finds its data from any working folder."""
    sections = {}
    for name, section in config:
        if isinstance(section, Section):
            paths = {key: value.absolute() for key, value in section if isinstance(value, Path)}
            sections[name] = section.model_copy(update=paths)
    return config.model_copy(update=sections)


def settled(config: Config) -> Config:
    """The settings that a run is made with and that its folder contains.

    Paths are absolute. Without an image size, a pretrained network of torchvision or timm gets
    images of the size that its published weights expect.

    Raises:
        ConfigError: the name of the network is unknown.
    """
    config = with_whole_paths(config)
    check_name(config.net)
    if not config.net.starts_trained or config.data.image_size is not None:
        return config
    own = own_input(config.net)
    if own is None:
        return config
    sized = config.data.model_copy(update={"image_size": own.size})
    return config.model_copy(update={"data": sized})


def check_same_data(run: Path, dataset: DataSet) -> None:
    """Refuses data that has changed since a run, if the run recorded what its data was.

    Raises:
        DataError: the data has changed; the message says in what.
    """
    manifest = run / MANIFEST_FILE
    facts = read_json(manifest) if manifest.exists() else {}
    was, now = facts.get("data_identity"), dataset.identity()
    differ = []
    if was is not None:
        differ = [part for part in {**was, **now} if was.get(part) != now.get(part)]
    # Streamed images have no digest, neither in the manifest nor now.
    digests = {facts.get("pixel_digest"), dataset.pixel_digest()} - {None}
    if len(digests) > 1:
        differ.append("vectors" if dataset.train.are_vectors else "pixels")
    if "features by" in differ:
        raise DataError(
            f"{dataset.name}: {run} has features by other weights; give those weights with "
            "--pretrained, or record it anew with --overwrite or another --out"
        )
    if differ:
        raise DataError(
            f"{dataset.name}: not the data that {run} was made with ({', '.join(differ)} differ); "
            "give that data with --data-dir, --labels and --limit as they were, or record it anew "
            "with --overwrite or another --out"
        )


def channels_of_run(run: Path, config: Config) -> Channels | None:
    """The means and deviations of the colour channels that a run began with.

    None if the run does not state them, or if ``config`` now asks for another normalisation.
    """
    manifest = run / MANIFEST_FILE
    facts = read_json(manifest) if manifest.exists() else {}
    if facts.get("normalise") != config.data.normalise or not facts.get("channels"):
        return None
    return facts["channels"]["mean"], facts["channels"]["std"]


def normalised_alike(dataset: DataSet, began: Channels | None, world: World) -> DataSet:
    """The data set with the channel means and deviations that all processes use.

    Args:
        dataset: the data set as this process read it.
        began: the values that a resumed run began with; None takes those of the first process.
        world: the processes.

    Streamed images give these values from a sample, images in memory from all images. If a
    resumed run computed them anew and stored its images in the other way, its results would
    change.
    """
    mean, std = world.shared((dataset.mean, dataset.std) if began is None else began)
    return replace(dataset, mean=tuple(mean), std=tuple(std))


def split_rule(run: Path) -> str:
    """The labels by which a run to resume stratified its held-out images and folds.

    Raises:
        RunError: this version of tdctl does not know the value in the manifest.
    """
    found = read_json(run / MANIFEST_FILE).get("split_by", SPLIT_BY_GIVEN)
    if found not in (SPLIT_BY, SPLIT_BY_GIVEN):
        raise RunError(
            f"{run / MANIFEST_FILE}: split_by is {found!r}, which this version of tdctl does not "
            "know; go on with the version that began the run, or start again with --overwrite"
        )
    return str(found)


def prepare(
    config: Config,
    *,
    dry: bool = False,
    split_by: str = SPLIT_BY,
    report: Report | None = None,
) -> Prepared:
    """Reads the data set, makes the given labels and holds out the validation images.

    Images that ``--num-valid`` holds out get noisy labels too, because a user's labels would be
    wrong there as often. Images that the data set itself holds out keep their labels.

    Args:
        config: all settings.
        dry: decode only the first image, unless the noise depends on the pixels.
        split_by: ``SPLIT_BY``; for a run that is resumed, the result of ``split_rule``.
        report: is told how many images are decoded, and the progress of the features of a frozen
            network.

    Raises:
        DataError: the data set, or a table that noise needs, is missing or malformed.
        ConfigError: no image is left to train on, or the noise does not suit the classes, or
            ``noise.oracle`` is on and no label is right.
    """
    dataset = open_training_data(config, dry=dry, report=report)
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
    """Int64 [n]: the labels that held-out images are judged by, see ``data.valid_labels``."""
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
