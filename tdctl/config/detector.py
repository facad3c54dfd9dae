"""How the detector is trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tdctl.config.section import Positive, Section

__all__ = ["MOST_WIDE", "DetectorConfig"]

MOST_WIDE = 1024


class DetectorConfig(Section):
    """Which detector is trained, and how."""

    detector_net: Literal["lstm", "gru", "tcn"] = Field(
        "lstm",
        description="lstm: the paper's; gru: reads forwards and backwards; tcn: convolutions "
        "over time.",
    )
    channels: str | None = Field(
        None,
        description="What it sees at each epoch: given (the given label's probability alone), "
        "margin, values, ranks, most, context (most, and how often the run takes the two classes "
        "for each other), all, cross (most, and held-out "
        "curves), or names of channels with commas between (default: lstm given, else most).",
    )
    steps: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        None,
        description="Length to which curves are resampled; 0 keeps each run's own (default: 0 "
        "for lstm on given, else 30).",
    )
    width: Annotated[int, Field(ge=1, le=MOST_WIDE)] | None = Field(
        None, description="Features of a step within the network (default: lstm 64, else 48)."
    )
    preset: Literal["stable", "paper"] = Field(
        "stable",
        description="stable: a rate that trains, clipping, averaged weights, restarts; paper: "
        "the published hyper-parameters (AdamW at 0.1, no clipping, one start, 10 epochs).",
    )
    epochs: Positive | None = Field(
        None,
        description="Passes over the curves (default: paper 10; stable 10, and no fewer "
        "than 600 steps).",
    )
    batch_size: Positive | None = Field(
        None, description="Curves per step (default: 64 for lstm on given, else 256)."
    )
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None, description="AdamW's learning rate (default: stable 0.003, paper 0.1)."
    )
    restarts: Positive | None = Field(
        None,
        description="Independent starts of which the best by held-out AP is kept "
        "(default: stable 3, paper 1).",
    )
    held_out: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        0.1, description="Share of the rows held out where a single run is given."
    )
    ranking: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        None,
        description="Weight of a ranking loss beside cross-entropy (default: 0 for lstm on "
        "given, else 1).",
    )
    augment: bool | None = Field(
        None,
        description="Cut, bend, thin and blur the curves (default: not for lstm on given).",
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
