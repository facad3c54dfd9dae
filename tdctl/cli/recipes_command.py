"""The subcommand that lists the recipes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from tdctl.cli.boundary import guarded, print_json
from tdctl.cli.console import console, table_of
from tdctl.recipes import RECIPES, Recipe

__all__ = ["recipes"]


@guarded
def recipes(
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """List the recipes that generate-td takes by name, and their settings.

    A recipe lies above the data set's settings and below yours; what it does not name stays as the
    paper has it. The first network is recorded with train, the one of denoise trained with retrain.

    Example: tdctl recipes

    Example: tdctl generate-td --recipe mixup --print-config
    """
    if as_json:
        print_json([{"name": name, **asdict(recipe)} for name, recipe in RECIPES.items()])
        return
    grid = table_of(["recipe", "what it is", "settings"], whole=["recipe"])
    for name, recipe in RECIPES.items():
        of = "" if recipe.changes is None else f"{recipe.changes} with: "
        grid.add_row(name, of + recipe.about, _settings(recipe))
    console().print(grid)


def _settings(recipe: Recipe) -> str:
    """A line a section, in the words of the settings; of one that changes another, the changes."""
    known = {} if recipe.changes is None else RECIPES[recipe.changes].settings
    lines = []
    for section, keys in recipe.settings.items():
        before = known.get(section, {})
        told = [f"{key}={_word(value)}" for key, value in keys.items() if before.get(key) != value]
        if told:
            lines.append(f"{section}: {' '.join(told)}")
    return "\n".join(lines) or "the published ones"


def _word(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
