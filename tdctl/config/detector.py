"""How the detector is trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tdctl.config.section import Positive, Section

__all__ = ["DetectorConfig"]


class DetectorConfig(Section):
    """How the LSTM detector is trained; the network itself is the paper's."""

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
    batch_size: Positive = Field(64, description="Curves per step.")
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
