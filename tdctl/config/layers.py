"""Combines the layers of settings, and records where each value came from.

Each layer overrides those before it: defaults, the data set's preset, the recipe, what pretrained
weights expect, the user's settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from tdctl.catalogue import CATALOGUE, is_own, known_name
from tdctl.config.net import OWN
from tdctl.config.robust import RobustConfig, algorithm_settings
from tdctl.recipes import DETECT_UP_TO, find_recipe, preset_of, recipe_names

__all__ = ["Origins", "fill_in", "merge"]

# The origin of each setting's value, by dotted key. A default has no entry.
Origins = dict[str, str]


def fill_in(given: Mapping[str, Any]) -> tuple[dict[str, Any], Origins]:
    """The given settings, with preset and recipe filled in below them.

    The default recipe is ``features`` for embeddings, and ``finetune`` for pretrained networks,
    unless the data set has a preset that starts from weights. For others it is ``detect``, or
    ``paper`` for images of more than 64 pixels of a data set known by name. An explicit ``recipe:
    null`` means no recipe.

    Args:
        given: the nested settings, section to key to value. A section may be a model. Then only
            the fields that were set count.

    Returns:
        All settings that were given or filled in, nested; and the origins of those filled in.
    """
    tree = {key: _as_mapping(value) for key, value in given.items()}
    name = _data_set(tree)
    preset = preset_of(name) if name is not None else {}
    trained = _starts_trained(tree)
    if name == "embeddings":
        tree.setdefault("recipe", "features")
    if trained and not (name is not None and CATALOGUE[name].pretrained):
        tree.setdefault("recipe", "finetune")
    tree.setdefault("recipe", _default_recipe(name, preset, tree))
    whole: dict[str, Any] = {}
    origins: Origins = {}
    merge(whole, preset, origins, f"preset {name}")
    if name == "embeddings":
        merge(whole, {"net": {"net_type": "linear"}}, origins, "embeddings")
    for recipe in _recipes(tree["recipe"]):
        merge(whole, recipe.settings, origins, f"recipe {recipe.name}")
    for section in ("train", "retrain"):
        # Label smoothing belongs to cross-entropy. If the user names another loss, the recipe's
        # label smoothing is dropped. It must not count as a contradiction.
        asked = tree.get(section)
        if isinstance(asked, Mapping) and asked.get("loss", "ce") != "ce":
            whole.get(section, {}).pop("label_smoothing", None)
            origins.pop(f"{section}.label_smoothing", None)
    net: dict[str, Any] = {}
    for layer in (whole, tree):
        merge(net, layer.get("net", {}) if isinstance(layer.get("net"), Mapping) else {})
    if trained and net.get("net_type", OWN[0]) not in OWN:
        merge(whole, {"data": {"normalise": "network"}}, origins, "pretrained weights")
    asked = tree.get("train")
    for name in ("epochs", "folds"):
        # What the user says of the heads on features is not shortened.
        if isinstance(asked, Mapping) and name in asked:
            whole.get("heads", {}).pop(f"shorten_{name}", None)
            origins.pop(f"heads.shorten_{name}", None)
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
    """Overrides settings with others, in place.

    Args:
        tree: nested settings, which are changed.
        upper: nested settings that override those in ``tree``.
        origins: receives ``origin`` for each dotted key of ``upper``; None to record nothing.
        origin: where the settings in ``upper`` came from.
        prefix: the dotted key of ``tree``, with a dot at its end.
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
    """The named data set; None if none is named. An unknown one is refused later."""
    data = tree.get("data")
    name = data.get("dataset") if isinstance(data, Mapping) else None
    try:
        return known_name(name) if isinstance(name, str) else None
    except ValueError:
        return None


def _recipes(name: object) -> list[Any]:
    """The layers of a recipe; empty for an unknown one, which is refused later."""
    return find_recipe(name).layers if isinstance(name, str) and name in recipe_names() else []


def _starts_trained(tree: Mapping[str, Any]) -> bool:
    net = tree.get("net")
    return isinstance(net, Mapping) and net.get("pretrained") not in (None, "none")


def _default_recipe(name: str | None, preset: Mapping[str, Any], tree: Mapping[str, Any]) -> str:
    if name is not None and is_own(name):
        return "detect"
    size = None
    for layer in (preset, tree):
        data = layer.get("data")
        size = data.get("image_size", size) if isinstance(data, Mapping) else size
    return "paper" if isinstance(size, int) and size > DETECT_UP_TO else "detect"
