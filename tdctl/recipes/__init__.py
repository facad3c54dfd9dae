"""The recipes and the presets of data sets: YAML files in the same format as the user's.

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

# The largest side of images, in pixels, for which the recipe ``detect`` is made.
DETECT_UP_TO = 64
# These recipes are listed first, because most people choose one of them.
FIRST = ("detect", "paper", "aum", "finetune")


@dataclass(frozen=True)
class Recipe:
    """A named group of settings. They override the preset, and the user's settings override them.

    Attributes:
        name: the name for ``--recipe``.
        about: a description for the user.
        settings: the nested settings, section to key to value, without those of ``changes``.
        changes: the name of the recipe that this one changes; None if there is none.
    """

    name: str
    about: str
    settings: Sections
    changes: str | None = None

    @property
    def layers(self) -> list[Recipe]:
        """The recipes that it is made of, in the order of overriding; the recipe itself is last."""
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
    """The recipe with this name.

    Raises:
        KeyError: there is no such recipe.
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
    """The paper's settings for a data set; empty if the paper does not use the data set."""
    path = files(__name__) / "presets" / f"{data_set}.yaml"
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}


def text_of(name: str) -> str:
    """The text of a recipe's file, or of a data set's preset.

    Raises:
        KeyError: there is no such recipe or preset.
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
