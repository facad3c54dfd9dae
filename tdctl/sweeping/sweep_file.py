"""The YAML file that describes a sweep."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from tdctl.config import Config
from tdctl.config.robust import ALGORITHMS
from tdctl.config.section import Section, Seed
from tdctl.cuts import ratio_of
from tdctl.errors import ConfigError
from tdctl.settings import flat, parse_set, read_yaml

__all__ = ["BEST_SCORE", "CLEANINGS", "LABELS", "RowGroup", "SweepFile", "read_sweep"]

# The cleanings need a ranking. The other words are controls.
CLEANINGS = ("prune", "relabel", "reweight")
LABELS = (*CLEANINGS, "random", "all", "clean", "true")
# The hand-made score with the highest AP on a recording. It needs the truth.
BEST_SCORE = "best-score"
# Names of noises and algorithms become parts of folder names.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
RATIO = re.compile(r"auto(:[a-z]+)?|realised([+-]0?\.[0-9]+)?|0?\.[0-9]+|0")

# Settings that the lists of a sweep decide, and what to do instead.
OWN_KEYS = {
    "seed": "seeds: [...] of the sweep's file sets it",
    "robust.algorithm": "algorithms: [...] of a group of rows sets it",
}
# The settings of an algorithm may contain all settings of the section, also ``algorithm``.
OF_ALGORITHM: dict[str, str] = {}

LabelWord = Literal["prune", "relabel", "reweight", "random", "all", "clean", "true"]
Names = Annotated[tuple[str, ...], Field(min_length=1)]


class RowGroup(Section):
    """Rows that are trained for each noise and seed: every combination of the listed values.

    Attributes:
        labels: the labels of the training. prune, relabel, reweight: labels cleaned by a ranking;
            all: all given labels; random: as many labels dropped at random as prune drops; clean:
            exactly the wrong labels dropped; true: the true labels. The last two need the truth.
        detectors: detectors or scores that rank, auto, or best-score.
        remove_ratios: shares in [0, 1); auto or auto:METHOD; realised, realised+0.05 and so on:
            the true share of wrong labels, which needs the truth.
        algorithms: names from the file's ``algorithms``.
        equal: epochs: each row trains for the algorithm's epochs; steps: rows with fewer images
            train for more epochs, so that the number of steps is that of all given labels.
        relabel_by, confidence_floor, below: how ``relabel`` finds new labels, as in ``denoise``;
            ``retrained`` is not possible here.
        keep_per_class: how much of each given class a cleaning always keeps: a share below 1, or a
            number of samples; None: 0.5 with auto, else 0.
        controls: also train the controls: all, clean, true (with relabel), and for each ratio a
            random removal and a removal by the best hand-made score.
    """

    labels: Annotated[tuple[LabelWord, ...], Field(min_length=1)]
    detectors: Names = ("auto",)
    remove_ratios: Names = ("auto",)
    algorithms: Names = ("ce",)
    equal: Annotated[tuple[Literal["epochs", "steps"], ...], Field(min_length=1)] = ("epochs",)
    relabel_by: Literal["mean-softmax", "truth"] | None = None
    confidence_floor: Annotated[float, Field(ge=0, le=1)] | None = None
    below: Literal["drop", "keep"] | None = None
    keep_per_class: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    controls: bool = True

    @field_validator("remove_ratios", mode="before")
    @classmethod
    def _ratios_are_known(cls, value: object) -> object:
        if not isinstance(value, list | tuple):
            raise ValueError("expected a list, such as [0.1, 0.2]")
        words = tuple(_word(one) for one in value)
        for word in words:
            if not RATIO.fullmatch(word):
                raise ValueError(
                    f"'{word}' is not a ratio; expected a share below 1, auto, or realised+0.05"
                )
            if word.startswith("auto:"):
                try:
                    ratio_of(word)
                except ConfigError as error:
                    raise ValueError(str(error).removeprefix("ratio: ")) from None
        return words

    @field_validator("keep_per_class")
    @classmethod
    def _whole_samples(cls, value: float | None) -> float | None:
        if value is not None and value > 1 and value != int(value):
            raise ValueError(f"{value:g} is neither a share below 1 nor a whole number of samples")
        return value

    @model_validator(mode="after")
    def _relabelling_is_wanted(self) -> RowGroup:
        for name in ("relabel_by", "confidence_floor", "below"):
            if getattr(self, name) is not None and "relabel" not in self.labels:
                raise ValueError(f"{name}: has an effect only with labels: [relabel]; leave it out")
        if self.keep_per_class is not None and not {"prune", "relabel", "random"} & {*self.labels}:
            raise ValueError(
                "keep_per_class: has an effect only on prune, relabel and random; leave it out"
            )
        if self.relabel_by == "truth":
            for name in ("confidence_floor", "below"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name}: true labels have no confidence; leave it out")
        return self


class SweepFile(Section):
    """A sweep over noises, seeds, rankers, remove ratios, cleanings and algorithms.

    Attributes:
        settings: settings as in a ``--config`` file, for recordings and trainings.
        noises: a name, and settings that override ``settings``: usually the section ``noise``, or a
            label table.
        seeds: seeds of recordings and trainings.
        algorithms: a name, and settings of the section ``robust``. The name of an algorithm needs
            no settings; any other name needs the setting ``algorithm``.
        rows: the groups of rows that are trained.
    """

    settings: dict[str, Any] = Field(default_factory=dict)
    noises: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    algorithms: dict[str, dict[str, Any]] = Field(default_factory=dict)
    rows: Annotated[tuple[RowGroup, ...], Field(min_length=1)]

    @field_validator("algorithms", mode="before")
    @classmethod
    def _nothing_is_no_settings(cls, value: object) -> object:
        if isinstance(value, dict):
            return {name: {} if one is None else one for name, one in value.items()}
        return value

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds_are_numbers(cls, value: object) -> object:
        for one in value if isinstance(value, list) else ():
            if isinstance(one, bool):  # YAML's on, no and true would be read as the number 1 or 0
                raise ValueError(f"{str(one).lower()} is not a seed; expected whole numbers")
        return value

    @model_validator(mode="after")
    def _settings_have_an_effect(self) -> SweepFile:
        check_settings("settings", self.settings)
        for name, settings in self.noises.items():
            check_settings(f"noises.{name}", settings)
        for name, settings in self.algorithms.items():
            check_settings(f"algorithms.{name}", {"robust": settings}, OF_ALGORITHM)
        return self

    @model_validator(mode="after")
    def _names_fit(self) -> SweepFile:
        for kind, names in (("noises", self.noises), ("algorithms", self.algorithms)):
            for name in names:
                if not NAME.fullmatch(name):
                    raise ValueError(
                        f"{kind}: '{name}' becomes part of folder names; use letters, digits and "
                        ". _ + -"
                    )
        for name, settings in self.algorithms.items():
            if settings.get("algorithm", name) not in ALGORITHMS:
                raise ValueError(
                    f"algorithms: '{name}' is none of {', '.join(ALGORITHMS)}; add "
                    "'algorithm: ce' or another of them to its settings"
                )
            if name in ALGORITHMS and settings.get("algorithm", name) != name:
                # Its rows would have the name of another algorithm in the table.
                raise ValueError(
                    f"algorithms: '{name}' is the algorithm {name}, and its settings name "
                    f"{settings['algorithm']}; give it another name"
                )
        known = {*self.algorithms, *ALGORITHMS}
        for group in self.rows:
            for name in group.algorithms:
                if name not in known:
                    raise ValueError(
                        f"rows: algorithm '{name}' is unknown; use one of "
                        f"{', '.join(sorted(known))}, or describe it under algorithms"
                    )
        return self

    def settings_of(self, algorithm: str) -> dict[str, Any]:
        """The settings of the section ``robust`` of an algorithm by its name here."""
        return {"algorithm": algorithm, **self.algorithms.get(algorithm, {})}


def _word(ratio: object) -> str:
    """A ratio as the name of a row contains it, with all its digits."""
    plain = isinstance(ratio, float | int) and not isinstance(ratio, bool)
    return str(ratio).removesuffix(".0") if plain else str(ratio)


def check_settings(
    where: str, settings: Mapping[str, Any], own: Mapping[str, str] = OWN_KEYS
) -> None:
    """Refuses settings that are unknown, or that the sweep itself decides.

    Args:
        where: the place in the file.
        settings: nested settings, or by dotted keys.
        own: the settings that the sweep decides, and for each the part of the file that sets it.

    Raises:
        ValueError: the message names the place.
    """
    try:
        keys = [*settings, *flat(settings)]
    except TypeError:
        raise ValueError(
            f"{where}: has a key that is not text; expected names of settings"
        ) from None
    for key in keys:
        if key in own:
            raise ValueError(f"{where}: {key} has no effect here; {own[key]}")
        section, dot, name = key.partition(".")
        known = Config.model_fields.get(section)
        of = getattr(known and known.annotation, "model_fields", {})
        if known is None or (dot and name.partition(".")[0] not in of):
            raise ValueError(
                f"{where}: unknown setting '{key}'; tdctl generate-td --print-config shows all "
                "of them"
            )


def _said(problem: Any) -> str:
    """The problem that pydantic found, in words about YAML."""
    kind, place = problem["type"], problem["loc"]
    if kind == "extra_forbidden":
        fields = (RowGroup if place[0] == "rows" else SweepFile).model_fields
        return f"is unknown; expected {', '.join(fields)}"
    if kind == "missing":
        return "is missing; docs/sweeps.md shows a whole file"
    if kind == "tuple_type":
        given = problem["input"]
        return "expected a list" + (f", such as [{given}]" if isinstance(given, str | int) else "")
    if kind in ("too_short", "dict_type", "model_type"):
        return (
            "is empty" if kind == "too_short" else "expected names and their values, 'NAME: VALUE'"
        )
    return str(problem["msg"]).removeprefix("Value error, ")


def read_sweep(path: Path, assignments: Iterable[str] = ()) -> SweepFile:
    """The sweep in a YAML file.

    Args:
        path: the file.
        assignments: ``section.key=value``; they override the file's ``settings``.

    Raises:
        ConfigError: the file is missing or malformed, or a name in it is unknown.
    """
    tree = read_yaml(path)
    try:
        found = SweepFile.model_validate(tree)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        said = f"{where}: {_said(problem)}" if where else _said(problem)
        raise ConfigError(f"sweep {path}: {said}") from None
    changed = parse_set(assignments)
    try:
        check_settings("--set", changed)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    _check_overridden(found, changed)
    return found.model_copy(update={"settings": found.settings | changed}) if changed else found


def _check_overridden(sweep: SweepFile, changed: Mapping[str, Any]) -> None:
    """Refuses assignments that a noise or an algorithm of the file overrides.

    Raises:
        ConfigError: one does.
    """
    above = {f"noises.{name}": flat(settings) for name, settings in sweep.noises.items()}
    for name in {one for group in sweep.rows for one in group.algorithms}:
        above[f"algorithms.{name}"] = flat(sweep.settings_of(name), "robust.")
    for key in changed:
        for where, settings in above.items():
            if key in settings:
                raise ConfigError(
                    f"--set {key}: {where} of the sweep's file also sets it and overrides it; "
                    "change the file"
                )
