"""The settings of the detector's training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tdctl.config.section import Positive, Section

__all__ = ["MOST_WIDE", "DetectorConfig"]

MOST_WIDE = 1024


class DetectorConfig(Section):
    """The settings of the detector's training."""

    detector_net: Literal["lstm", "gru", "tcn"] = Field(
        "lstm",
        description="lstm: the paper's network; gru: reads curves forwards and backwards; tcn: "
        "convolutions over time.",
    )
    channels: str | None = Field(
        None,
        description="What the detector sees at each epoch: given (only the given label's "
        "probability), margin, values, ranks, most, context (most, and how often the run confuses "
        "the two classes), all, cross (most, and held-out "
        "curves), or channel names separated by commas (default: given for lstm, else most).",
    )
    steps: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        None,
        description="Length to which curves are resampled; 0 keeps the length of each run "
        "(default: 0 for lstm on given, else 30).",
    )
    width: Annotated[int, Field(ge=1, le=MOST_WIDE)] | None = Field(
        None, description="Number of features per step (default: 64 for lstm, else 48)."
    )
    preset: Literal["stable", "paper"] = Field(
        "stable",
        description="stable: a lower learning rate, clipping, averaged weights and restarts; "
        "paper: the published hyper-parameters (AdamW at 0.1, no clipping, one start, 10 epochs).",
    )
    epochs: Positive | None = Field(
        None,
        description="Passes over the curves (default: 10; with stable at least 600 steps).",
    )
    batch_size: Positive | None = Field(
        None, description="Curves per step (default: 64 for lstm on given, else 256)."
    )
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None, description="Learning rate of AdamW (default: 0.003 for stable, 0.1 for paper)."
    )
    restarts: Positive | None = Field(
        None,
        description="Number of independent starts; the one with the best held-out AP is kept "
        "(default: 3 for stable, 1 for paper).",
    )
    held_out: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        0.1, description="Share of the rows that is held out if a single run is given."
    )
    ranking: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        None,
        description="Weight of a ranking loss added to cross-entropy (default: 0 for lstm on "
        "given, else 1).",
    )
    augment: bool | None = Field(
        None,
        description="Augment the curves: cut, bend, thin and blur them (default: no for lstm on "
        "given, else yes).",
    )

    @model_validator(mode="after")
    def _paper_is_the_papers(self) -> DetectorConfig:
        own = self.detector_net, self.channels or "given", self.steps or 0, self.width
        if self.preset == "paper" and own != ("lstm", "given", 0, None):
            raise ValueError(
                "detector.preset: paper is the recipe of --detector-net lstm --channels given; "
                "leave out --preset, --detector-net, --channels, --steps or --width"
            )
        return self
