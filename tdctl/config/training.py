"""How classifiers are trained."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from tdctl.config.section import Positive, Section

__all__ = ["FitConfig", "RetrainConfig", "TrainConfig"]


class FitConfig(Section):
    """How a classifier is trained.

    Source: defaults are those of the published code of Jia et al. (AAAI 2023).
    """

    epochs: Positive = Field(200, description="Epochs of training.")
    batch_size: Annotated[int, Field(ge=2)] = Field(128, description="Images per step.")
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        0.1, description="Learning rate at the start."
    )
    lr_drops: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.5, 0.75), description="Shares of the run after which the rate is multiplied by 0.1."
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.9, description="SGD momentum (Nesterov's where above 0)."
    )
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        1e-4, description="Weight decay."
    )
    augment: bool = Field(True, description="Augment by random crops and flips.")
    crop_padding: Annotated[int, Field(ge=0, le=512)] | None = Field(
        None, description="Padding of the random crop; by default an eighth of the image's side."
    )
    flip: bool | None = Field(
        None, description="Mirror half of the images; by default as suits the data set."
    )
    amp: bool | None = Field(
        None,
        description="Compute in lower precision; by default where the hardware does so.",
    )
    amp_dtype: Literal["bfloat16", "float16"] = Field(
        "bfloat16",
        description="The lower precision; float16 scales the loss and is meant for older GPUs.",
    )
    compile: bool | None = Field(
        None,
        description="Compile the network; by default where the run is long enough to win back "
        "the time that takes.",
    )
    eval_every: Positive = Field(
        1, description="Evaluate after every Nth epoch, and after the last."
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="Label smoothing of the cross-entropy."
    )


class TrainConfig(FitConfig):
    """How the classifier is trained while its dynamics are recorded."""

    capture: Literal["in-loop", "eval-pass"] = Field(
        "in-loop",
        description="in-loop: record the softmax of the training step itself, at no cost; "
        "eval-pass: of an extra pass in eval mode after each epoch.",
    )
    store: str = Field(
        "full",
        description="What is kept of each epoch's softmax: full, every class; given, the given "
        "label's and the largest other; topk:K, the given label's and the K largest others.",
    )

    @field_validator("store")
    @classmethod
    def _store_is_known(cls, value: str) -> str:
        if not re.fullmatch(r"full|given|topk:[1-9][0-9]*", value):
            raise ValueError(f"'{value}' is unknown; use full, given or topk:K")
        return value


class RetrainConfig(FitConfig):
    """How the network is retrained on what was kept.

    Source: defaults are those of the published denoising scripts of Jia et al. (AAAI 2023).
    """

    epochs: Positive = Field(300, description="Epochs of retraining.")
    batch_size: Annotated[int, Field(ge=2)] = Field(256, description="Images per step.")
    lr_drops: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.5,), description="Shares of the run after which the rate is multiplied by 0.1."
    )
