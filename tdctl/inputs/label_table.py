"""The table of a run's labels, which ``clean`` and ``apply-review`` change and write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tdctl.config import Config
from tdctl.csv_files import write_csv
from tdctl.errors import ConfigError, DataError
from tdctl.inputs.all_labels import NO_CSV, AllLabels, all_labels
from tdctl.names import normal

__all__ = ["RunLabels", "check_table_name", "labels_of_run", "ordered", "write_label_table"]


@dataclass(frozen=True)
class RunLabels:
    """The labels of a run's images as they were given.

    Attributes:
        table: by index, sorted; ``file_name, label``, and ``split`` of a user's table.
        everything: all images of the data set; None where the run names none.
    """

    table: pd.DataFrame
    everything: AllLabels | None

    @property
    def one_list(self) -> bool:
        """Whether a share of the images is held out as test set, by a seed."""
        return self.everything is not None and self.everything.listing.one_list


def labels_of_run(config: Config | None, ranked: pd.DataFrame, run: Path) -> RunLabels:
    """The labels of all images of a run's data set, held-out ones among them.

    Args:
        config: the run's settings; None where it has none: then of the ranked images alone.
        ranked: by index; ``file_name, given_label`` of the images that the run recorded.
        run: its folder.

    Raises:
        DataError: the data set is missing or malformed, or is not that of the run; names the
            first image that is another now.
    """
    if config is None:
        table = ranked[["file_name"]].assign(label=ranked["given_label"]).sort_index()
        return RunLabels(table, None)
    everything = all_labels(config)
    return RunLabels(_as_recorded(everything, ranked, run), everything)


def check_table_name(out: Path) -> None:
    """Refuses a name under which the table would be read as something else.

    Raises:
        ConfigError: it is one.
    """
    if out.suffix.lower() in NO_CSV:
        raise ConfigError(f"{out}: the table is written as CSV; give --out a name with .csv")


def write_label_table(out: Path, table: pd.DataFrame) -> pd.DataFrame:
    """Writes a table ``index, file_name, label, action``, and ``split`` last where it has one.

    Args:
        table: by index; ``action`` is ``keep`` or ``relabel`` of each row. By that column
            ``--labels`` knows that an image without a row was dropped.

    Returns:
        What was written.
    """
    written = ordered(table)
    write_csv(out, written)
    return written


def ordered(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its columns in the order in which they are written."""
    if "split" in table:
        table = table[[*(name for name in table if name != "split"), "split"]]
    return table.reset_index()


def _as_recorded(everything: AllLabels, ranked: pd.DataFrame, run: Path) -> pd.DataFrame:
    table = everything.table.set_index("index").drop(columns="true_label")
    then = f"give the data that {run} was made with by --data-dir, or record it anew"
    gone = ranked.index.difference(table.index)
    if len(gone):
        raise DataError(
            f"{everything.listing.name}: has no image of the index {gone[0]}, which {run} has "
            f"({len(gone)} such); {then}"
        )
    now = table.loc[ranked.index]
    pairs = {"file_name": "name", "label": "given label"}
    for (column, kind), own in zip(pairs.items(), ("file_name", "given_label"), strict=True):
        was, is_now = (frame.map(normal) for frame in (ranked[own], now[column]))
        differ = np.flatnonzero((was != is_now) & (was != ""))
        if len(differ):
            row = differ[0]
            raise DataError(
                f"{everything.listing.name}: the {kind} of index {ranked.index[row]} is "
                f"{is_now.iloc[row]!r}, and {was.iloc[row]!r} in {run} ({len(differ)} such); {then}"
            )
    return table.sort_index()
