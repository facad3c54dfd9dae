"""Writes a table of noisy labels, for other tools and for ``--labels``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tdctl.config import Config
from tdctl.csv_files import write_csv
from tdctl.errors import ConfigError
from tdctl.finding.suited import suited
from tdctl.inputs.all_labels import NO_CSV, all_labels
from tdctl.inputs.given_labels import Given
from tdctl.inputs.prepare import with_whole_paths
from tdctl.run import refuse_existing
from tdctl.run.outside import refuse_in_data

__all__ = ["CorruptResult", "corrupt_labels"]


@dataclass(frozen=True)
class CorruptResult:
    """The labels that were drawn, and the file that contains them.

    Attributes:
        dataset: name of the data set.
        class_names: k names.
        given: the labels, their confusion, and facts about the noise.
        file: the file; None in a dry run.
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
    """Writes ``index,file_name,label,true_label`` of all training images, sorted by index.

    The labels are those that ``generate_td`` gives with the same settings. It gives them again if
    this table is used as ``data.labels`` with ``true_label`` as ``data.true_column``. Labels are
    class names. ``file_name`` is empty if the data set has no file names.

    The table also contains images that are not trained on:

    - images that the data set itself holds out, and images that cannot be decoded; these keep
      their labels;
    - all images of a list from which a seed later holds out a share for testing. The test uses
      their ``true_label``;
    - for the data set ``table``: all its rows, whatever the limit. If it has splits, the rows of
      the test split are included, and the column ``split`` is added. So the new table can replace
      the user's table.

    Args:
        config: all settings.
        out: the CSV file to write.
        overwrite: whether an existing file may be replaced.
        dry_run: draw the labels, but write nothing.

    Raises:
        ConfigError: no noise is asked for, or it does not suit the classes; or ``out`` has the
            suffix of another format than CSV.
        DataError: the data set, or a table that noise needs, is missing or malformed.
        RunError: ``out`` exists already, or is inside the data.
    """
    if not config.noise.changes_labels:
        raise ConfigError("noise_ratio: no noise is asked for; give --noise-ratio, such as 0.2")
    if out.suffix.lower() in NO_CSV:
        raise ConfigError(f"{out}: the table is written as CSV; give --out a name with .csv")
    refuse_existing([out], overwrite)
    refuse_in_data(with_whole_paths(config).data, out)
    # Only this noise looks at the images, as the training will see them.
    found = all_labels(suited(config) if config.noise.noise_type == "instance" else config)
    # A test share that a seed holds out is not a split that the user gave.
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
