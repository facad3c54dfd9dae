"""The YAML file that describes a sweep."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from tdctl.config.robust import ALGORITHMS
from tdctl.config.section import Section, Seed
from tdctl.errors import ConfigError
from tdctl.settings import parse_set, read_yaml

__all__ = ["BEST_SCORE", "CLEANINGS", "LABELS", "RowGroup", "SweepFile", "read_sweep"]

# The cleanings need a ranking. The other words are controls.
CLEANINGS = ("prune", "relabel", "reweight")
LABELS = (*CLEANINGS, "random", "all", "clean", "true")
# The hand-made score with the highest AP on a recording. It needs the truth.
BEST_SCORE = "best-score"
# Names of noises and algorithms become parts of folder names.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
RATIO = re.compile(r"auto(:[a-z]+)?|realised([+-]0?\.[0-9]+)?|0?\.[0-9]+|0")

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
        words = tuple(f"{one:g}" if isinstance(one, float | int) else str(one) for one in value)
        for word in words:
            if not RATIO.fullmatch(word):
                raise ValueError(
                    f"'{word}' is no ratio; expected a share below 1, auto, or realised+0.05"
                )
        return words

    @model_validator(mode="after")
    def _relabelling_is_wanted(self) -> RowGroup:
        for name in ("relabel_by", "confidence_floor", "below"):
            if getattr(self, name) is not None and "relabel" not in self.labels:
                raise ValueError(f"{name}: goes with labels: [relabel]; leave it out")
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
                    f"algorithms: '{name}' is none of {', '.join(ALGORITHMS)}; give it "
                    "'algorithm: ce' or another one"
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
        said = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            said = "is unknown; expected settings, noises, seeds, algorithms and rows"
        raise ConfigError(f"sweep {path}: {f'{where}: ' if where else ''}{said}") from None
    changed = parse_set(assignments)
    return found.model_copy(update={"settings": found.settings | changed}) if changed else found
