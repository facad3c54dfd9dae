"""The settings of the classifier's network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tdctl.config.section import Section

__all__ = ["NetConfig"]

NetType = Literal["resnet", "wide", "resnet18", "resnet34", "resnet50"]


class NetConfig(Section):
    """The settings of the classifier's network."""

    net_type: NetType = Field(
        "resnet",
        description="resnet: a CIFAR-style ResNet for small images; wide: a wide, shallow network "
        "for images of 8 to 64 pixels; resnet18, resnet34, resnet50: torchvision's networks for "
        "larger images.",
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
    stem: Literal["imagenet", "cifar"] = Field(
        "imagenet",
        description="First layers of resnet18, resnet34 and resnet50. imagenet: torchvision's, a "
        "convolution and a pooling that both halve the image; cifar: a 3x3 convolution that keeps "
        "its size, for small images.",
    )
    pretrained: Literal["none"] | Path | None = Field(
        None,
        description="File of weights to start from, made by torchvision or tdctl. 'none' starts "
        "from random weights even if the paper starts this data set from ImageNet weights.",
    )

    @model_validator(mode="after")
    def _depth_is_6n_plus_2(self) -> NetConfig:
        if self.net_type == "resnet" and (self.depth - 2) % 6:
            raise ValueError(
                f"depth: {self.depth} is not of the form 6n+2; "
                "use 8, 14, 20, 26, 32, 44, 56 or 110, or --net-type "
                "wide|resnet18|resnet34|resnet50"
            )
        return self

    @model_validator(mode="after")
    def _stem_is_of_a_torchvision_network(self) -> NetConfig:
        if self.stem == "cifar" and self.net_type in ("resnet", "wide"):
            raise ValueError(
                f"stem: goes with --net-type resnet18, resnet34 or resnet50, not with "
                f"'{self.net_type}'; leave it out"
            )
        return self

    @property
    def label(self) -> str:
        """Net and depth as the paper's folder names write them, such as ``resnet32``."""
        return f"resnet{self.depth}" if self.net_type == "resnet" else self.net_type
