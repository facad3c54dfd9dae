"""Images inside larger files: WebDataset shards, and saved Hugging Face folders."""

from __future__ import annotations

from tdctl.sources.shards.hub import list_hf
from tdctl.sources.shards.webdataset import list_webdataset

__all__ = ["list_hf", "list_webdataset"]
