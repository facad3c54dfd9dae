"""The given labels: those of the data set, those that noise makes of them, or those of a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.config import Config, DataConfig
from tdctl.data import DataSet, Images, open_dataset
from tdctl.errors import ConfigError
from tdctl.features import frozen_features
from tdctl.labels import Labels
from tdctl.nets import own_input
from tdctl.noise import Confusion, Drawn, PixelSource, confusion_of, file_facts, fixed, make_noise
from tdctl.sources import Listing, list_dataset
from tdctl.sources.tables.relabelling import labels_from_table
from tdctl.training import Decoding, Report, pick_device

__all__ = ["Given", "TrainingRows", "given_labels", "list_training_data", "open_training_data"]


@dataclass(frozen=True)
class TrainingRows:
    """The n training images of a source, from which given labels are made.

    Attributes:
        class_names: k names.
        labels: given and true labels as the source has them.
        names: n file names, or None.
        held: bool [n], images that the source itself holds out; None if it holds out none.
        pixels: the n images, row by row; only ``instance`` noise needs them.
        apart: the test images, if they were split off the same list or if the source is a table:
            a label table then names both. If a table has test rows of its own, all of them are
            ``held``.
    """

    class_names: list[str]
    labels: Labels
    names: list[str] | None
    held: NDArray[np.bool_] | None
    pixels: Images | None
    apart: TrainingRows | None = None

    @classmethod
    def of(cls, dataset: DataSet) -> TrainingRows:
        """The training images of an open data set."""
        apart, test, classes = None, dataset.test, dataset.class_names
        if test is not None and (dataset.one_list or dataset.name == "table"):
            labels = Labels(test.index, test.targets, test.targets)
            held = None if dataset.one_list else np.ones(len(test), np.bool_)
            apart = cls(classes, labels, dataset.test_names, held, test)
        return cls(classes, dataset.labels, dataset.file_names, dataset.held, dataset.train, apart)

    @classmethod
    def listed(cls, listing: Listing) -> TrainingRows:
        """The training images of a data set whose pixels have not been read."""
        n, names, classes = len(listing), listing.names, listing.class_names
        own, others = (None, None) if names is None else (names[:n], names[n:])
        apart = None
        if listing.one_list or listing.name == "table":
            labels = Labels(listing.test_index, listing.test_targets, listing.test_targets)
            held = None if listing.one_list else np.ones(len(labels), np.bool_)
            apart = cls(classes, labels, others, held, None)
        return cls(classes, listing.labels, own, listing.held, None, apart)

    def whole(self) -> TrainingRows:
        """These rows, followed by the test images in ``apart``."""
        if self.apart is None:
            return self
        a, b = self, self.apart
        both = zip(
            *((r.labels.index, r.labels.assigned, r.labels.true) for r in (a, b)), strict=True
        )
        held = None
        if a.held is not None or b.held is not None:
            none = (np.zeros(len(r.labels), np.bool_) for r in (a, b))
            held = np.concatenate(
                [z if r.held is None else r.held for r, z in zip((a, b), none, strict=True)]
            )
        return TrainingRows(
            class_names=a.class_names,
            labels=Labels(*(np.concatenate(parts) for parts in both)),
            names=None if a.names is None or b.names is None else [*a.names, *b.names],
            held=held,
            pixels=None if a.pixels is None or b.pixels is None else a.pixels.joined(b.pixels),
        )


@dataclass(frozen=True)
class Given:
    """The given labels of all training images of a source.

    Attributes:
        labels: row by row. Images that the source itself holds out keep their labels.
        confusion: how true labels became given labels, without the held-out rows.
        noise: the facts about the noise for the manifest.
        before: int64 [n], the labels before noise was drawn. If no noise is drawn (the labels come
            from a table, for example), they are the given labels. The noise seed does not change
            them.
    """

    labels: Labels
    confusion: Confusion
    noise: dict[str, Any]
    before: NDArray[np.int64]


def open_training_data(
    config: Config, *, dry: bool = False, report: Report | None = None
) -> DataSet:
    """Opens the data set with the labels that noise starts from.

    With the noise type ``labels``, these are the labels of the data set itself. The table then
    says what each of them becomes.

    With ``data.normalise: network``, mean and deviation are those that the network's published
    weights expect.

    With ``net.frozen``, the images are replaced by the features of the network.

    Args:
        config: all settings.
        dry: as in ``open_dataset``; features are not computed either.
        report: is told how many images are decoded, and the progress of the features.

    Raises:
        DataError: the data set is missing or malformed.
        ConfigError: the network has no published weights whose mean and deviation could be used; or
            as in ``frozen_features``.
    """
    dataset = _opened(config, dry, report)
    if not config.net.frozen or dataset.train.are_vectors:
        return dataset
    return frozen_features(config, dataset, pick_device(config.device), dry=dry, report=report)


def _opened(config: Config, dry: bool, report: Report | None) -> DataSet:
    told = None if report is None else Decoding(report)
    if config.data.normalise != "network":
        return open_dataset(_without_noise(config), config.split_seed, dry=dry, told=told)
    own = own_input(config.net)
    if own is None:
        raise ConfigError(
            f"data.normalise: no mean and deviation are published for {config.net.label}; give "
            "--set data.normalise=data or imagenet"
        )
    dataset = open_dataset(_without_noise(config), config.split_seed, dry=dry, told=told)
    return replace(dataset, mean=own.mean, std=own.std)


def list_training_data(config: Config) -> Listing:
    """Lists the data set with the labels that noise starts from, without reading a pixel.

    Raises:
        DataError: the data set is missing or malformed.
    """
    return list_dataset(_without_noise(config), config.split_seed)


def _without_noise(config: Config) -> DataConfig:
    if config.noise.noise_type != "labels":
        return config.data
    # The columns are columns of the table. A source with fields of its own must not look for them.
    own = {"labels": None, "true_column": None, "label_column": DataConfig().label_column}
    return config.data.model_copy(update=own)


def given_labels(config: Config, rows: TrainingRows) -> Given:
    """The given labels of all training images.

    Images that ``--num-valid`` holds out get noisy labels too, because a user's labels would be
    wrong there as often. Images that the source itself holds out keep their labels.

    Args:
        config: the settings.
        rows: the n training images.

    Raises:
        ConfigError: the noise does not suit these classes.
        DataError: a table or a matrix is malformed or does not fit the data set.
    """
    own, k = rows.labels, len(rows.class_names)
    noisy = np.ones(len(own), np.bool_) if rows.held is None else ~rows.held
    noise: dict[str, Any] = {
        "type": config.noise.noise_type,
        "ratio": config.noise.noise_ratio,
        "seed": config.noise_seed,
        "oracle": config.noise.oracle,
    }
    true, random = own.true[noisy], False
    if not config.noise.changes_labels:
        noise["type"] = None
        drawn = fixed(true, own.assigned[noisy])
    elif config.noise.noise_type == "labels":
        drawn, facts = _of_table(config, rows, noisy)
        noise |= facts
    else:
        # Noise changes the labels of the source. True labels differ from these only if a table
        # gives both, and in that case no noise is drawn.
        kind, facts = make_noise(config.noise, rows.class_names)
        drawn = kind.draw(true, own.index[noisy], config.noise_seed, _pixels(config, rows, noisy))
        noise |= facts
        random = True
    assigned = own.assigned.copy()
    assigned[noisy] = drawn.given
    confusion = confusion_of(true, drawn, k)
    noise["expected_rate"] = confusion.expected_rate
    noise["realised_rate"] = confusion.realised_rate
    before = own.assigned if random else assigned
    return Given(Labels(own.index, assigned, own.true), confusion, noise, before)


def _of_table(
    config: Config, rows: TrainingRows, noisy: NDArray[np.bool_]
) -> tuple[Drawn, dict[str, Any]]:
    own, path, whole = rows.labels, config.data.labels, rows.whole()
    found = labels_from_table(
        config.data, whole.names, whole.labels.index, rows.class_names, whole.labels.true
    ).take(np.arange(len(own)))
    source = {} if path is None else {**file_facts(path), "column": config.data.label_column}
    return fixed(own.true[noisy], found.assigned[noisy]), {"labels": source}


def _pixels(config: Config, rows: TrainingRows, noisy: NDArray[np.bool_]) -> PixelSource | None:
    """The images that the noise is drawn for; held-out images are not decoded."""
    if config.noise.noise_type != "instance" or rows.pixels is None:
        return None
    if rows.pixels.are_vectors:
        raise ConfigError(
            "noise.noise_type: 'instance' depends on the pixels of images, and heads read vectors; "
            "give another --noise-type"
        )
    return _Chosen(rows.pixels, np.flatnonzero(noisy))


@dataclass(frozen=True)
class _Chosen:
    """Some images of a source, chosen by row."""

    source: PixelSource
    rows: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape

    def batches(self, parts: Any) -> Any:
        return self.source.batches([self.rows[part] for part in parts])
