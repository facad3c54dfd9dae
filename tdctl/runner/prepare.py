"""Data set, corruption and split: what generate-td and denoise start from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.config import Config
from tdctl.config.section import Section
from tdctl.data import DataSet, Images, open_dataset
from tdctl.errors import DataError
from tdctl.labels import Labels, corrupt, stratified_holdout
from tdctl.run import MANIFEST_FILE, read_json
from tdctl.training import World

__all__ = ["Prepared", "check_same_data", "normalised_alike", "prepare", "with_whole_paths"]


@dataclass(frozen=True)
class Prepared:
    """A data set with given labels, split into what is trained on and what is held out.

    Attributes:
        dataset: as it was read.
        labels: given and true labels of ``train``, row by row.
        train: training images whose targets are the given labels.
        valid: held-out images with given labels, or None.
    """

    dataset: DataSet
    labels: Labels
    train: Images
    valid: Images | None

    @property
    def valid_indices(self) -> NDArray[np.int64]:
        """Int64 [m], indices of the held-out images."""
        return np.zeros(0, dtype=np.int64) if self.valid is None else self.valid.index

    def facts(self) -> dict[str, Any]:
        """What the manifest says of the data; ``realised`` is over all training labels."""
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


def normalised_alike(dataset: DataSet, config: Config, run: Path | None, world: World) -> DataSet:
    """The data set with the channels' mean and deviation that all processes use.

    They are those that ``run`` began with, where it is given, states them, and took them from
    where ``config`` does; else the first process's. Where many images are streamed they are those
    of a sample, and of all where the images are held: without this a run would not go on to the
    same bits another way.
    """

    def channels() -> dict[str, Any]:
        manifest = run / MANIFEST_FILE if run is not None else None
        facts = read_json(manifest) if manifest and manifest.exists() else {}
        found = facts.get("channels") if facts.get("normalise") == config.data.normalise else None
        return found or {"mean": dataset.mean, "std": dataset.std}

    agreed = world.told(channels)
    return replace(dataset, mean=tuple(agreed["mean"]), std=tuple(agreed["std"]))


def prepare(config: Config) -> Prepared:
    """Reads the data set, corrupts its labels and holds out the validation images.

    The corruption covers the held-out images too: a user's labels would be as wrong there.

    Raises:
        DataError: the data set is missing or malformed.
        ConfigError: more images are to be held out than there are.
    """
    dataset = open_dataset(config.data, config.split_seed)
    clean = dataset.labels
    assigned = clean.assigned
    if config.noise.noise_ratio > 0:
        assigned = corrupt(
            clean.assigned,
            clean.index,
            dataset.num_classes,
            config.noise.noise_type,
            config.noise.noise_ratio,
            config.noise_seed,
        )
    labels = Labels(clean.index, assigned, clean.true)
    held = stratified_holdout(assigned, config.data.num_valid, config.split_seed)
    kept = labels.take(~held)
    valid = dataset.train.take(held, assigned[held]) if held.any() else None
    return Prepared(dataset, kept, dataset.train.take(~held, kept.assigned), valid)
