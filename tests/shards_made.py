"""WebDataset's shards of images that say which one they are."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

Member = tuple[str, bytes]


def png(label: int, number: int) -> bytes:
    """An image whose colour is its class and its number, so that it tells which one it is."""
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2), (label, number, 7)).save(buffer, "PNG")
    return buffer.getvalue()


def sample(label: int, number: int) -> list[Member]:
    return [(f"{number:04}.cls", str(label).encode()), (f"{number:04}.png", png(label, number))]


def pack(path: Path, members: Iterable[Member], **how: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **how) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path
