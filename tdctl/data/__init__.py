"""Data sets with their pixels: in memory, in a cache on the disk, or decoded when needed."""

from __future__ import annotations

from tdctl.data.dataset import DataSet, Images
from tdctl.data.opening import open_dataset

__all__ = ["DataSet", "Images", "open_dataset"]
