"""The settings of the classifier's network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from tdctl.config.section import Section

__all__ = ["NetConfig"]

# tdctl's own networks; every other name is torchvision's, or timm's with this word before it.
OWN = ("resnet", "wide", "linear")
TIMM = "timm:"
TIMM_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")
# The networks of torchvision whose first layers ``stem`` can change.
WITH_STEM = re.compile(r"(wide_resnet|resnet|resnext)\d+\w*")


class NetConfig(Section):
    """The settings of the classifier's network."""

    net_type: str = Field(
        "resnet",
        description="resnet: a CIFAR-style ResNet for small images; wide: a wide, shallow network "
        "for images of 8 to 64 pixels; for larger images, the name of a classifier of torchvision, "
        "such as resnet50 or convnext_tiny, or timm:NAME for a model of timm (extra timm), such as "
        "timm:convnext_tiny.fb_in22k. Embeddings are read by linear, a linear head.",
    )
    depth: Annotated[int, Field(ge=8)] = Field(
        32, description="Depth 6n+2 of the CIFAR-style resnet: 8, 14, 20, 32, 44, 56, 110, ..."
    )
    stride: Literal[1, 2] | None = Field(
        None,
        description="Stride of the first convolution of resnet and wide; 2 halves the image "
        "(default: for wide 2 if the side is at least 24 pixels, else 1; for resnet 1, or 2 for "
        "tiny_imagenet).",
    )
    width: Annotated[int, Field(ge=1, le=8)] = Field(
        1,
        description="Multiplies the number of channels in each layer of wide; with 2, an epoch "
        "takes about 3.4 times as long.",
    )
    stem: Literal["imagenet", "cifar"] = Field(
        "imagenet",
        description="First layers of a ResNet of torchvision, such as resnet18. imagenet: "
        "torchvision's, a convolution and a pooling that both halve the image; cifar: a 3x3 "
        "convolution that keeps its size, for small images.",
    )
    pretrained: Literal["none", "imagenet"] | Path | None = Field(
        None,
        description="File of weights to start from, made by torchvision, timm or tdctl. imagenet: "
        "the published weights of the network, which torchvision or timm fetches. none: random "
        "weights even if the paper starts this data set from ImageNet weights.",
    )

    frozen: bool = Field(
        False,
        description="Keep the pretrained network as it is: its features of each picture are "
        "computed once, and linear heads are trained on them. Part of the recipe features.",
    )

    @field_validator("net_type")
    @classmethod
    def _net_type_is_a_name(cls, value: str) -> str:
        name = value.removeprefix(TIMM)
        if value.startswith(TIMM) and TIMM_NAME.fullmatch(name):
            return value
        if not value.startswith(TIMM) and re.fullmatch(r"[A-Za-z0-9_]+", name):
            return value
        raise ValueError(
            f"'{value}' is no name of a network; use resnet, wide, the name of a classifier of "
            "torchvision such as resnet50, or timm:NAME"
        )

    @model_validator(mode="after")
    def _depth_is_6n_plus_2(self) -> NetConfig:
        if self.net_type == "resnet" and (self.depth - 2) % 6:
            raise ValueError(
                f"depth: {self.depth} is not of the form 6n+2; "
                "use 8, 14, 20, 26, 32, 44, 56 or 110, or another --net-type, such as wide or "
                "resnet50"
            )
        return self

    @model_validator(mode="after")
    def _stem_is_of_a_torchvision_network(self) -> NetConfig:
        if self.stem == "cifar" and not WITH_STEM.fullmatch(self.net_type):
            raise ValueError(
                "stem: goes with a ResNet of torchvision, such as --net-type resnet18, not with "
                f"'{self.net_type}'; leave it out"
            )
        return self

    @property
    def is_own(self) -> bool:
        """Whether the network is tdctl's own; all others are of torchvision or timm."""
        return self.net_type in OWN

    @property
    def timm_name(self) -> str | None:
        """The name of the model in timm; None for networks of torchvision and tdctl."""
        return self.net_type.removeprefix(TIMM) if self.net_type.startswith(TIMM) else None

    @property
    def starts_trained(self) -> bool:
        """Whether the network starts from pretrained weights."""
        return self.pretrained not in (None, "none")

    @property
    def label(self) -> str:
        """Net and depth as the paper's folder names write them, such as ``resnet32``."""
        if self.net_type == "resnet":
            return f"resnet{self.depth}"
        # A colon is no character of a file name on every system.
        name = self.net_type.replace(":", "-")
        if self.net_type == "wide" and self.width > 1:
            name += f"-x{self.width}"
        return f"{name}-frozen" if self.frozen and self.net_type != "linear" else name
