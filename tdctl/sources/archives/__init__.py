"""Listings of data sets in the layout of their unpacked archives; no image is decoded."""

from __future__ import annotations

from tdctl.sources.archives.archive_registry import READERS, as_folder, list_archive

__all__ = ["READERS", "as_folder", "list_archive"]
