"""Which labels training is given: the data set's, those that noise makes of them, or a table's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.config import Config, DataConfig
from tdctl.data import DataSet, Images, open_dataset
from tdctl.labels import Labels
from tdctl.noise import Confusion, Drawn, PixelSource, confusion_of, file_facts, fixed, make_noise
from tdctl.sources import Listing, list_dataset
from tdctl.sources.tables.relabelling import labels_from_table

__all__ = ["Given", "TrainingRows", "given_labels", "list_training_data", "open_training_data"]


@dataclass(frozen=True)
class TrainingRows:
    """What given labels are made from: the n training images of a source, read or not.

    Attributes:
        class_names: k names.
        labels: given and true labels as the source has them.
        names: n file names, or None.
        held: bool [n], images that the source itself holds out; None for none of them.
        pixels: the n images, row by row; only ``instance`` noise needs them.
        apart: the test images, where they were split off the same list, or where the source is a
            table: a label table names both. Those that a table itself tests by are held.
    """

    class_names: list[str]
    labels: Labels
    names: list[str] | None
    held: NDArray[np.bool_] | None
    pixels: Images | None
    apart: TrainingRows | None = None

    @classmethod
    def of(cls, dataset: DataSet) -> TrainingRows:
        """The training images of a data set that is open."""
        apart, test, classes = None, dataset.test, dataset.class_names
        if test is not None and (dataset.one_list or dataset.name == "table"):
            labels = Labels(test.index, test.targets, test.targets)
            held = None if dataset.one_list else np.ones(len(test), np.bool_)
            apart = cls(classes, labels, dataset.test_names, held, test)
        return cls(classes, dataset.labels, dataset.file_names, dataset.held, dataset.train, apart)

    @classmethod
    def listed(cls, listing: Listing) -> TrainingRows:
        """The training images of a data set of which no pixel was read."""
        n, names, classes = len(listing), listing.names, listing.class_names
        own, others = (None, None) if names is None else (names[:n], names[n:])
        apart = None
        if listing.one_list or listing.name == "table":
            labels = Labels(listing.test_index, listing.test_targets, listing.test_targets)
            held = None if listing.one_list else np.ones(len(labels), np.bool_)
            apart = cls(classes, labels, others, held, None)
        return cls(classes, listing.labels, own, listing.held, None, apart)

    def whole(self) -> TrainingRows:
        """The same with the test images of the same list, after the others."""
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
    """Given labels of all training images of a source.

    Attributes:
        labels: row by row; those that the source itself holds out are as they were.
        confusion: of given with true labels, without those rows.
        noise: what the manifest says of the noise.
        before: int64 [n], the labels before noise was drawn; the given ones where none was drawn,
            such as a table's. No seed of the noise changes them.
    """

    labels: Labels
    confusion: Confusion
    noise: dict[str, Any]
    before: NDArray[np.int64]


def open_training_data(config: Config, *, dry: bool = False) -> DataSet:
    """The data set with the labels that noise starts from.

    With noise ``labels`` those are its own: the table says what they become.

    Raises:
        DataError: the data set is missing or malformed.
    """
    return open_dataset(_without_noise(config), config.split_seed, dry=dry)


def list_training_data(config: Config) -> Listing:
    """The same before any pixel is read.

    Raises:
        DataError: the data set is missing or malformed.
    """
    return list_dataset(_without_noise(config), config.split_seed)


def _without_noise(config: Config) -> DataConfig:
    if config.noise.noise_type != "labels":
        return config.data
    # The columns are the table's: a source with fields of its own must not look for them.
    own = {"labels": None, "true_column": None, "label_column": DataConfig().label_column}
    return config.data.model_copy(update=own)


def given_labels(config: Config, rows: TrainingRows) -> Given:
    """The given labels of all training images, held-out ones by ``--num-valid`` included.

    A user's labels would be as wrong there. Images that the source itself holds out keep theirs.

    Raises:
        ConfigError: the noise does not go with these classes.
        DataError: a table or a matrix is malformed, or does not fit the data set.
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
        # Noise is drawn on what the source gives; its true labels differ only where a table
        # names both, and there no noise is drawn.
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
    """The images that noise is drawn for; those held out are not decoded."""
    if config.noise.noise_type != "instance" or rows.pixels is None:
        return None
    return _Chosen(rows.pixels, np.flatnonzero(noisy))


@dataclass(frozen=True)
class _Chosen:
    """Some of the images of a source, by row."""

    source: PixelSource
    rows: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.source.shape

    def batches(self, parts: Any) -> Any:
        return self.source.batches([self.rows[part] for part in parts])
