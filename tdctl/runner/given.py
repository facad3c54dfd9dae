"""Which labels training is given: the data set's, those that noise makes of them, or a table's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.config import Config
from tdctl.data import DataSet, open_dataset
from tdctl.data.table import labels_from_table
from tdctl.labels import Labels
from tdctl.noise import Confusion, Drawn, PixelSource, confusion_of, file_facts, fixed, make_noise

__all__ = ["Given", "TrainingRows", "given_labels", "open_training_data"]


@dataclass(frozen=True)
class TrainingRows:
    """What given labels are made from: the n training images of a source, read or not.

    Attributes:
        class_names: k names.
        labels: given and true labels as the source has them.
        names: n file names, or None.
        held: bool [n], images that the source itself holds out; None for none of them.
        pixels: the n images, row by row; only ``instance`` noise needs them.
    """

    class_names: list[str]
    labels: Labels
    names: list[str] | None
    held: NDArray[np.bool_] | None
    pixels: PixelSource | None

    @classmethod
    def of(cls, dataset: DataSet) -> TrainingRows:
        """The training images of a data set that is open."""
        return cls(
            dataset.class_names, dataset.labels, dataset.file_names, dataset.held, dataset.train
        )


@dataclass(frozen=True)
class Given:
    """Given labels of all training images of a source.

    Attributes:
        labels: row by row; those that the source itself holds out are as they were.
        confusion: of given with true labels, without those rows.
        noise: what the manifest says of the noise.
    """

    labels: Labels
    confusion: Confusion
    noise: dict[str, Any]

    def fingerprint(self) -> str:
        """Hex digest of indices and given labels."""
        content = np.stack([self.labels.index, self.labels.assigned]).astype("<i8")
        return hashlib.sha256(content.tobytes()).hexdigest()


def open_training_data(config: Config) -> DataSet:
    """The data set with the labels that noise starts from.

    With noise ``labels`` those are its own: the table says what they become.

    Raises:
        DataError: the data set is missing or malformed.
    """
    data = config.data
    if config.noise.noise_type == "labels":
        data = data.model_copy(update={"labels": None, "true_column": None})
    return open_dataset(data)


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
    true = own.true[noisy]
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
    assigned = own.assigned.copy()
    assigned[noisy] = drawn.given
    confusion = confusion_of(true, drawn, k)
    noise["expected_rate"] = confusion.expected_rate
    noise["realised_rate"] = confusion.realised_rate
    return Given(Labels(own.index, assigned, own.true), confusion, noise)


def _of_table(
    config: Config, rows: TrainingRows, noisy: NDArray[np.bool_]
) -> tuple[Drawn, dict[str, Any]]:
    own, path = rows.labels, config.data.labels
    found = labels_from_table(config.data, rows.names, own.index, rows.class_names, own.true)
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
