"""Data sets before their pixels are read: the list of images, their order and their labels."""

from __future__ import annotations

from tdctl.sources.encoded import Encoded, Files
from tdctl.sources.listing import Listing
from tdctl.sources.open_listing import list_dataset

__all__ = ["Encoded", "Files", "Listing", "list_dataset"]
