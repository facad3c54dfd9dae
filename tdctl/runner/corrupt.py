"""A noisy label table alone, for other tools and for ``--labels``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tdctl.config import Config
from tdctl.errors import ConfigError
from tdctl.labels import Labels
from tdctl.run import refuse_existing
from tdctl.runner.classifier import write_csv
from tdctl.runner.given import (
    Given,
    TrainingRows,
    given_labels,
    list_training_data,
    open_training_data,
)
from tdctl.runner.prepare import with_whole_paths
from tdctl.sources import Listing

__all__ = ["CorruptResult", "corrupt_labels"]


@dataclass(frozen=True)
class CorruptResult:
    """What was drawn, and the file that holds it (None in a dry run).

    Attributes:
        dataset: the data set's name.
        class_names: k names.
        given: the labels, their confusion, and facts on the noise.
    """

    dataset: str
    class_names: list[str]
    given: Given
    file: Path | None

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

    Labels are class names; ``file_name`` is empty where the data set has none. They are the labels
    that ``generate_td`` gives with the same settings, and gives again with this table as
    ``data.labels`` and ``true_label`` as ``data.true_column``. Images that the data set itself
    holds out are among them, with the labels they have.

    Raises:
        ConfigError: no noise is asked for, or it does not go with the classes.
        DataError: the data set, or a table that noise comes from, is missing or malformed.
        RunError: ``out`` is there already.
    """
    if not config.noise.changes_labels:
        raise ConfigError("noise_ratio: no noise is asked for; give --noise-ratio, such as 0.2")
    refuse_existing([out], overwrite)
    config = with_whole_paths(config)
    if config.data.dataset == "table":
        # An index is a position in the table: without all rows it would be another one.
        data = config.data.model_copy(update={"limit": None})
        config = config.model_copy(update={"data": data})
    dataset, rows, given = _drawn(config)
    if not dry_run:
        names, labels = np.asarray(rows.class_names, dtype=object), given.labels
        table = pd.DataFrame(
            {
                "index": labels.index,
                "file_name": "" if rows.names is None else rows.names,
                "label": names[labels.assigned],
                "true_label": names[labels.true],
            }
        )
        if config.data.dataset == "table":
            table = _whole_table(table, list_training_data(config))
        write_csv(out, table.sort_values("index"))
    return CorruptResult(dataset, rows.class_names, given, None if dry_run else out)


def _drawn(config: Config) -> tuple[str, TrainingRows, Given]:
    """The data set's name, the rows of its whole list, and their given labels.

    Images are decoded only for noise that looks at them. One that does not decode and is skipped
    keeps its label: whoever reads the table lists the images before they are decoded.
    """
    listing = list_training_data(config)
    rows = TrainingRows.listed(listing).whole()
    if config.noise.noise_type != "instance":
        return listing.name, rows, given_labels(config, rows)
    given = given_labels(config, TrainingRows.of(open_training_data(config)).whole())
    labels, assigned = rows.labels, rows.labels.assigned.copy()
    assigned[np.isin(labels.index, given.labels.index)] = given.labels.assigned
    return listing.name, rows, replace(given, labels=Labels(labels.index, assigned, labels.true))


def _whole_table(drawn: pd.DataFrame, listing: Listing) -> pd.DataFrame:
    """The rows that were drawn, and the test images of a table as they are, with the splits."""
    n, names = len(listing), np.asarray(listing.class_names, dtype=object)
    splits = np.repeat(np.array(["train", "test"], dtype=object), [n, len(listing.test_index)])
    if listing.held is not None:
        splits[:n][listing.held] = "val"
    whole = pd.DataFrame(
        {
            "index": np.concatenate([listing.labels.index, listing.test_index]),
            "file_name": listing.names,
            "label": names[np.concatenate([listing.labels.assigned, listing.test_targets])],
            "true_label": names[np.concatenate([listing.labels.true, listing.test_targets])],
        }
    )
    if not listing.one_list:
        whole["split"] = splits
    whole = whole.set_index("index")
    whole.loc[drawn["index"], "label"] = drawn["label"].to_numpy()
    return whole.reset_index()
