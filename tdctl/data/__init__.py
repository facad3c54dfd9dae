"""Data sets: listed, labelled, and their pixels held in memory, in a cache, or not at all."""

from __future__ import annotations

from tdctl.data.dataset import DataSet, Images
from tdctl.data.listing import Listing
from tdctl.data.opening import list_dataset, open_dataset

__all__ = ["DataSet", "Images", "Listing", "list_dataset", "open_dataset"]
