"""The typed settings of every step.

One ``Config`` serves all commands; each reads its own sections. Unknown keys are errors. The
command line takes its help texts and defaults from the field descriptions below, so that a
setting is described in one place.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

__all__ = [
    "Config",
    "DataConfig",
    "DetectorConfig",
    "FitConfig",
    "NetConfig",
    "NoiseConfig",
    "RetrainConfig",
    "TrainConfig",
]

DatasetName = Literal["digits", "folder", "cifar10", "cifar100", "mnist", "fashion_mnist", "svhn"]
NetType = Literal["resnet", "resnet18", "resnet34", "resnet50"]

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class DataConfig(_Section):
    """Which images and labels are read."""

    dataset: DatasetName = Field(
        "digits",
        description="Data set: digits (ships inside scikit-learn), folder (your images), "
        "or cifar10, cifar100, mnist, fashion_mnist, svhn from --data-dir.",
    )
    data_dir: Path | None = Field(None, description="Folder that holds the data set.")
    image_size: Annotated[int, Field(ge=4, le=4096)] | None = Field(
        None, description="Resize the shorter side to this many pixels and crop the middle square."
    )
    labels: Path | None = Field(
        None, description="CSV whose labels replace the folder's, one row per training image."
    )
    label_column: str = Field("label", description="Column of --labels with the given label.")
    true_column: str | None = Field(
        None, description="Column of --labels with the true label, where it is known."
    )
    limit: Positive | None = Field(
        None, description="Use only the first N training images (a folder's: by file name)."
    )
    num_valid: Annotated[int, Field(ge=0)] = Field(
        0, description="Hold out N training images, stratified by given label, for validation."
    )
    test_share: Fraction = Field(
        0.2, description="Share held out as test set where a folder has no test/ or val/."
    )
    download: bool = Field(False, description="Let torchvision download a missing data set.")
    images: Literal["auto", "memory", "cache", "stream"] = Field(
        "auto",
        description="How decoded images of a folder are held: in memory, in a cache on the disk, "
        "or not (stream: decoded anew in every pass); auto takes the first that has room.",
    )
    cache_dir: Path | None = Field(
        None, description="Folder of the cache (default: tdctl in the user's cache folder)."
    )
    workers: Positive | None = Field(
        None, description="Processes that decode streamed images (default: one a processor)."
    )

    @model_validator(mode="after")
    def _consistent(self) -> DataConfig:
        if self.labels is not None and self.dataset != "folder":
            raise ValueError("labels: a label table goes with dataset 'folder' only")
        if self.true_column is not None and self.labels is None:
            raise ValueError("true_column: names a column of --labels, which is not given")
        if self.images in {"cache", "stream"} and self.dataset != "folder":
            raise ValueError(
                f"images: '{self.images}' goes with dataset 'folder' only; "
                "the others are held in memory"
            )
        if self.dataset != "digits" and self.data_dir is None:
            raise ValueError(f"data_dir: dataset '{self.dataset}' needs --data-dir DIR")
        return self


class NoiseConfig(_Section):
    """How the labels are corrupted before training; by default not at all."""

    noise_type: Literal["uniform", "flip"] = Field(
        "uniform",
        description="uniform: another class, each as likely; flip (alias asym): the next class.",
    )
    noise_ratio: Fraction = Field(
        0.0, description="Probability with which each label is replaced, in [0, 1)."
    )
    noise_seed: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Seed of the corruption alone; --seed where not given."
    )

    @field_validator("noise_type", mode="before")
    @classmethod
    def _alias(cls, value: object) -> object:
        return "flip" if value == "asym" else value


class NetConfig(_Section):
    """The classifier."""

    net_type: NetType = Field(
        "resnet",
        description="resnet: CIFAR-style for small images; resnet18, resnet34, resnet50: "
        "torchvision's, for larger ones.",
    )
    depth: Annotated[int, Field(ge=8)] = Field(
        32, description="Depth 6n+2 of the CIFAR-style resnet: 8, 14, 20, 32, 44, 56, 110, ..."
    )

    @model_validator(mode="after")
    def _depth_is_6n_plus_2(self) -> NetConfig:
        if self.net_type == "resnet" and (self.depth - 2) % 6:
            raise ValueError(
                f"depth: {self.depth} is not of the form 6n+2; "
                "use 8, 14, 20, 26, 32, 44, 56 or 110, or --net-type resnet18|resnet34|resnet50"
            )
        return self

    @property
    def label(self) -> str:
        """Net and depth as the paper's folder names write them, such as ``resnet32``."""
        return f"resnet{self.depth}" if self.net_type == "resnet" else self.net_type


class FitConfig(_Section):
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


class DetectorConfig(_Section):
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


class Config(_Section):
    """All settings of a run."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(
        0, description="Seed of the training, and of noise and splits unless they have their own."
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    data: DataConfig = DataConfig()
    noise: NoiseConfig = NoiseConfig()
    net: NetConfig = NetConfig()
    train: TrainConfig = TrainConfig()
    retrain: RetrainConfig = RetrainConfig()
    detector: DetectorConfig = DetectorConfig()

    @model_validator(mode="after")
    def _noise_needs_one_truth(self) -> Config:
        if self.data.true_column is not None and self.noise.noise_ratio > 0:
            raise ValueError(
                "noise.noise_ratio: the label table already names given and true labels; "
                "leave out --true-column or --noise-ratio"
            )
        return self

    @property
    def noise_seed(self) -> int:
        """The seed of the corruption: its own, or the run's."""
        return self.seed if self.noise.noise_seed is None else self.noise.noise_seed

    def to_yaml(self) -> str:
        """The settings as YAML that ``load_config`` reads back to an equal ``Config``."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
