"""The subcommand that lists the recipes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from tdctl.cli.boundary import guarded, print_json
from tdctl.cli.console import console, table_of
from tdctl.cli.output import echo
from tdctl.errors import ConfigError
from tdctl.recipes import Recipe, find_recipe, preset_of, recipe_names, text_of

__all__ = ["recipes"]


@guarded
def recipes(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Recipe to print, or data set whose settings to print.", metavar="NAME"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """List the recipes, or print one of them as its YAML file.

    A recipe is a group of settings that belong together. It overrides the paper's settings for a
    data set, and your own settings override it. A file of yours may name a recipe and change some
    of its settings.

    Example: tdctl recipes

    Example: tdctl recipes detect > my.yaml

    Example: tdctl generate-td --recipe mixup --print-config
    """
    if name is not None:
        _print_one(name, as_json)
        return
    every = [find_recipe(one) for one in recipe_names()]
    if as_json:
        print_json([asdict(recipe) for recipe in every])
        return
    grid = table_of(["recipe", "what it is", "settings"], whole=["recipe"])
    for recipe in every:
        of = "" if recipe.changes is None else f"{recipe.changes} with: "
        grid.add_row(recipe.name, of + recipe.about, _settings(recipe))
    console().print(grid)


def _print_one(name: str, as_json: bool) -> None:
    key = name.replace("-", "_") if preset_of(name.replace("-", "_")) else name
    try:
        text = text_of(key)
    except KeyError:
        raise ConfigError(
            f"recipes: '{name}' is unknown; use one of {', '.join(recipe_names())}, or a data set "
            "that tdctl datasets lists with settings of its own"
        ) from None
    if not as_json:
        echo(text, end=False)
    elif key in recipe_names():
        print_json(asdict(find_recipe(key)))
    else:
        print_json({"name": key, "settings": preset_of(key)})


def _settings(recipe: Recipe) -> str:
    """One line per section, with the names of the settings."""
    lines = []
    for section, keys in recipe.settings.items():
        told = [f"{key}={_word(value)}" for key, value in keys.items()]
        lines.append(f"{section}: {' '.join(told)}")
    return "\n".join(lines) or "the published ones"


def _word(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
