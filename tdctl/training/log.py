"""The log of a training, which grows by a row with each epoch."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from tdctl.files import write_text
from tdctl.training.progress import LogRow

__all__ = ["LOG_COLUMNS", "write_log"]

# The published code's columns, then ours.
LOG_COLUMNS = (
    "epoch", "train_error", "train_loss", "valid_error", "valid_top5_error", "valid_loss",
    "test_error",
)  # fmt: skip


def write_log(path: Path, log: Sequence[LogRow], more: Sequence[str] = ()) -> None:
    """Writes ``train_log.csv`` with the rows so far, whole or not at all; unknown is empty.

    ``more`` names columns of an algorithm's own, after those that every log has.

    The file is written anew for each epoch, not added to: some kilobytes cost nothing beside the
    checkpoint of the same epoch. So a reader never sees half a row, a kill leaves none, and a
    resumed training puts back what its checkpoint says.
    """
    text = io.StringIO()
    rows = csv.DictWriter(text, (*LOG_COLUMNS, *more), lineterminator="\n")
    rows.writeheader()
    rows.writerows(log)
    write_text(path, text.getvalue())
