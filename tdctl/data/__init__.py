"""Data sets with their pixels, held in memory, in a cache, or not at all."""

from __future__ import annotations

from tdctl.data.dataset import DataSet, Images
from tdctl.data.opening import open_dataset

__all__ = ["DataSet", "Images", "open_dataset"]
