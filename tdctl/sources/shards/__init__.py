"""Images inside larger files: WebDataset shards, and folders that Hugging Face datasets saved."""

from __future__ import annotations

from tdctl.sources.shards.hub import list_hf
from tdctl.sources.shards.webdataset import list_webdataset

__all__ = ["list_hf", "list_webdataset"]
