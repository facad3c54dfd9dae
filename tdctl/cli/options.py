"""Makes command-line flags from the descriptions of the settings."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from typer.core import TyperCommand

from tdctl.cli.boundary import say
from tdctl.cli.output import echo, holds_all
from tdctl.config import Config
from tdctl.errors import RunError
from tdctl.recipes import find_recipe
from tdctl.settings import Resolved, parse_set, read_yaml, resolve

__all__ = [
    "DATA",
    "NET",
    "NOISE",
    "Settings",
    "SettingsCommand",
    "print_config_of",
    "section",
    "with_settings",
]

COMMON = ("seed", "device")
# Settings that few people change have no flag; they are set with --set or --config.
WITHOUT_FLAG = {
    "data.normalise",
    "data.decode",
    "data.valid_labels",
    "data.drop_clutter",
    "net.stride",
    "net.width",
    "detector.ranking",
    "detector.augment",
    *(
        f"robust.{name}"
        for name in (
            "clean_above",
            "sharpening",
            "loss_epochs",
            "prior_penalty",
            "confidence_penalty",
            "neighbours",
            "strong_policy",
            "strong_cutout",
            "class_floor",
        )
    ),
    *(
        f"{section}.{name}"
        for section in ("train", "retrain", "robust")
        for name in (
            "schedule",
            "lr_drops",
            "warmup",
            "momentum",
            "weight_decay",
            "augment_policy",
            "cutout",
            "crop_padding",
            "crop_scale",
            "head_lr_times",
            "checkpoint_blocks",
            "amp_dtype",
            "eval_every",
            "loss_detach",
            "label_smoothing",
            "average",
            "average_decay",
        )
    ),
}
# The first panel of a help text: the flags that most people need.
MOST_USED = (
    "out",
    "td",
    "detector",
    "remove_ratio",
    "action",
    "data.dataset",
    "data.data_dir",
    "data.labels",
    "data.image_size",
    "noise.noise_type",
    "noise.noise_ratio",
    "recipe",
    "train.epochs",
    "retrain.epochs",
    "robust.algorithm",
    "robust.epochs",
    "detector.epochs",
    "resume",
    "seed",
)
LABEL_SETTINGS = {"labels", "label_column", "true_column", "file_column", "split_column"}
RECORDING_SETTINGS = {
    "record",
    "capture",
    "store",
    "leave_out",
    "leave_out_ratio",
    "threshold_samples",
    "folds",
}
CLEANING_FLAGS = {
    "relabel_by",
    "confidence_floor",
    "below",
    "rounds",
    "keep_per_class",
    "score",
    "baselines",
}
FIRST_PANEL = "Most used"
LAST_PANEL = "Output and resuming"
PANELS = {
    "cleaning": "Ranking and cleaning",
    "data": "Data",
    "noise": "Labels and noise",
    "net": "Network",
    "train": "Training",
    "retrain": "Training",
    "robust": "Training",
    "detector": "Detector",
    "recording": "Recording",
}


def section(name: str) -> tuple[str, ...]:
    """All dotted keys of one section of the settings."""
    model = Config.model_fields[name].annotation
    if model is None:
        raise KeyError(name)
    return tuple(f"{name}.{key}" for key in typing.cast(type[BaseModel], model).model_fields)


DATA, NOISE, NET = section("data"), section("noise"), section("net")


@dataclass(frozen=True)
class Settings:
    """What the user asked for, before it is resolved: a file, ``--set`` and flags.

    Attributes:
        path: the file of ``--config``; None without one.
        overrides: values of ``--set`` and of flags, by dotted key.
        reads_data: whether the command reads a data set.
        flags: the keys in ``overrides`` that came from flags.
    """

    path: Path | None
    overrides: dict[str, Any]
    reads_data: bool = True
    flags: frozenset[str] = frozenset()

    def resolve(
        self,
        base: dict[str, Any] | None = None,
        pinned: Iterable[str] = (),
        chosen: Mapping[str, Any] | None = None,
    ) -> Resolved:
        """The settings, with ``base`` (if given) below them; see ``tdctl.settings.resolve``.

        If no data set is named, a note says which one is used.

        Raises:
            ConfigError: a key is unknown, or a value is out of range.
        """
        found = resolve(self.path, self.overrides, base, pinned, flags=self.flags, chosen=chosen)
        if self.reads_data and found.note is not None:
            say(f"note: {found.note}")
        return found

    def check_named(self, folder: Path) -> None:
        """Refuses to resume a run without settings if none are given here.

        Raises:
            RunError: none are given.
        """
        if self.path is None and not self.overrides:
            raise RunError(
                f"{folder}: was ended before its settings were written; give them again with "
                "--resume"
            )

    def named_keys(self) -> frozenset[str]:
        """The dotted keys that are given by flag, ``--set`` or file."""
        found = set(self.overrides)
        for key, value in ({} if self.path is None else read_yaml(self.path)).items():
            found |= {f"{key}.{name}" for name in value} if isinstance(value, dict) else {key}
        return frozenset(found)

    def value(self, key: str) -> Any:
        """What a flag, ``--set`` or the file gives for a dotted key; None if none does."""
        section, _, name = key.rpartition(".")
        tree = {} if self.path is None else read_yaml(self.path)
        part = tree.get(section) if section else tree
        return self.overrides.get(key, part.get(name) if isinstance(part, dict) else None)

    def names_data(self) -> bool:
        """Whether the data set or its folder is named by a flag, ``--set`` or the file."""
        data = {} if self.path is None else read_yaml(self.path).get("data")
        named = {key.removeprefix("data.") for key in self.overrides} | set(data or {})
        return not named.isdisjoint({"dataset", "data_dir"})


def print_config_of(settings: Resolved) -> None:
    """Prints all settings as YAML for ``--config``, each with its origin."""
    text = settings.to_yaml()
    echo(text if holds_all(text) else settings.to_yaml(ascii_only=True), end=False)


def with_settings(*keys: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command one flag for each dotted setting, and ``--config`` and ``--set``.

    The command gets them as its argument ``settings``. Flags win over ``--set``, and ``--set``
    wins over the file.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        hints = typing.get_type_hints(command, include_extras=True)
        own = inspect.signature(command).parameters
        flags = {key.rpartition(".")[2]: key for key in (*keys, *COMMON) if key not in WITHOUT_FLAG}
        epochs = [f"{key}=30" for key in keys if key.endswith(".epochs")]
        example = (*epochs, "noise.noise_ratio=0.2")[0]
        shows = "--print-config" if "print_config" in own else "tdctl generate-td --print-config"
        shared = _shared_parameters(example, shows)
        parameters = [_in_panel(own[name], hints[name]) for name in own if name != "settings"]
        parameters += [_parameter(name, key) for name, key in flags.items()]
        parameters += shared
        parameters.sort(key=_place)

        @wraps(command)
        def run(**kwargs: Any) -> None:
            given = {key: kwargs.pop(name) for name, key in flags.items()}
            config, assignments = kwargs.pop("config"), kwargs.pop("set_")
            overrides = parse_set(assignments or [])
            for key, value in given.items():
                if value is not None:
                    overrides[key] = value
            used = frozenset(key for key, value in given.items() if value is not None)
            reads_data = "data.dataset" in keys
            command(settings=Settings(config, overrides, reads_data, used), **kwargs)

        run.without_flag = {  # type: ignore[attr-defined]
            key.rpartition(".")[2]: key for key in keys if key in WITHOUT_FLAG
        }
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        del run.__wrapped__
        return run

    return decorate


class SettingsCommand(TyperCommand):
    """A command that explains how to set a setting without a flag."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuses a flag for a setting that has none; parses the rest as usual."""
        known: dict[str, str] = getattr(self.callback, "without_flag", {})
        for argument in args:
            flag = argument.partition("=")[0]
            name = flag.removeprefix("--").removeprefix("no-").replace("-", "_")
            if flag.startswith("--") and name in known:
                raise typer.BadParameter(
                    f"{flag} is no flag; give --set {known[name]}=VALUE in its place"
                )
        return super().parse_args(ctx, args)


def _shared_parameters(example: str, shows: str) -> list[inspect.Parameter]:
    file = typer.Option(
        "--config",
        help="YAML file with settings; flags and --set win over it.",
        rich_help_panel=LAST_PANEL,
    )
    one = typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help=f"Change any setting, also one without a flag, such as {example}. {shows} shows all "
        "settings.",
        rich_help_panel=LAST_PANEL,
    )
    return [
        _keyword("config", Annotated[Path | None, file], None),
        _keyword("set_", Annotated[list[str] | None, one], None),
    ]


def _place(parameter: inspect.Parameter) -> tuple[int, int]:
    """The place of a parameter in the help: the most used first, then panel by panel."""
    (option,) = (one for one in parameter.annotation.__metadata__)
    panel = option.rich_help_panel
    order = [FIRST_PANEL, *dict.fromkeys(PANELS.values()), LAST_PANEL]
    names = [key.rpartition(".")[2] for key in MOST_USED]
    within = names.index(parameter.name) if panel == FIRST_PANEL else 0
    return order.index(panel), within


def _panel_of(name: str, key: str | None) -> str:
    """The panel of a flag: for a setting its section, for any other flag the last panel."""
    if (key or name) in MOST_USED:
        return FIRST_PANEL
    if key is None and name in CLEANING_FLAGS:
        return PANELS["cleaning"]
    if key is None or "." not in key:
        return LAST_PANEL
    if name in LABEL_SETTINGS:
        return PANELS["noise"]
    section = "recording" if name in RECORDING_SETTINGS else key.partition(".")[0]
    return PANELS[section]


def _in_panel(parameter: inspect.Parameter, hint: Any) -> inspect.Parameter:
    """A command's own flag, keyword-only, in its panel of the help."""
    kind, option = typing.get_args(hint)
    option = copy(option)  # several commands share the declaration
    option.rich_help_panel = _panel_of(parameter.name, None)
    keyword = inspect.Parameter.KEYWORD_ONLY
    return parameter.replace(annotation=Annotated[kind, option], kind=keyword)


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _parameter(name: str, key: str) -> inspect.Parameter:
    field = _field(key)
    kind = _plain_type(field.annotation)
    flag = f"--{name.replace('_', '-')}"
    declaration = f"{flag}/--no-{flag[2:]}" if kind is bool else flag
    help_text = (field.description or "") + _default_text(key, field)
    panel = _panel_of(name, key)
    option = typer.Option(declaration, help=help_text, show_default=False, rich_help_panel=panel)
    return _keyword(name, Annotated[kind | None, option], None)


def _field(key: str) -> FieldInfo:
    model: type[BaseModel] = Config
    *sections, leaf = key.split(".")
    for part in sections:
        model = typing.cast(type[BaseModel], model.model_fields[part].annotation)
    return model.model_fields[leaf]


def _plain_type(annotation: Any) -> type:
    """The type that typer converts to; the settings check ranges and choices."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        kinds = [a for a in typing.get_args(annotation) if a is not type(None)]
        return _plain_type(kinds[0])
    if typing.get_origin(annotation) is Annotated:
        return _plain_type(typing.get_args(annotation)[0])
    return annotation if annotation in {int, float, bool, Path} else str


def _default_text(key: str, field: FieldInfo) -> str:
    default = "" if field.default is PydanticUndefined else _shown(field.default)
    part, _, name = key.partition(".")
    detects = _shown(find_recipe("detect").settings.get(part, {}).get(name))
    if detects and detects != default:
        return f" (default: detect's {detects}, paper's {default})"
    return f" (default: {default})" if default else ""


def _shown(default: object) -> str:
    """A default as the user would type it; empty if the description already says it."""
    if default is None or default is False:
        return ""
    if isinstance(default, Iterable) and not isinstance(default, str):
        return ",".join(str(part) for part in default)
    return str(default)
