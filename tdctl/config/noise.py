"""How the labels are corrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from tdctl.config.section import Fraction, Section, Seed

__all__ = ["NoiseConfig"]


class NoiseConfig(Section):
    """How the labels are corrupted before training; by default not at all."""

    noise_type: Literal[
        "uniform", "uniform-inclusive", "flip", "pair", "matrix", "instance", "labels"
    ] = Field(
        "uniform",
        description="uniform: another class, each as likely; uniform-inclusive: any class, the "
        "true one too; flip (alias asym): the next class; pair: the class it is taken for "
        "(--pairs); matrix: as --matrix says; instance: depends on the image; labels: the column "
        "--label-column of --labels.",
    )
    noise_ratio: Fraction = Field(
        0.0, description="Probability with which each label is replaced, in [0, 1)."
    )
    noise_seed: Seed | None = Field(
        None, description="Seed of the corruption alone; --seed where not given."
    )
    pairs: Path | None = Field(
        None,
        description="Table 'from,to' of class names for pair noise; CIFAR-10's and CIFAR-100's "
        "are known.",
    )
    matrix: Path | None = Field(
        None,
        description="Table of the probability of each given label (columns) for each true one "
        "(rows), for matrix noise.",
    )
    oracle: bool = Field(
        False, description="Train only on the images whose given label is the true one."
    )

    @field_validator("noise_type", mode="before")
    @classmethod
    def _alias(cls, value: object) -> object:
        return "flip" if value == "asym" else value
