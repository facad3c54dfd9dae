"""A noisy label table alone, for other tools and for ``--labels``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tdctl.config import Config
from tdctl.csv_files import write_csv
from tdctl.errors import ConfigError
from tdctl.inputs.given_labels import (
    Given,
    TrainingRows,
    given_labels,
    list_training_data,
    open_training_data,
)
from tdctl.inputs.prepare import with_whole_paths
from tdctl.run import refuse_existing
from tdctl.run.outside import refuse_in_data
from tdctl.sources import Listing

__all__ = ["CorruptResult", "corrupt_labels"]

# As these a label table is read as something else.
NO_CSV = {".parquet", ".pq", ".tab", ".tsv"}


@dataclass(frozen=True)
class CorruptResult:
    """What was drawn, and the file that holds it (None in a dry run).

    Attributes:
        dataset: the data set's name.
        class_names: k names.
        given: the labels, their confusion, and facts on the noise.
        notes: what the user should know about how the data was read, one line each.
    """

    dataset: str
    class_names: list[str]
    given: Given
    file: Path | None
    notes: tuple[str, ...] = ()

    def report(self) -> dict[str, Any]:
        """The result as JSON-ready values; ``confusion`` lists pairs of classes by name."""
        pairs = pd.DataFrame(self.given.confusion.table(self.class_names))
        return {
            "file": None if self.file is None else str(self.file),
            "dataset": self.dataset,
            "samples": len(self.given.labels),
            "flipped": int(self.given.labels.flipped.sum()),
            "noise": self.given.noise,
            "confusion": pairs.astype(object).to_dict(orient="records"),
        }


def corrupt_labels(
    config: Config, out: Path, *, overwrite: bool = False, dry_run: bool = False
) -> CorruptResult:
    """Writes ``index,file_name,label,true_label`` of all training images, by index.

    Where a share of them will be held out as test set, whatever the seed, they are all there: a
    test is judged by ``true_label``. Of the data set ``table`` all images are there, whatever the
    limit, with ``split`` where it has one: the new table takes its place.

    Labels are class names; ``file_name`` is empty where the data set has none; rows follow the
    index. They are the labels that ``generate_td`` gives with the same settings, and gives again
    with this table as ``data.labels`` and ``true_label`` as ``data.true_column``. Images that the
    data set itself holds out are among them, with the labels they have, and so are those that do
    not decode. The table of a user's table that has splits has them too, in a column ``split``,
    and the rows of test: it stands in for the user's.

    Raises:
        ConfigError: no noise is asked for, or it does not go with the classes; or ``out`` is
            named as a file that is no CSV.
        DataError: the data set, or a table that noise comes from, is missing or malformed.
        RunError: ``out`` is there already, or lies in the data.
    """
    if not config.noise.changes_labels:
        raise ConfigError("noise_ratio: no noise is asked for; give --noise-ratio, such as 0.2")
    if out.suffix.lower() in NO_CSV:
        raise ConfigError(f"{out}: the table is written as CSV; give --out a name with .csv")
    refuse_existing([out], overwrite)
    refuse_in_data(with_whole_paths(config).data, out)
    found = all_labels(config)
    # A share that is held out by a seed is no split of the user's.
    table = found.table.drop(columns="split", errors="ignore")
    if not dry_run:
        write_csv(out, table if found.listing.one_list else found.table)
    return CorruptResult(
        found.listing.name,
        found.listing.class_names,
        found.given,
        None if dry_run else out,
        found.listing.notes,
    )


@dataclass(frozen=True)
class AllLabels:
    """The labels of all images that a label table has to name.

    Attributes:
        table: by index; ``index, file_name, label, true_label``, and ``split`` of the data set
            ``table``.
        listing: of the images.
        given: the labels, their confusion, and facts on the noise.
    """

    table: pd.DataFrame
    listing: Listing
    given: Given


def all_labels(config: Config) -> AllLabels:
    """The labels that ``generate_td`` gives with these settings; see ``corrupt_labels``.

    Raises:
        ConfigError: the noise does not go with the classes.
        DataError: the data set, or a table that noise comes from, is missing or malformed.
    """
    config = with_whole_paths(config)
    if config.data.dataset == "table":
        # An index is a position in the table: without all rows it would be another one.
        data = config.data.model_copy(update={"limit": None})
        config = config.model_copy(update={"data": data})
    listing = list_training_data(config)
    rows = TrainingRows.listed(listing).whole()
    # Images are decoded only for noise that looks at them.
    looks = config.noise.changes_labels and config.noise.noise_type == "instance"
    drawn_for = TrainingRows.of(open_training_data(config)).whole() if looks else rows
    given = given_labels(config, drawn_for)
    table = _table(rows, given)
    if config.data.dataset == "table":
        table = _with_splits(table, listing)
    return AllLabels(table.sort_values("index"), listing, given)


def _table(rows: TrainingRows, given: Given) -> pd.DataFrame:
    """A row for each of ``rows``, of which those that do not decode keep the label they have."""
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
    """The rows of train and val, and then of test, with their split."""
    held = np.zeros(len(listing), np.bool_) if listing.held is None else listing.held
    tested = np.repeat("test", len(listing.test_index))
    return table.assign(split=np.concatenate([np.where(held, "val", "train"), tested]))
