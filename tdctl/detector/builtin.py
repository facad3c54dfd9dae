"""The detectors that ship with tdctl, by name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tdctl.errors import DetectorError

__all__ = ["BUILTIN", "Shipped", "builtin_file", "builtin_name", "shipped_detectors"]

BUILTIN = "builtin"
WEIGHTS = Path(__file__).parent / "weights"
TOLD = {"trained_on", "held_out", "settings"}


@dataclass(frozen=True)
class Shipped:
    """A detector that ships with tdctl.

    Attributes:
        name: the name for ``--detector``.
        file: the weights file.
        size: size of that file in bytes.
        card: what it was trained on and how, and its metrics on held-out rows.
    """

    name: str
    file: Path
    size: int
    card: dict[str, Any]


def builtin_name(path: Path) -> str | None:
    """The name of a shipped detector, without the prefix ``builtin:``; None if a file is meant."""
    text = str(path)
    if text == BUILTIN:
        return BUILTIN
    return text.removeprefix(f"{BUILTIN}:") if text.startswith(f"{BUILTIN}:") else None


def builtin_file(name: str) -> Path:
    """The weights file of a shipped detector.

    Raises:
        DetectorError: no shipped detector has this name.
    """
    known = {shipped.name: shipped.file for shipped in shipped_detectors()}
    asked = name if name == BUILTIN else f"{BUILTIN}:{name}"
    if asked in known:
        return known[asked]
    if not known:
        raise DetectorError(
            f"detector {asked}: this installation of tdctl holds no detectors; train one with "
            "tdctl train-detector and name its file, or use --score"
        )
    raise DetectorError(f"detector {asked}: there is none; use {', '.join(known)}, or a file")


def shipped_detectors() -> list[Shipped]:
    """All shipped detectors, ``builtin`` first.

    Raises:
        DetectorError: a card is damaged.
    """
    files = sorted(WEIGHTS.glob("*.safetensors"), key=lambda file: (file.stem != BUILTIN, file))
    found = []
    for file in files:
        card = file.with_suffix(".json")
        try:
            content = json.loads(card.read_text(encoding="utf-8"))
            whole = isinstance(content, dict) and content.keys() >= TOLD
        except (OSError, ValueError):
            whole = False
        if not whole:
            raise DetectorError(f"{card}: missing or damaged; install tdctl again")
        name = BUILTIN if file.stem == BUILTIN else f"{BUILTIN}:{file.stem}"
        found.append(Shipped(name, file, file.stat().st_size, content))
    return found
