"""Data sets before their pixels are read: what there is, in which order, with which labels."""

from __future__ import annotations

from tdctl.sources.encoded import Encoded, Files
from tdctl.sources.listing import Listing
from tdctl.sources.open_listing import list_dataset

__all__ = ["Encoded", "Files", "Listing", "list_dataset"]
