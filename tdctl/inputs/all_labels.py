"""The labels of all images of a data set, held-out ones included, as a table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tdctl.config import Config
from tdctl.inputs.given_labels import (
    Given,
    TrainingRows,
    given_labels,
    list_training_data,
    open_training_data,
)
from tdctl.inputs.prepare import with_whole_paths
from tdctl.sources import Listing

__all__ = ["NO_CSV", "AllLabels", "all_labels"]

# With these suffixes a label table would not be read as CSV.
NO_CSV = {".json", ".parquet", ".pq", ".tab", ".tsv"}


@dataclass(frozen=True)
class AllLabels:
    """The labels of all images that a label table must contain.

    Attributes:
        table: sorted by index. Columns: ``index``, ``file_name``, ``label``, ``true_label``; and
            ``split`` for the data set ``table``.
        listing: the images.
        given: the labels, their confusion, and facts about the noise.
    """

    table: pd.DataFrame
    listing: Listing
    given: Given


def all_labels(config: Config) -> AllLabels:
    """The labels that ``generate_td`` gives with these settings; see ``corrupt_labels``.

    Raises:
        ConfigError: the noise does not suit the classes.
        DataError: the data set, or a table that noise needs, is missing or malformed.
    """
    config = with_whole_paths(config)
    if config.data.dataset == "table":
        # An index is a position in the table, so all rows are needed to keep the positions.
        data = config.data.model_copy(update={"limit": None})
        config = config.model_copy(update={"data": data})
    listing = list_training_data(config)
    rows = TrainingRows.listed(listing).whole()
    # Images are decoded only if the noise depends on their pixels.
    looks = config.noise.changes_labels and config.noise.noise_type == "instance"
    drawn_for = TrainingRows.of(open_training_data(config)).whole() if looks else rows
    given = given_labels(config, drawn_for)
    table = _table(rows, given)
    if config.data.dataset == "table":
        table = _with_splits(table, listing)
    return AllLabels(table.sort_values("index"), listing, given)


def _table(rows: TrainingRows, given: Given) -> pd.DataFrame:
    """A row for each of ``rows``; images that cannot be decoded keep their label."""
    names, labels = np.asarray(rows.class_names, dtype=object), rows.labels
    order = np.argsort(labels.index)
    assigned = labels.assigned.copy()
    at = np.searchsorted(labels.index, given.labels.index, sorter=order)
    assigned[order[at]] = given.labels.assigned
    columns = {
        "index": labels.index,
        "file_name": "" if rows.names is None else rows.names,
        "label": names[assigned],
        "true_label": names[labels.true],
    }
    return pd.DataFrame(columns)


def _with_splits(table: pd.DataFrame, listing: Listing) -> pd.DataFrame:
    """The rows of train and val, then those of test, with their split."""
    held = np.zeros(len(listing), np.bool_) if listing.held is None else listing.held
    tested = np.repeat("test", len(listing.test_index))
    return table.assign(split=np.concatenate([np.where(held, "val", "train"), tested]))
