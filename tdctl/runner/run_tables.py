"""Tables that a run folder has beside its dynamics: names, left-out files, confusion."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from tdctl.csv_files import write_csv
from tdctl.data import DataSet
from tdctl.inputs import Prepared
from tdctl.run import SKIPPED_FILE

__all__ = ["write_confusion", "write_samples"]


def write_samples(folder: Path, dataset: DataSet) -> None:
    """Writes the images' file names, and the files that were left out, where there are any."""
    if dataset.file_names is not None:
        names = {"index": dataset.train.index, "file_name": dataset.file_names}
        write_csv(folder / "samples.csv", pd.DataFrame(names))
    if dataset.skipped:
        write_csv(folder / SKIPPED_FILE, pd.DataFrame([asdict(one) for one in dataset.skipped]))


def write_confusion(path: Path, prepared: Prepared) -> None:
    """Writes true against given labels, where some are or could have been made wrong."""
    confusion = prepared.given.confusion
    if confusion.expected_rate or confusion.realised_rate:
        write_csv(path, pd.DataFrame(confusion.table(prepared.dataset.class_names)))
