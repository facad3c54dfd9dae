"""The settings of heads on frozen features."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tdctl.config.section import Section

__all__ = ["HeadsConfig"]


class HeadsConfig(Section):
    """The settings of the linear heads that are recorded on frozen features and embeddings."""

    rounds: Annotated[int, Field(ge=1, le=5)] = Field(
        2,
        description="How often the heads are trained, for a recording on frozen features or "
        "embeddings. From the second time on, labels that the heads before doubted count less. The "
        "last round is recorded.",
    )
    whiten: Annotated[float, Field(ge=0, le=1)] = Field(
        0.25,
        description="How far directions of little variance in the features are raised before a "
        "head reads them. 0: not at all; 1: all variances become equal.",
    )
    shorten_epochs: bool = Field(
        False,
        description="Train for fewer epochs where there are so many samples and classes that the "
        "heads would take hours. Off if --epochs is given.",
    )
    shorten_folds: bool = Field(
        False,
        description="Train 2 heads instead of more in the same case. Off if --folds is given.",
    )
