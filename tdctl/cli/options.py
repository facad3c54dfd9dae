"""Command-line flags made from the settings' own descriptions."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tdctl.cli.boundary import say
from tdctl.cli.output import echo, holds_all
from tdctl.config import Config
from tdctl.errors import RunError
from tdctl.recipes import DETECT
from tdctl.settings import found_data_set, load_config, parse_set, read_yaml

__all__ = ["DATA", "NET", "NOISE", "Settings", "print_config_of", "section", "with_settings"]

COMMON = ("seed", "device")


def section(name: str) -> tuple[str, ...]:
    """All dotted keys of one section of the settings."""
    model = Config.model_fields[name].annotation
    if model is None:
        raise KeyError(name)
    return tuple(f"{name}.{key}" for key in typing.cast(type[BaseModel], model).model_fields)


DATA, NOISE, NET = section("data"), section("noise"), section("net")


@dataclass(frozen=True)
class Settings:
    """What the user asked for, before it is resolved: a file, ``--set`` and flags."""

    path: Path | None
    overrides: dict[str, Any]
    reads_data: bool = True

    def resolve(self, base: dict[str, Any] | None = None, pinned: Iterable[str] = ()) -> Config:
        """The settings, above ``base`` where that is given; see ``load_config``.

        Says which data set is taken where none is named.

        Raises:
            ConfigError: a key is unknown or a value out of its range.
        """
        config = load_config(self.path, self.overrides, base, pinned)
        found = found_data_set(self.path, self.overrides, base) if self.reads_data else None
        if found is not None:
            say(f"note: {found}")
        return config

    def going_on(self, base: dict[str, Any] | None, folder: Path) -> Config:
        """The settings of a run that goes on: its own, ``base``, below what is given here.

        Raises:
            RunError: the run has written none, and none are given.
            ConfigError: as ``resolve``.
        """
        if base is None and self.path is None and not self.overrides:
            raise RunError(
                f"{folder}: was ended before its settings were written; give them again with "
                "--resume"
            )
        return self.resolve(base)

    def named_keys(self) -> frozenset[str]:
        """The dotted keys that are given by flag, ``--set`` or file."""
        found = set(self.overrides)
        for key, value in ({} if self.path is None else read_yaml(self.path)).items():
            found |= {f"{key}.{name}" for name in value} if isinstance(value, dict) else {key}
        return frozenset(found)

    def found_data_set(self) -> str | None:
        """What to say of the data set that is taken where none is named; else None."""
        return found_data_set(self.path, self.overrides)

    def names_data(self) -> bool:
        """Whether the data set, or where it lies, was named by flag, ``--set`` or file."""
        data = {} if self.path is None else read_yaml(self.path).get("data")
        named = {key.removeprefix("data.") for key in self.overrides} | set(data or {})
        return not named.isdisjoint({"dataset", "data_dir"})


def print_config_of(config: Config) -> None:
    """Prints all settings as YAML that ``--config`` reads back, whatever the stream can hold."""
    text = config.to_yaml()
    echo(text if holds_all(text) else config.to_yaml(ascii_only=True), end=False)


def with_settings(*keys: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command one flag for each dotted setting, and ``--config`` and ``--set``.

    The command gets them as its ``settings`` argument. Flags win over ``--set``, which wins
    over the file.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        hints = typing.get_type_hints(command, include_extras=True)
        own = inspect.signature(command).parameters
        flags = {key.rpartition(".")[2]: key for key in (*keys, *COMMON)}
        epochs = [f"{key}=30" for key in keys if key.endswith(".epochs")]
        shared = _shared_parameters((*epochs, "noise.noise_ratio=0.2")[0])
        parameters = [
            own[name].replace(annotation=hints[name]) for name in own if name != "settings"
        ]
        parameters += [_parameter(name, key) for name, key in flags.items()]
        parameters += shared

        @wraps(command)
        def run(**kwargs: Any) -> None:
            given = {key: kwargs.pop(name) for name, key in flags.items()}
            config, assignments = kwargs.pop("config"), kwargs.pop("set_")
            overrides = parse_set(assignments or [])
            for key, value in given.items():
                if value is not None:
                    overrides[key] = _split(value) if key.endswith("lr_drops") else value
            reads_data = "data.dataset" in keys
            command(settings=Settings(config, overrides, reads_data), **kwargs)

        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        del run.__wrapped__
        return run

    return decorate


def _split(value: str) -> list[str]:
    return [part for part in value.replace(",", " ").split() if part]


def _shared_parameters(example: str) -> list[inspect.Parameter]:
    file = typer.Option("--config", help="YAML file with settings; flags and --set win over it.")
    one = typer.Option("--set", metavar="KEY=VALUE", help=f"Any setting, such as {example}.")
    return [
        _keyword("config", Annotated[Path | None, file], None),
        _keyword("set_", Annotated[list[str] | None, one], None),
    ]


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _parameter(name: str, key: str) -> inspect.Parameter:
    field = _field(key)
    kind = _plain_type(field.annotation)
    flag = f"--{name.replace('_', '-')}"
    declaration = f"{flag}/--no-{flag[2:]}" if kind is bool else flag
    help_text = (field.description or "") + _default_text(key, field)
    option = typer.Option(declaration, help=help_text, show_default=False)
    return _keyword(name, Annotated[kind | None, option], None)


def _field(key: str) -> FieldInfo:
    model: type[BaseModel] = Config
    *sections, leaf = key.split(".")
    for part in sections:
        model = typing.cast(type[BaseModel], model.model_fields[part].annotation)
    return model.model_fields[leaf]


def _plain_type(annotation: Any) -> type:
    """The type that the shell's word is turned into; ranges and choices are the settings' task."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        kinds = [a for a in typing.get_args(annotation) if a is not type(None)]
        return _plain_type(kinds[0])
    if typing.get_origin(annotation) is Annotated:
        return _plain_type(typing.get_args(annotation)[0])
    return annotation if annotation in {int, float, bool, Path} else str


def _default_text(key: str, field: FieldInfo) -> str:
    default = "" if field.default is PydanticUndefined else _shown(field.default)
    part, _, name = key.partition(".")
    detects = _shown(DETECT.get(part, {}).get(name))
    if detects and detects != default:
        return f" (default: detect's {detects}, paper's {default})"
    return f" (default: {default})" if default else ""


def _shown(default: object) -> str:
    """A default as the user would type it; nothing where the description tells."""
    if default is None or default is False:
        return ""
    if isinstance(default, Iterable) and not isinstance(default, str):
        return ",".join(str(part) for part in default)
    return str(default)
