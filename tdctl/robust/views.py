"""The two kinds of views of an image in a robust training: weakly or strongly augmented.

Shapes: B batch, C channels, H and W the image.
"""

from __future__ import annotations

import torch

from tdctl.config import RobustConfig
from tdctl.data import DataSet
from tdctl.data.augment import Augment
from tdctl.errors import ConfigError
from tdctl.training import Pipeline

__all__ = ["Views", "check_strong"]


class Views:
    """Augmented and normalised images, float32 [B, C, H, W].

    The weak view has the augmentation of a plain training. The strong view is a weak view that is
    also distorted by a random policy and has a blanked square.
    """

    def __init__(self, config: RobustConfig, dataset: DataSet, pipeline: Pipeline) -> None:
        self._pipeline, self._weak = pipeline, pipeline.augment
        self._strong = Augment(strong_settings(config, dataset), dataset)

    def weak(self, pixels: torch.Tensor, stream: torch.Generator) -> torch.Tensor:
        """Views with crops and flips."""
        return self._seen(pixels, self._weak, stream)

    def strong(self, pixels: torch.Tensor, stream: torch.Generator) -> torch.Tensor:
        """Views with crops and flips, a random policy and a blanked square."""
        return self._seen(pixels, self._strong, stream)

    def _seen(
        self, pixels: torch.Tensor, augment: Augment, stream: torch.Generator
    ) -> torch.Tensor:
        draw = augment.draw(len(pixels), stream)
        return self._pipeline.normalise(augment(pixels, draw))


def strong_settings(config: RobustConfig, dataset: DataSet) -> RobustConfig:
    """The settings with the augmentation of the strong view."""
    side = min(dataset.train.shape[1:])
    cutout = side // 2 if config.strong_cutout is None else config.strong_cutout
    return config.model_copy(update={"augment_policy": config.strong_policy, "cutout": cutout})


def check_strong(config: RobustConfig, dataset: DataSet) -> None:
    """Refuses a strong view that does not suit the images.

    Raises:
        ConfigError: a setting does not suit; the message says which one to change.
    """
    if dataset.train.are_vectors and config.algorithm != "ce":
        raise ConfigError(
            f"robust.algorithm: '{config.algorithm}' distorts images, and the data are vectors; "
            "give --algorithm ce, or record them with generate-td and retrain with denoise"
        )
    if config.algorithm not in ("ssr", "augdesc"):
        return
    channels, side = dataset.train.shape[0], min(dataset.train.shape[1:])
    if config.strong_policy != "none" and channels not in (1, 3):
        raise ConfigError(
            f"strong_policy: '{config.strong_policy}' needs images with 1 or 3 channels, and these "
            f"have {channels}; give --set robust.strong_policy=none"
        )
    if config.strong_cutout is not None and config.strong_cutout >= side:
        raise ConfigError(
            f"strong_cutout: a square of {config.strong_cutout} pixels covers images of {side}; "
            "give a smaller one, such as --set robust.strong_cutout=4"
        )
