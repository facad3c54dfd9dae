"""The recipes and the data sets' presets: YAML files in the format that the user writes.

They are read without loading torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

__all__ = ["DETECT_UP_TO", "Recipe", "find_recipe", "preset_of", "recipe_names", "text_of"]

Sections = dict[str, dict[str, Any]]

# Pixels a side of the largest images that the recipe ``detect`` is made for.
DETECT_UP_TO = 64
# The order in which they are listed: what people choose first comes first.
FIRST = ("detect", "paper", "aum")


@dataclass(frozen=True)
class Recipe:
    """Settings by name. They lie above the data set's preset and below the user's.

    Attributes:
        name: what ``--recipe`` calls it.
        about: what it is, for the user.
        settings: section to key to value, without those of ``changes``.
        changes: the recipe that lies below it; None where it stands alone.
    """

    name: str
    about: str
    settings: Sections
    changes: str | None = None

    @property
    def layers(self) -> list[Recipe]:
        """The recipes that make it, the lowest first, itself last."""
        below = [] if self.changes is None else find_recipe(self.changes).layers
        return [*below, self]


@cache
def recipe_names() -> tuple[str, ...]:
    """The names of all recipes."""
    folder = files(__name__)
    found = {entry.name.removesuffix(".yaml") for entry in folder.iterdir() if _is_yaml(entry.name)}
    return (*FIRST, *sorted(found - set(FIRST)))


@cache
def find_recipe(name: str) -> Recipe:
    """The recipe of a name.

    Raises:
        KeyError: there is none.
    """
    if name not in recipe_names():
        raise KeyError(name)
    text = text_of(name)
    tree = yaml.safe_load(text) or {}
    below = tree.pop("recipe", None)
    # A file that names itself stands alone; a user's copy of it then names it too.
    return Recipe(name, _about(text), tree, None if below == name else below)


@cache
def preset_of(data_set: str) -> Sections:
    """What the paper uses for a data set; empty where the paper does not have it."""
    path = files(__name__) / "presets" / f"{data_set}.yaml"
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}


def text_of(name: str) -> str:
    """The file of a recipe, or of a data set's preset.

    Raises:
        KeyError: there is neither.
    """
    for path in (files(__name__) / f"{name}.yaml", files(__name__) / "presets" / f"{name}.yaml"):
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise KeyError(name)


def _is_yaml(name: str) -> bool:
    return name.endswith(".yaml")


def _about(text: str) -> str:
    """The first paragraph of the comment at the top of a file."""
    lines = []
    for line in text.splitlines():
        words = line.removeprefix("#").strip()
        if not line.startswith("#") or not words:
            break
        lines.append(words)
    return " ".join(lines)
