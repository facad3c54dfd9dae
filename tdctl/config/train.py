"""The settings of the classifier's training."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from tdctl.config.section import Positive, Section

__all__ = ["FitConfig", "RetrainConfig", "TrainConfig"]


# The weight decay ``auto``, and the number of images up to which it is used in full.
FULL_DECAY, FULL_UP_TO = 0.002, 12_500


class FitConfig(Section):
    """The settings of a classifier's training.

    Source: the defaults are those of the published code of Jia et al. (AAAI 2023).
    """

    epochs: Positive = Field(200, description="Epochs of training.")
    batch_size: Annotated[int, Field(ge=2)] = Field(128, description="Images per step.")
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        0.1, description="Learning rate at the start; with one-cycle, at the peak."
    )
    head_lr_times: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        1.0,
        description="The learning rate of the last layer, in multiples of that of the other "
        "layers. For pretrained networks, whose last layer alone is new.",
    )
    schedule: Literal["step", "constant", "one-cycle", "cosine", "warm-cosine"] = Field(
        "step",
        description="step: the learning rate drops as lr_drops says; constant: it never drops; "
        "one-cycle: it rises linearly to --lr and falls to 0; cosine: it falls from --lr to 0 "
        "along half a cosine; warm-cosine: it rises linearly to --lr, then falls likewise.",
    )
    lr_drops: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.5, 0.75),
        description="Shares of the run after which a step schedule multiplies the learning rate "
        "by 0.1.",
    )
    warmup: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.3,
        description="Share of the run during which a one-cycle or warm-cosine schedule rises.",
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.9, description="Momentum of SGD (Nesterov momentum if above 0)."
    )
    weight_decay: Literal["auto"] | Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        1e-4,
        description="Weight decay. auto: 0.002 for at most 12,500 training images; for a larger "
        "number N, 0.002 x 12,500 / N.",
    )
    augment: bool = Field(True, description="Augment by random crops and flips.")
    augment_policy: Literal["none", "trivial", "rand"] = Field(
        "none",
        description="Distort each image as well. trivial: torchvision's TrivialAugmentWide; rand: "
        "torchvision's RandAugment. An image takes 0.2 ms of a core at 32 pixels and 1.5 ms at "
        "224.",
    )
    cutout: Annotated[int, Field(ge=0, le=512)] = Field(
        0, description="Side in pixels of a square that is blanked in each image; 0: no square."
    )
    crop_padding: Annotated[int, Field(ge=0, le=512)] | None = Field(
        None, description="Padding of the random crop (default: an eighth of the image's side)."
    )
    crop_scale: Annotated[float, Field(gt=0, le=1)] = Field(
        0.08,
        description="Smallest share of the image's area that a random crop of an image of at least "
        "96 pixels keeps.",
    )
    flip: bool | None = Field(
        None, description="Mirror half of the images (default: only if this suits the data set)."
    )
    amp: bool | None = Field(
        None,
        description="Compute in lower precision (default: if the hardware supports it).",
    )
    amp_dtype: Literal["bfloat16", "float16"] = Field(
        "bfloat16",
        description="The lower precision. float16 scales the loss and is for older GPUs.",
    )
    checkpoint_blocks: bool = Field(
        False,
        description="Gradient checkpointing: keep only the inputs of the network's blocks for the "
        "backward pass and compute the rest again. This takes less memory and more time; for "
        "networks of torchvision and timm.",
    )
    compile: bool | None = Field(
        None,
        description="Compile the network (default: if the run is long enough to save time).",
    )
    eval_every: Positive = Field(
        1, description="Evaluate after every Nth epoch and after the last."
    )
    loss: Literal["ce", "bootstrap-soft", "bootstrap-hard", "gce", "sce", "elr"] = Field(
        "ce",
        description="ce: cross-entropy; bootstrap-soft, bootstrap-hard: mix the target with the "
        "prediction; gce: generalised cross-entropy; sce: symmetric cross-entropy; elr: "
        "early-learning regularisation.",
    )
    loss_detach: bool = Field(
        False,
        description="Stop the gradient through the prediction in the target of bootstrap-soft. The "
        "gradient is then that of cross-entropy times 0.95.",
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="Label smoothing of the cross-entropy; only with loss ce."
    )
    mixup: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        0.0,
        description="Train on mixtures of two images, with a share drawn from Beta(ALPHA, ALPHA). "
        "0: train on single images.",
    )
    average: Literal["none", "ema"] = Field(
        "none",
        description="ema: evaluate and save a running average of the weights, and (with "
        "eval-pass) record with it.",
    )
    average_decay: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.998,
        description="Share of the running average that is kept at each step; in the first steps "
        "it is smaller.",
    )

    @field_validator("weight_decay", mode="before")
    @classmethod
    def _decay_is_auto_or_a_number(cls, value: object) -> object:
        if value == "auto":
            return value
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            with suppress(ValueError, OverflowError):
                if 0 <= float(value) < math.inf:
                    return float(value)
        raise ValueError(f"'{value}' is not a weight decay; give auto or a number of at least 0")

    def decay_of(self, images: int) -> float:
        """The weight decay of a training.

        Args:
            images: how many are trained on.

        Source: weight decay forgets in 1 / (rate x decay) steps. Counted in epochs, this time
            should not depend on the number of images (Wang and Aitchison, "How to set AdamW's
            weight decay as you scale model and dataset size", 2024; here with SGD). Measured in
            replication/full_size.md.
        """
        if self.weight_decay != "auto":
            return self.weight_decay
        return FULL_DECAY * min(1.0, FULL_UP_TO / images)

    def with_decay_of(self, images: int) -> Self:
        """The settings with the weight decay of a training on so many images as a number."""
        return self.model_copy(update={"weight_decay": self.decay_of(images)})

    def less_decay(self, images: int) -> str | None:
        """Says that weight decay is lower because there are many images; None if it is not."""
        decay = self.decay_of(images)
        if self.weight_decay != "auto" or decay == FULL_DECAY:
            return None
        return f"weight decay {decay:.2g}, not {FULL_DECAY}: a network trains on {images:,} images"

    @field_validator("lr_drops", mode="before")
    @classmethod
    def _read_list(cls, value: object) -> object:
        return re.split(r"[,\s]+", value.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _augmentation_is_wanted(self) -> FitConfig:
        for name, asked in {
            "augment_policy": self.augment_policy != "none",
            "cutout": self.cutout > 0,
        }.items():
            if asked and not self.augment:
                raise ValueError(f"{name}: goes with --augment; leave out --no-augment or {name}")
        return self

    @model_validator(mode="after")
    def _loss_goes_with_the_rest(self) -> FitConfig:
        if self.loss != "ce" and self.label_smoothing > 0:
            raise ValueError(
                f"label_smoothing: goes with --loss ce, not with '{self.loss}'; give "
                "--set train.label_smoothing=0"
            )
        if self.loss_detach and self.loss != "bootstrap-soft":
            raise ValueError(
                f"loss_detach: goes with --loss bootstrap-soft, not with '{self.loss}'; leave it "
                "out"
            )
        if self.loss == "elr" and self.mixup > 0:
            raise ValueError(
                "mixup: 'elr' keeps a target for each image, and a mixed one is none of them; "
                "give --mixup 0 or another --loss"
            )
        return self


class TrainConfig(FitConfig):
    """The settings of the training whose dynamics are recorded."""

    capture: Literal["in-loop", "eval-pass"] = Field(
        "in-loop",
        description="in-loop: record the softmax of the training step itself, at no cost; "
        "eval-pass: record the softmax of an extra pass in eval mode after each epoch.",
    )
    store: str = Field(
        "full",
        description="What is kept of each epoch's softmax. full: all classes; given: the given "
        "label and the largest other class; topk:K: the given label and the K largest other "
        "classes; few:K: as topk:K, with suggestions from these classes alone, so that memory does "
        "not grow with the number of classes. auto, for heads on features: full, or few:1 where "
        "full takes more than 2 GB.",
    )
    leave_out: Path | None = Field(
        None,
        description="Ranking of the same samples (CSV of tdctl detect --out). Its worst samples "
        "are left out of the training; their softmax is predicted after each epoch, without "
        "augmentation.",
    )
    leave_out_ratio: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1,
        description="Share of the samples that --leave-out leaves out; at least half of each given "
        "class stays in.",
    )
    threshold_samples: bool = Field(
        False,
        description="Train two networks, each with some images under an extra class (AUM's "
        "threshold samples), for --cut auto:threshold. This takes twice the time.",
    )

    folds: Annotated[int, Field(ge=0)] = Field(
        0,
        description="Number of networks, each trained on all images except its fold. Each image is "
        "also recorded by the network that has not seen it. 0: one network on all images.",
    )

    @field_validator("folds")
    @classmethod
    def _folds_leave_something(cls, value: int) -> int:
        if value == 1:
            raise ValueError("a single fold leaves nothing to train on; give 0, or 2 and more")
        return value

    @field_validator("store")
    @classmethod
    def _store_is_known(cls, value: str) -> str:
        return value if value == "auto" else cls.known_store(value)

    @classmethod
    def known_store(cls, value: str) -> str:
        """The value of ``store``.

        Raises:
            ValueError: it is unknown.
        """
        if not re.fullmatch(r"full|given|(topk|few):[1-9][0-9]*", value):
            raise ValueError(f"'{value}' is unknown; use full, given, topk:K or few:K")
        return value

    @model_validator(mode="after")
    def _folds_are_of_all_images_and_plain_networks(self) -> TrainConfig:
        for other, asked, why in (
            ("leave_out", self.leave_out is not None, "have all images predicted already"),
            ("threshold_samples", self.threshold_samples, "train one network each, not two"),
        ):
            if self.folds and asked:
                raise ValueError(f"folds: {why}; leave out --folds or --{other.replace('_', '-')}")
        return self

    @model_validator(mode="after")
    def _two_networks_see_every_image(self) -> TrainConfig:
        if self.threshold_samples and self.leave_out is not None:
            raise ValueError(
                "threshold_samples: trains two networks, and leave_out goes with one; leave one of "
                "the two out"
            )
        return self

    @model_validator(mode="after")
    def _capture_sees_single_images(self) -> TrainConfig:
        if self.mixup > 0 and self.capture == "in-loop":
            raise ValueError(
                "mixup: the training step sees mixed images, and dynamics are of single ones; "
                "give --capture eval-pass"
            )
        return self


class RetrainConfig(FitConfig):
    """The settings of the retraining on the samples that were kept.

    Source: the defaults are those of the published denoising scripts of Jia et al. (AAAI 2023).
    """

    epochs: Positive = Field(300, description="Epochs of retraining.")
    batch_size: Annotated[int, Field(ge=2)] = Field(256, description="Images per step.")
    lr_drops: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.5,),
        description="Shares of the run after which the learning rate is multiplied by 0.1.",
    )
