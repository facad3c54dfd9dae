"""Which value of a setting counts, and where it came from.

Defaults <- the data set's preset <- the recipe <- what the user gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from tdctl.catalogue import known_name
from tdctl.config.robust import RobustConfig, algorithm_settings
from tdctl.recipes import DETECT_UP_TO, find_recipe, preset_of, recipe_names

__all__ = ["Origins", "fill_in", "merge"]

# Dotted key of a setting to where its value came from; a default has no entry.
Origins = dict[str, str]


def fill_in(given: Mapping[str, Any]) -> tuple[dict[str, Any], Origins]:
    """The settings that are given, with preset and recipe below them.

    Where no recipe is named it is ``detect``, or ``paper`` for images of more than 64 pixels. An
    explicit ``recipe: null`` is no recipe.

    Args:
        given: section to key to value; a section may be a model, of which what was set counts.

    Returns:
        All settings that are given or filled in, nested, and where those that were filled in
        came from.
    """
    tree = {key: _as_mapping(value) for key, value in given.items()}
    name = _data_set(tree)
    preset = preset_of(name) if name is not None else {}
    tree.setdefault("recipe", _default_recipe(preset, tree))
    whole: dict[str, Any] = {}
    origins: Origins = {}
    merge(whole, preset, origins, f"preset {name}")
    for recipe in _recipes(tree["recipe"]):
        merge(whole, recipe.settings, origins, f"recipe {recipe.name}")
    for section in ("train", "retrain"):
        # Label smoothing is a part of cross-entropy. A recipe's is dropped where the user names
        # another loss, and is no contradiction.
        asked = tree.get(section)
        if isinstance(asked, Mapping) and asked.get("loss", "ce") != "ce":
            whole.get(section, {}).pop("label_smoothing", None)
            origins.pop(f"{section}.label_smoothing", None)
    merge(whole, tree)
    _fill_in_robust(whole, tree, origins)
    return whole, origins


def _fill_in_robust(whole: dict[str, Any], tree: Mapping[str, Any], origins: Origins) -> None:
    """Lays what the robust algorithm says below the settings of section ``robust``."""
    retraining, asked = whole.get("retrain", {}), tree.get("robust", {})
    if not isinstance(retraining, Mapping) or not isinstance(asked, Mapping):
        return  # refused where the settings are validated
    algorithm = asked.get("algorithm", RobustConfig.model_fields["algorithm"].default)
    robust: dict[str, Any] = {}
    net = whole.get("net", {})
    net_type = net.get("net_type") if isinstance(net, Mapping) else None
    layers = algorithm_settings(algorithm, asked.get("preset"), dict(retraining), net_type)
    for origin, settings in layers.items():
        merge(robust, settings, origins, origin, "robust.")
    if asked.get("loss", "ce") != "ce":
        robust.pop("label_smoothing", None)  # as of train and retrain
        origins.pop("robust.label_smoothing", None)
    merge(robust, asked)
    whole["robust"] = robust


def merge(
    tree: dict[str, Any],
    upper: Mapping[str, Any],
    origins: Origins | None = None,
    origin: str = "",
    prefix: str = "",
) -> None:
    """Lays settings over others, in place.

    Args:
        tree: nested settings, which change.
        upper: nested settings that win.
        origins: takes ``origin`` for each dotted key of ``upper``, where it is given.
    """
    for key, value in upper.items():
        if isinstance(value, Mapping) and isinstance(tree.setdefault(key, {}), dict):
            merge(tree[key], value, origins, origin, f"{prefix}{key}.")
            continue
        tree[key] = dict(value) if isinstance(value, Mapping) else value
        if origins is not None:
            origins[f"{prefix}{key}"] = origin


def _as_mapping(value: Any) -> Any:
    return value.model_dump(exclude_unset=True) if isinstance(value, BaseModel) else value


def _data_set(tree: Mapping[str, Any]) -> str | None:
    """The data set that is named; None where none is, or an unknown one, which is refused later."""
    data = tree.get("data")
    name = data.get("dataset") if isinstance(data, Mapping) else None
    try:
        return known_name(name) if isinstance(name, str) else None
    except ValueError:
        return None


def _recipes(name: object) -> list[Any]:
    """The layers of a recipe; none of an unknown one, which is refused later."""
    return find_recipe(name).layers if isinstance(name, str) and name in recipe_names() else []


def _default_recipe(preset: Mapping[str, Any], tree: Mapping[str, Any]) -> str:
    size = None
    for layer in (preset, tree):
        data = layer.get("data")
        size = data.get("image_size", size) if isinstance(data, Mapping) else size
    return "paper" if isinstance(size, int) and size > DETECT_UP_TO else "detect"
