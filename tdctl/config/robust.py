"""How a classifier is trained on labels that are partly wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from tdctl.config.section import Positive
from tdctl.config.train import RetrainConfig, TrainConfig

__all__ = ["ALGORITHMS", "PRESETS", "RobustConfig", "algorithm_settings"]

Share = Annotated[float, Field(gt=0, lt=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]

ALGORITHMS = ("ce", "ssr", "dividemix", "augdesc")
MIXMATCH = ("dividemix", "augdesc")
# The algorithms that use a setting. All algorithms use the settings that are not listed.
READERS = {
    "preset": MIXMATCH,
    "split_from": ("ssr", *MIXMATCH),
    "split_ratio": ("ssr", *MIXMATCH),
    "warmup_epochs": MIXMATCH,
    "unlabelled_weight": MIXMATCH,
    "clean_above": MIXMATCH,
    "sharpening": MIXMATCH,
    "loss_epochs": MIXMATCH,
    "prior_penalty": MIXMATCH,
    "confidence_penalty": MIXMATCH,
    "relabel_above": ("ssr",),
    "neighbours": ("ssr",),
    "strong_policy": ("ssr", "augdesc"),
    "strong_cutout": ("ssr", "augdesc"),
    "class_floor": ("ssr", *MIXMATCH),
}
# Settings that only ``ce`` uses, because the other algorithms have their own losses.
OF_CE = ("loss", "loss_detach", "label_smoothing", "average", "compile")
# Settings whose defaults are those of the retraining, which has them from recipe and preset.
SHARED = ("epochs", "augment", "flip", "crop_padding", "amp", "amp_dtype", "eval_every")

# Source: Li et al. (ICLR 2020), appendix and published code. The weight of the unlabelled loss
# depends on data set and noise. At 90 %, samples are labelled above a probability of 0.6, by the
# mean loss of five epochs. Asymmetric noise has a penalty on confidence in the warm-up. With 100
# classes, the warm-up has 30 epochs.
_ASYM = {"unlabelled_weight": "0", "confidence_penalty": True}
_MOST = {"clean_above": 0.6, "loss_epochs": 5}
_LONG = {"warmup_epochs": 30}
PRESETS: dict[str, dict[str, Any]] = {
    "cifar10-sym20": {"unlabelled_weight": "0"},
    "cifar10-sym50": {"unlabelled_weight": "25"},
    "cifar10-sym80": {"unlabelled_weight": "25"},
    "cifar10-sym90": {"unlabelled_weight": "50", **_MOST},
    "cifar10-asym40": _ASYM,
    "cifar100-sym20": {"unlabelled_weight": "25", **_LONG},
    "cifar100-sym50": {"unlabelled_weight": "150", **_LONG},
    "cifar100-sym80": {"unlabelled_weight": "150", **_LONG},
    "cifar100-sym90": {"unlabelled_weight": "150", **_MOST, **_LONG},
}
PresetName = Literal[
    "cifar10-sym20", "cifar10-sym50", "cifar10-sym80", "cifar10-sym90", "cifar10-asym40",
    "cifar100-sym20", "cifar100-sym50", "cifar100-sym80", "cifar100-sym90",
]  # fmt: skip


class RobustConfig(RetrainConfig):
    """How ``tdctl train`` trains: ``ce`` like a retraining, the other algorithms as published."""

    algorithm: Literal["ce", "ssr", "dividemix", "augdesc"] = Field(
        "ssr",
        description="ce: plain training, like a retraining; ssr: one network that relabels and "
        "selects samples; dividemix: two networks that divide the samples for each other; "
        "augdesc: dividemix that learns from strongly augmented images.",
    )
    epochs: Positive = Field(300, description="Epochs of training; with the recipe detect 60.")
    batch_size: Annotated[int, Field(ge=2)] = Field(
        64,
        description="Images per step; dividemix and augdesc take this number of labelled images "
        "and the same number of unlabelled ones (default for ssr: 128, with --net-type wide 64; "
        "for ce: as --set retrain.batch_size).",
    )
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        0.02,
        description="Learning rate at the start (default with --net-type wide: 0.1; for ce: as "
        "--set retrain.lr).",
    )
    weight_decay: Literal["auto"] | Weight = Field(
        5e-4,
        description="Weight decay; auto: see train.weight_decay (default for ce: as --set "
        "retrain.weight_decay).",
    )
    mixup: Weight = Field(
        4.0,
        description="Train on mixtures of two images, with a share drawn from Beta(ALPHA, ALPHA). "
        "0: train on single images (default for ce: as --set retrain.mixup).",
    )
    split_from: Path | None = Field(
        None,
        description="Ranking of the same samples (CSV of tdctl detect --out). The first split "
        "takes its worst samples as wrong.",
    )
    split_ratio: Share | None = Field(
        None,
        description="Share of the samples that --split-from takes as wrong; at most half of each "
        "given class.",
    )
    preset: PresetName | None = Field(
        None,
        description="The published settings of dividemix for a data set and its noise, such as "
        "cifar10-sym50: weight of the unlabelled loss, warm-up, penalties.",
    )
    unlabelled_weight: str = Field(
        "auto",
        description="Weight of the loss on unlabelled images: a number, or auto, which depends on "
        "the estimated share of wrong labels: 0 up to 30 %, 25 up to 85 %, 50 above. With 50 "
        "classes and more: 0 up to 30 %, 150 above.",
    )
    warmup_epochs: Positive | None = Field(
        None,
        description="Epochs of plain training before the first division (default: 10, or 30 with "
        "50 classes and more, but at most 0.4 of the run).",
    )
    clean_above: Share = Field(
        0.5,
        description="A sample counts as labelled above this probability that its label is right.",
    )
    sharpening: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="Temperature that sharpens refined labels and guessed labels."
    )
    loss_epochs: Annotated[int, Field(ge=1, le=100)] = Field(
        1, description="Number of last epochs whose mean loss the division looks at."
    )
    prior_penalty: bool = Field(
        True, description="Penalise a mean prediction of a batch that is far from equal classes."
    )
    confidence_penalty: bool = Field(
        False, description="Penalise confident predictions in the warm-up, for asymmetric noise."
    )
    relabel_above: Annotated[float, Field(gt=0, le=1)] = Field(
        0.9,
        description="A sample takes the predicted class as its label if the probability of this "
        "class is higher (0.8 suits many classes and much noise).",
    )
    neighbours: Positive | None = Field(
        None,
        description="How many nearest neighbours vote on a label (default: 200, or half the images "
        "of a class if the data set is small).",
    )
    strong_policy: Literal["rand", "trivial", "none"] = Field(
        "rand", description="Distortion of the strong view; values as of train.augment_policy."
    )
    strong_cutout: Annotated[int, Field(ge=0, le=512)] | None = Field(
        None,
        description="Side of the square that is blanked in the strong view (default: half of the "
        "image's side).",
    )
    class_floor: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.05,
        description="Share of each label's images that is always kept, the surest first, even if "
        "the algorithm would keep fewer.",
    )
    record: Literal["none", "first", "both"] = Field(
        "first",
        description="Networks whose dynamics are recorded. first: the only one, or the first of "
        "two; both: also the second, in the folder network2; none: nothing, which saves a pass "
        "over the images in each epoch with ce.",
    )
    store: str = Field(
        TrainConfig.model_fields["store"].default,
        description=TrainConfig.model_fields["store"].description,
    )

    @field_validator("store")
    @classmethod
    def _store_is_known(cls, value: str) -> str:
        return TrainConfig.known_store(value)

    @field_validator("unlabelled_weight", mode="before")
    @classmethod
    def _weight_is_auto_or_a_number(cls, value: object) -> object:
        if value == "auto":
            return value
        try:
            number = float(str(value))
        except ValueError:
            number = -1.0
        if not 0 <= number < float("inf"):
            raise ValueError(f"'{value}' is unknown; give auto or a number of at least 0")
        return f"{number:g}"

    @model_validator(mode="after")
    def _algorithm_reads_what_is_set(self) -> RobustConfig:
        for name, readers in READERS.items():
            changed = getattr(self, name) != type(self).model_fields[name].default
            if changed and self.algorithm not in readers:
                raise ValueError(
                    f"{name}: goes with --algorithm {' or '.join(readers)}, not with "
                    f"'{self.algorithm}'; leave it out"
                )
        usual = {"loss": "ce", "average": "none", "compile": None}
        for name in OF_CE if self.algorithm != "ce" else ():
            value = getattr(self, name)
            if value and value != usual.get(name):
                raise ValueError(
                    f"{name}: '{self.algorithm}' has a training of its own; leave it out, or give "
                    "--algorithm ce"
                )
        return self

    @model_validator(mode="after")
    def _warmup_ends(self) -> RobustConfig:
        warmup = self.warmup_epochs
        if warmup is not None and warmup >= self.epochs:
            raise ValueError(
                f"warmup_epochs: {warmup} leaves none of the {self.epochs} epochs for the training "
                "after it; give more --epochs, or fewer --warmup-epochs"
            )
        return self

    @model_validator(mode="after")
    def _both_are_two(self) -> RobustConfig:
        if self.record == "both" and self.algorithm not in MIXMATCH:
            raise ValueError(
                f"record: '{self.algorithm}' trains one network, not both; give first or none"
            )
        return self

    @model_validator(mode="after")
    def _split_is_whole(self) -> RobustConfig:
        if (self.split_from is None) != (self.split_ratio is None):
            missing, there = ("split_ratio", "split_from")
            if self.split_from is None:
                missing, there = there, missing
            raise ValueError(
                f"{missing}: is missing beside {there}; give --{missing.replace('_', '-')} too"
            )
        return self


def algorithm_settings(
    algorithm: object, preset: object, retraining: dict[str, Any], net_type: object
) -> dict[str, dict[str, Any]]:
    """The defaults of this section that the user's settings override, by their origin.

    Args:
        algorithm: the name of the algorithm; an unknown one has no such defaults.
        preset: the name of the preset, or None.
        retraining: the settings of section ``retrain`` that are given.
        net_type: the type of the network.
    """
    if algorithm == "ce":
        usual = {name: field.default for name, field in RetrainConfig.model_fields.items()}
        known = {name: value for name, value in retraining.items() if name in usual}
        return {"as retrain": usual | known}
    below = {"as retrain": {name: retraining[name] for name in SHARED if name in retraining}}
    if net_type == "wide":
        # This network multiplies its logits by 0.125, so it needs the learning rate of the recipe
        # detect. On 3,000 CIFAR-10 images with 40 % uniform noise, SSR had a test error of 53.8 %
        # after 15 epochs with 0.1, and of 59.2 % with 0.02.
        below["net wide"] = {"lr": 0.1}
    if algorithm == "ssr":
        # Small data needs more steps: with batches of 64, the same trial had 51.6 %.
        size = 64 if net_type == "wide" else 128
        below["algorithm ssr"] = {"batch_size": size, "schedule": "cosine"}
    if algorithm in MIXMATCH and isinstance(preset, str) and preset in PRESETS:
        below[f"preset {preset}"] = PRESETS[preset]
    return below
