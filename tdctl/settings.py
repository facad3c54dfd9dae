"""Reads the user's settings and combines them with the recipe and the preset.

Each layer overrides those before it: defaults, the data set's preset, the recipe, a YAML file,
``--set a.b=c``, flags.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tdctl.catalogue import CATALOGUE
from tdctl.config import Config
from tdctl.config.data import DataConfig, readers_of, usual_values
from tdctl.config.layers import Origins, fill_in, merge
from tdctl.errors import ConfigError
from tdctl.folders import data_set_in

# Settings and recipes that no longer exist. Runs of earlier versions with them still load.
RETIRED = ("train.neighbours",)
# The origin of a setting that follows from the pictures.
CHOSEN = "chosen by the data"
RETIRED_RECIPES = ("strong", "average", "neighbours")

__all__ = [
    "CHOSEN",
    "Resolved",
    "differences",
    "flat",
    "load_config",
    "parse_set",
    "read_yaml",
    "resolve",
]


def parse_set(assignments: Iterable[str]) -> dict[str, Any]:
    """Turns ``["train.epochs=3"]`` into ``{"train.epochs": 3}``. Values are read as YAML.

    Raises:
        ConfigError: an assignment has no ``=``, or its value is not valid YAML.
    """
    result: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {assignment}: expected section.key=value")
        try:
            result[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ConfigError(f"--set {assignment}: the value is not valid YAML") from None
    return result


@dataclass(frozen=True)
class Resolved:
    """All settings of a command, with the origin of each.

    Attributes:
        config: the settings.
        origins: the origin of each value by dotted key, such as ``recipe detect`` or ``--lr``. A
            default has no entry.
        note: tells the user which data set was chosen if none is named; else None.
    """

    config: Config
    origins: Origins
    note: str | None

    @property
    def named(self) -> frozenset[str]:
        """The dotted keys that the user or a run has set; no recipe, preset or default did."""
        below = ("recipe ", "preset ", CHOSEN)
        return frozenset(
            key for key, origin in self.origins.items() if not origin.startswith(below)
        )

    def to_yaml(self, *, ascii_only: bool = False) -> str:
        """The settings as YAML for ``--config``, with a comment on the origin of each.

        Args:
            ascii_only: escape all other letters, for a stream that cannot write them.
        """
        lines = []
        for key, value in self.config.model_dump(mode="json").items():
            if not isinstance(value, dict):
                lines.append(self._line("", key, value, ascii_only))
                continue
            lines.append(f"{key}:")
            lines += [self._line(f"{key}.", k, v, ascii_only) for k, v in value.items()]
        return "\n".join(lines) + "\n"

    def _line(self, prefix: str, key: str, value: Any, ascii_only: bool) -> str:
        text = yaml.safe_dump(
            value, default_flow_style=True, allow_unicode=not ascii_only, width=math.inf
        )
        # YAML writes a line of three dots after a plain value.
        text = text.removesuffix("...\n").strip()
        origin = self.origins.get(prefix + key, "default")
        origin = ascii(origin)[1:-1] if ascii_only else " ".join(origin.split())
        return f"{'  ' if prefix else ''}{key}: {text}  # {origin}"


def load_config(
    path: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    base: Mapping[str, Any] | None = None,
    pinned: Iterable[str] = (),
    *,
    of_run: bool = False,
) -> Config:
    """Reads settings from a YAML file and dotted overrides, and checks them.

    Args:
        path: a YAML file with some of the settings, or None.
        overrides: values by dotted key, such as ``train.epochs``.
        base: nested settings that the file overrides, such as those of a finished run.
        pinned: sections of ``base`` that the file does not override, such as ``data``.
        of_run: True if the file belongs to a run; see ``resolve``.

    Returns:
        All settings, with recipe and preset filled in.

    Raises:
        ConfigError: as ``resolve``.

    Example:
        >>> load_config(overrides={"data.dataset": "digits", "train.epochs": 5}).train.epochs
        5
    """
    return resolve(path, overrides, base, pinned, of_run=of_run).config


def resolve(
    path: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    base: Mapping[str, Any] | None = None,
    pinned: Iterable[str] = (),
    *,
    flags: Iterable[str] = (),
    chosen: Mapping[str, Any] | None = None,
    of_run: bool = False,
) -> Resolved:
    """Combines ``base``, a YAML file and overrides, and fills in the recipe and the preset.

    ``base`` overrides the recipe and the preset. A run's own settings have all keys, so a recipe
    never changes them. If no layer names a data set, it is the one found in ``data.data_dir``.

    Args:
        path: a YAML file with some of the settings, or None.
        overrides: values by dotted key, such as ``train.epochs``.
        base: nested settings that the file overrides, such as those of a finished run.
        pinned: sections of ``base`` that the file does not override, such as ``data``.
        flags: the keys of ``overrides`` that have flags of their own.
        chosen: values by dotted key that follow from the pictures. Those of the user and of a run
            override them.
        of_run: True if the file belongs to a run. Then its settings are taken as they are, even
            those that the data set does not read.

    Returns:
        All settings, with the origin of each.

    Raises:
        ConfigError: the file cannot be read, a key is unknown, or a value is out of range. The
            recipe differs from that of ``base``. The data set does not read a given setting. Or no
            data set is named, and ``data.data_dir`` holds none or several.
    """
    base, overrides = base or {}, overrides or {}
    origins: Origins = {}
    tree: dict[str, Any] = {}
    merge(tree, _nested(chosen or {}), origins, CHOSEN)
    asked = _layers(tree, path, overrides, base, pinned, origins, set(flags), of_run)
    note = _name_data_set(tree, origins)
    if base:
        tree.setdefault("recipe", None)
        _check_recipe(base, tree)
    below, origins_below = fill_in(tree)
    try:
        config = Config.model_validate(below)
    except ValidationError as error:
        raise ConfigError(_first_problem(error, path)) from None
    _check_asked(config, overrides)
    if not of_run:
        _check_read(config, asked)
    return Resolved(config, origins_below | origins, note)


def _check_recipe(base: Mapping[str, Any], tree: Mapping[str, Any]) -> None:
    """Refuses a recipe that differs from the recipe of the run."""
    was = base.get("recipe")
    if was is not None and was != tree["recipe"]:
        raise ConfigError(
            f"recipe: the run was made with '{was}', and its settings stay; leave out the recipe, "
            "and name the settings that should change"
        )


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by dotted key as nested settings."""
    tree: dict[str, Any] = {}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        (tree.setdefault(section, {}) if section else tree)[name] = value
    return tree


def _layers(
    tree: dict[str, Any],
    path: Path | None,
    overrides: Mapping[str, Any],
    base: Mapping[str, Any],
    pinned: Iterable[str],
    origins: Origins,
    flags: set[str],
    of_run: bool,
) -> dict[str, Any]:
    """Adds all given settings to the tree; returns those of ``data`` that the user asked for."""
    merge(tree, base, origins, "the run")
    asked: dict[str, Any] = {}
    if path is not None:
        file = read_yaml(path)
        if of_run:
            _as_then(file)
        merge(tree, file, origins, f"config {path}")
        data = file.get("data")
        if isinstance(data, Mapping) and not {"data", "data.dataset"} & {*pinned, *overrides}:
            # A file may contain all settings, so a default value does not count as a request. The
            # settings of another data set do not count either.
            fields = DataConfig.model_fields
            asked = {k: v for k, v in data.items() if k in fields and v not in usual_values(k)}
    merge(tree, {key: base[key] for key in pinned if key in base}, origins, "the run")
    for key, value in overrides.items():
        node = tree
        *sections, leaf = key.split(".")
        for section in sections:
            node = node.setdefault(section, {})
            if not isinstance(node, dict):
                raise ConfigError(f"{key}: '{section}' is a value, not a section")
        node[leaf] = value
        origins[key] = f"--{leaf.replace('_', '-')}" if key in flags else "--set"
        if sections == ["data"]:
            asked[leaf] = value
    return asked


def _as_then(tree: dict[str, Any]) -> None:
    """Changes the settings of a run of an earlier version into those that mean the same now."""
    for key in RETIRED:
        section, _, name = key.partition(".")
        if isinstance(tree.get(section), dict):
            tree[section].pop(name, None)
    if tree.get("recipe") in RETIRED_RECIPES:
        tree["recipe"] = None  # the run's file names all settings
    data = tree.get("data")
    if isinstance(data, dict) and data.get("image_size") is not None:
        data.setdefault("decode", "full")  # as all images were decoded


def _name_data_set(tree: dict[str, Any], origins: Origins) -> str | None:
    """Adds the data set to settings that name none, and returns a note about it."""
    data = tree.setdefault("data", {})
    if not isinstance(data, dict) or data.get("dataset") is not None:
        return None
    folder, labels = data.get("data_dir"), data.get("labels")
    data.pop("dataset", None)
    if folder is None:
        return (
            "neither --dataset nor --data-dir is given: the data set is digits, which ships inside "
            "scikit-learn"
        )
    if not isinstance(folder, str | Path) or not isinstance(labels, str | Path | None):
        return None  # the validation refuses it and says why
    found, why = data_set_in(Path(folder), None if labels is None else Path(labels))
    data["dataset"] = found
    origins["data.dataset"] = "found in --data-dir"
    return f"--dataset {found}, by what {folder} holds: {why}"


def _check_read(config: Config, asked: Mapping[str, Any]) -> None:
    """Refuses settings that the data set does not read.

    Raises:
        ConfigError: such a setting is given. The message says which data sets read it.
    """
    data = config.data
    for name, value in asked.items():
        readers = readers_of(name, data.labels is not None)
        if value is None or value is False or readers is None or data.dataset in readers:
            continue
        flag = f"--{name.replace('_', '-')}"
        if name in {"label_column", "file_column", "true_column"}:
            raise ConfigError(
                f"data.{name}: names a column of --labels, which is not given; give --labels FILE, "
                f"or leave out {flag}"
            )
        # A long list is shortened to the user's own kinds of data.
        own = [name for name in readers if not CATALOGUE[name].landmarks]
        which = ", ".join(own or readers) + (", ..." if own and len(own) < len(readers) else "")
        raise ConfigError(
            f"data.{name}: dataset '{data.dataset}' does not read {flag}; leave it out, or name "
            f"the data set that does with --dataset ({which})"
        )


def _check_asked(config: Config, overrides: Mapping[str, Any]) -> None:
    """Refuses settings that the user gave explicitly but that would have no effect.

    In other layers they are no error: a recipe or preset may have settings for another network.
    """
    if "train.leave_out_ratio" in overrides and config.train.leave_out is None:
        raise ConfigError(
            "train.leave_out_ratio: nothing is left out without a ranking; name one with "
            "--leave-out FILE"
        )
    fits = {"depth": {"resnet"}, "stride": {"resnet", "wide"}, "width": {"wide"}}
    for name, nets in fits.items():
        if f"net.{name}" in overrides and config.net.net_type not in nets:
            raise ConfigError(
                f"net.{name}: goes with --net-type {' or '.join(sorted(nets))}, not with "
                f"'{config.net.net_type}'; leave out net.{name}, or give such a --net-type"
            )


class _EachKeyOnce(yaml.SafeLoader):
    """YAML of plain values, in which a key that stands twice is an error, not the later value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1 and key != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' stands twice; leave one", node.start_mark
                )
        return super().construct_mapping(node, deep)


@lru_cache(maxsize=32)
def _parsed(text: str) -> Any:
    """YAML as values, which are not to be changed. Commands read a run's settings several times."""
    return yaml.load(text, _EachKeyOnce)


def read_yaml(path: Path) -> dict[str, Any]:
    """The nested settings in a YAML file.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or does not hold settings.
    """
    try:
        tree = deepcopy(_parsed(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"config {path}: {error.strerror}; give an existing YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        detail = " ".join(str(error).split())
        raise ConfigError(f"config {path}: not valid YAML ({detail})") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"config {path}: expected sections such as 'train:', got a bare value")
    return tree


def differences(old: Config, new: Config, unread: Iterable[str], free: Iterable[str]) -> list[str]:
    """The settings in which two configs differ, each as ``key: old, now new``.

    Args:
        old, new: the configs.
        unread: sections that do not count.
        free: dotted keys that do not count.
    """
    out = set(unread)
    before, after = (flat(config.model_dump(mode="json", exclude=out)) for config in (old, new))
    return [
        f"{key}: {before.get(key)}, now {after.get(key)}"
        for key in after
        if before.get(key) != after.get(key) and key not in free
    ]


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted keys."""
    result: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{prefix}{key}.")
        else:
            result[prefix + key] = value
    return result


def _first_problem(error: ValidationError, path: Path | None) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    origin = f" (config {path})" if path is not None else ""
    if problem["type"] == "extra_forbidden":
        return (
            f"unknown setting '{where}'{origin}; tdctl generate-td --print-config shows all of them"
        )
    shown = (
        ""
        if isinstance(problem["input"], dict) or "Value error" in problem["msg"]
        else (f", got {problem['input']!r}")
    )
    return f"{where}: {message}{shown}{origin}" if where else f"{message}{shown}{origin}"
