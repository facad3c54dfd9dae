"""A sweep: its file, its rows, and the table of its results."""

from __future__ import annotations

from tdctl.sweeping.recorded import RANKER, Made, Recorded, source_of
from tdctl.sweeping.row_settings import RowSettings
from tdctl.sweeping.rows import Row, plan_rows
from tdctl.sweeping.sweep_figures import draw_table
from tdctl.sweeping.sweep_file import SweepFile, read_sweep
from tdctl.sweeping.sweep_table import (
    LEFT_OUT,
    ROW_FILE,
    SweepTable,
    read_row,
    read_rows,
    records,
    write_sweep_table,
)

__all__ = [
    "LEFT_OUT",
    "RANKER",
    "ROW_FILE",
    "Made",
    "Recorded",
    "Row",
    "RowSettings",
    "SweepFile",
    "SweepTable",
    "draw_table",
    "plan_rows",
    "read_row",
    "read_rows",
    "read_sweep",
    "records",
    "source_of",
    "write_sweep_table",
]
