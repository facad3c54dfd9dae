"""The settings of the label noise."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from tdctl.config.section import Fraction, Section, Seed

__all__ = ["NoiseConfig"]


class NoiseConfig(Section):
    """The settings of the label noise before training; by default there is none."""

    noise_type: Literal[
        "uniform", "uniform-inclusive", "flip", "pair", "matrix", "instance", "labels"
    ] = Field(
        "uniform",
        description="The class that replaces a label. uniform: any other class, all equally "
        "likely; uniform-inclusive: any class, the true one included; flip (or asym): the next "
        "class; pair: a class with which it is confused (--pairs); matrix: drawn from --matrix; "
        "instance: depends on the image; labels: taken from the column --label-column of "
        "--labels.",
    )
    noise_ratio: Fraction = Field(
        0.0,
        description="Probability that a label is replaced, in [0, 1). Not for the noise types "
        "matrix and labels, which define it themselves.",
    )
    noise_seed: Seed | None = Field(None, description="Seed of the noise only (default: --seed).")
    pairs: Path | None = Field(
        None,
        description="Table 'from,to' of class names for pair noise. Not needed for CIFAR-10 and "
        "CIFAR-100.",
    )
    matrix: Path | None = Field(
        None,
        description="Table for matrix noise: the probability of each given label (columns) for "
        "each true label (rows).",
    )
    oracle: bool = Field(False, description="Train only on the images whose given label is true.")

    @field_validator("noise_type", mode="before")
    @classmethod
    def _alias(cls, value: object) -> object:
        return "flip" if value == "asym" else value

    @model_validator(mode="after")
    def _consistent(self) -> NoiseConfig:
        kind = self.noise_type
        if kind == "matrix" and self.matrix is None:
            raise ValueError("matrix: noise 'matrix' needs --matrix FILE")
        if self.matrix is not None and kind != "matrix":
            raise ValueError(f"matrix: goes with --noise-type matrix, not with '{kind}'")
        if self.pairs is not None and kind != "pair":
            raise ValueError(f"pairs: goes with --noise-type pair, not with '{kind}'")
        if kind in {"matrix", "labels"} and self.noise_ratio > 0:
            whose = "the matrix" if kind == "matrix" else "the label table"
            raise ValueError(
                f"noise_ratio: {whose} says how many labels are wrong; leave out --noise-ratio"
            )
        return self

    @property
    def changes_labels(self) -> bool:
        """Whether these settings change the given labels."""
        return self.noise_ratio > 0 or self.noise_type in {"matrix", "labels"}
