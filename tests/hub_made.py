"""Data sets as Hugging Face's datasets saves them, of images that say which one they are."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
from PIL import Image

NAMES = ["tench", "金魚", "shark"]


def png(label: int, number: int) -> bytes:
    """An image whose colour is its class and its number, so that it tells which one it is."""
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2), (label, number, 7)).save(buffer, "PNG")
    return buffer.getvalue()


def images_of(labels: Sequence[int], start: int = 0) -> list[Any]:
    return [{"bytes": png(label, start + at), "path": None} for at, label in enumerate(labels)]


def table(labels: Sequence[int], start: int = 0, **more: Any) -> datasets.Dataset:
    columns = {"image": images_of(labels, start), "label": list(labels)}
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)}
    kinds = {name: kind for name, (kind, _) in more.items()}
    values = {name: values for name, (_, values) in more.items()}
    return datasets.Dataset.from_dict(
        columns | values, features=datasets.Features(features | kinds)
    )


def save(root: Path, **splits: datasets.Dataset) -> Path:
    shards = {name: 2 if len(split) > 3 else 1 for name, split in splits.items()}
    datasets.DatasetDict(splits).save_to_disk(root, num_shards=shards)
    return root
