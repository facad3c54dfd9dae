"""Tables of file names and labels: as a data set, or as new labels for a data set."""

from __future__ import annotations

from tdctl.sources.tables.listed import list_table
from tdctl.sources.tables.relabelling import labels_from_table, read_labels

__all__ = ["labels_from_table", "list_table", "read_labels"]
