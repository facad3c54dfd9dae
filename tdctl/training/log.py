"""The log of a training, which gets one row per epoch."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from tdctl.files import write_text
from tdctl.training.progress import LogRow

__all__ = ["LOG_COLUMNS", "write_log"]

# The columns of the published code, then ours.
LOG_COLUMNS = (
    "epoch", "train_error", "train_loss", "valid_error", "valid_top5_error", "valid_loss",
    "test_error",
)  # fmt: skip


def write_log(path: Path, log: Sequence[LogRow]) -> None:
    """Writes ``train_log.csv`` with the rows so far, completely or not at all.

    Unknown values are empty. The whole file is written again for each epoch, because some
    kilobytes are little compared with the checkpoint of the same epoch. So nobody reads half a
    row, also after a kill, and a resumed training writes the rows of its checkpoint again.
    """
    text = io.StringIO()
    rows = csv.DictWriter(text, LOG_COLUMNS, lineterminator="\n")
    rows.writeheader()
    rows.writerows(log)
    write_text(path, text.getvalue())
