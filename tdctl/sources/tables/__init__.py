"""Tables of file names and labels: as a data set, and in place of a data set's own labels."""

from __future__ import annotations

from tdctl.sources.tables.listed import list_table
from tdctl.sources.tables.relabelling import labels_from_table, read_labels

__all__ = ["labels_from_table", "list_table", "read_labels"]
